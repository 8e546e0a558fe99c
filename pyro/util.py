"""Door to checks and helpers of general use."""

from pyro._foundation.contexts import optional, timed
from pyro._foundation.experimental import ExperimentalWarning, ignore_experimental_warning
from pyro._foundation.jit import ignore_jit_warnings, jit_iter, torch_float
from pyro._foundation.rng import get_rng_state, set_rng_seed, set_rng_state
from pyro.infer.autoguide.attributes import deep_getattr, deep_setattr
from pyro.infer.checks import (
    check_if_enumerated,
    check_model_guide_match,
    check_site_shape,
    check_traceenum_requirements,
    check_traces_match,
)
from pyro.infer.nonfinite import torch_isinf, torch_isnan, warn_if_inf, warn_if_nan
from pyro.infer.trace_picture import save_visualization

__all__ = [
    "ExperimentalWarning",
    "check_if_enumerated",
    "check_model_guide_match",
    "check_site_shape",
    "check_traceenum_requirements",
    "check_traces_match",
    "deep_getattr",
    "deep_setattr",
    "get_rng_state",
    "ignore_experimental_warning",
    "ignore_jit_warnings",
    "jit_iter",
    "optional",
    "save_visualization",
    "set_rng_seed",
    "set_rng_state",
    "timed",
    "torch_float",
    "torch_isinf",
    "torch_isnan",
    "warn_if_inf",
    "warn_if_nan",
]
