"""Pyro: deep universal probabilistic programming on PyTorch, with ``poutine.equalize`` at home."""

import pyro.distributions
import pyro.infer
import pyro.infer.reparam
import pyro.nn
import pyro.optim
import pyro.poutine as poutine
import pyro.settings as settings
from pyro._version import __version__
from pyro.infer.inspect import render_model
from pyro.logger import log
from pyro.poutine.handlers import condition, do, markov
from pyro.primitives import (
    barrier,
    clear_param_store,
    deterministic,
    enable_validation,
    factor,
    get_param_store,
    iarange,
    irange,
    module,
    param,
    plate,
    plate_stack,
    random_module,
    sample,
    subsample,
    validation_enabled,
)
from pyro.util import set_rng_seed

__all__ = [
    "__version__",
    "barrier",
    "clear_param_store",
    "condition",
    "deterministic",
    "do",
    "enable_validation",
    "factor",
    "get_param_store",
    "iarange",
    "irange",
    "log",
    "markov",
    "module",
    "param",
    "plate",
    "plate_stack",
    "poutine",
    "random_module",
    "render_model",
    "sample",
    "set_rng_seed",
    "settings",
    "subsample",
    "validation_enabled",
]
