"""Door: the effect handlers."""

from pyro.poutine.equalized import equalized_sites, fill_equalized
from pyro.poutine.handlers import *  # noqa: F403
from pyro.poutine.handlers import HANDLERS as _HANDLERS
from pyro.poutine.messenger import unwrap
from pyro.poutine.runtime import NonlocalExit, get_mask
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import enable_validation, is_validation_enabled

__all__ = [
    *_HANDLERS,
    "NonlocalExit",
    "Trace",
    "enable_validation",
    "equalized_sites",
    "fill_equalized",
    "get_mask",
    "is_validation_enabled",
    "unwrap",
]
