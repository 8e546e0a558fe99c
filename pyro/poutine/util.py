"""Door: site predicates and the validation switch."""

from pyro._foundation.validation import enable_validation, is_validation_enabled
from pyro.poutine.sites import prune_subsample_sites, site_is_factor, site_is_subsample

__all__ = [
    "enable_validation",
    "is_validation_enabled",
    "prune_subsample_sites",
    "site_is_factor",
    "site_is_subsample",
]
