"""The inverse gamma law, at its public path."""

from pyro.distributions.gamma import InverseGamma

__all__ = ["InverseGamma"]
