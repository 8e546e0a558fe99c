"""What guides are built with, under its public path."""

from pyro.infer.autoguide.attributes import deep_getattr, deep_setattr
from pyro.infer.autoguide.entropy import mean_field_entropy
from pyro.infer.autoguide.supports import helpful_support_errors

__all__ = ["deep_getattr", "deep_setattr", "helpful_support_errors", "mean_field_entropy"]
