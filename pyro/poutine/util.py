"""Door: site predicates, executions one by one, and the validation switch."""

from pyro._foundation.validation import enable_validation, is_validation_enabled
from pyro.poutine.executions import all_escape, discrete_escape, enum_extend, mc_extend
from pyro.poutine.sites import prune_subsample_sites, site_is_factor, site_is_subsample

__all__ = [
    "all_escape",
    "discrete_escape",
    "enable_validation",
    "enum_extend",
    "is_validation_enabled",
    "mc_extend",
    "prune_subsample_sites",
    "site_is_factor",
    "site_is_subsample",
]
