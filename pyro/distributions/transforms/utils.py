"""What transforms are built with, under its public path."""

from pyro.ops.clamping import clamp_preserve_gradients

__all__ = ["clamp_preserve_gradients"]
