"""Inference: objectives, the drivers that optimise them, and what their results are used for."""

from pyro._foundation.validation import enable_validation, is_validation_enabled
from pyro.infer.abstract_infer import TracePosterior
from pyro.infer.elbo import ELBO
from pyro.infer.predictive import Predictive
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import Trace_ELBO
from pyro.infer.trace_mean_field_elbo import TraceMeanField_ELBO

__all__ = [
    "ELBO",
    "Predictive",
    "SVI",
    "TraceMeanField_ELBO",
    "TracePosterior",
    "Trace_ELBO",
    "enable_validation",
    "is_validation_enabled",
]
