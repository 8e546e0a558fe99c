"""What tests ask of the house, so that those of the handler alone run on a released Pyro too.

A pyro-ppl that ``tools/upstream_patch.py`` has put ``equalize`` into lacks our other rooms. What
stands here in their place is made of what it offers.
"""

from typing import Any

try:
    from pyro._foundation.warnings import forget_warnings
    from pyro.poutine.sites import (
        site_is_deterministic,
        site_is_equalized,
        site_is_latent,
        site_is_observed,
    )
except ImportError:
    from pyro.poutine.util import site_is_subsample

    def forget_warnings() -> None:
        """It has no memory of warnings."""

    def site_is_deterministic(site: Any) -> bool:
        return bool(site["infer"].get("_deterministic"))

    def site_is_equalized(site: Any) -> bool:
        return bool(site["infer"].get("_equalized"))

    def site_is_observed(site: Any) -> bool:
        return site["type"] == "sample" and bool(site["is_observed"])

    def site_is_latent(site: Any) -> bool:
        return site["type"] == "sample" and not (site["is_observed"] or site_is_subsample(site))


__all__ = [
    "forget_warnings",
    "site_is_deterministic",
    "site_is_equalized",
    "site_is_latent",
    "site_is_observed",
]
