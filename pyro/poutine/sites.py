"""What kind a site is: the one set of predicates over messages and trace nodes.

Each takes a message on its way or a node of a trace, and asks nothing but its keys and the
declarations of its law.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

Site = Mapping[str, Any]


class _Record(Protocol):
    nodes: dict[str, Any]

    def copy(self: "R") -> "R": ...

    def remove_node(self, site_name: str) -> None: ...


R = TypeVar("R", bound=_Record)


def site_is_sample(site: Site) -> bool:
    """Tell whether the site holds a random value; plate indices and factors count too."""
    return bool(site["type"] == "sample")


def site_is_param(site: Site) -> bool:
    """Tell whether the site holds a learnable parameter."""
    return bool(site["type"] == "param")


def site_is_subsample(site: Site) -> bool:
    """Tell whether the site holds the indices of a plate."""
    return site["type"] == "sample" and getattr(site["fn"], "is_plate_index", False)


def site_is_factor(site: Site) -> bool:
    """Tell whether the site only adds a term to the log density."""
    return site["type"] == "sample" and getattr(_innermost(site["fn"]), "is_log_factor", False)


def site_is_deterministic(site: Site) -> bool:
    """Tell whether the site records a value that the sites before it determine."""
    return site["type"] == "sample" and bool(_hints(site).get("_deterministic"))


def site_is_equalized(site: Site) -> bool:
    """Tell whether the site takes its value from the owner of a group that was tied."""
    return bool(_hints(site).get("_equalized"))


def site_is_reparameterized(site: Site) -> bool:
    """Tell whether a reparameterisation put another law, or a computed value, in the site's place.

    The hint says what the site was in the model, ``"drawn"`` or ``"observed"``.
    """
    return bool(_hints(site).get("_reparameterized"))


def site_is_computed(site: Site) -> bool:
    """Tell whether a value that is given follows from other sites, so that it is no datum.

    It is so where the site is deterministic, tied, or computed by a reparameterisation.
    """
    hints = _hints(site)
    return site_is_observed(site) and bool(
        hints.get("_deterministic")
        or hints.get("_equalized")
        or hints.get("_reparameterized") == "drawn"
    )


def site_is_auxiliary(site: Site) -> bool:
    """Tell whether the site exists for an algorithm's sake and is no part of the model proper."""
    return bool(_hints(site).get("is_auxiliary"))


def site_is_observed(site: Site) -> bool:
    """Tell whether the site's value is given rather than drawn."""
    return site["type"] == "sample" and bool(site["is_observed"])


def site_is_latent(site: Site) -> bool:
    """Tell whether the site's value is drawn by the model and is wanted: no plate, no datum."""
    return (
        site["type"] == "sample"
        and not site["is_observed"]
        and not getattr(site["fn"], "is_plate_index", False)
    )


def site_is_untraced(site: Site) -> bool:
    """Tell whether the site asks to be left out of traces."""
    return bool(_hints(site).get("_do_not_trace"))


def _hints(site: Site) -> Mapping[str, Any]:
    return site["infer"] or {}


def _innermost(fn: Any) -> Any:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def prune_subsample_sites(trace: R) -> R:
    """Return a copy of a trace without the index sites of its plates.

    :param trace: the trace.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("data", 2):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> list(prune_subsample_sites(pyro.poutine.trace(model).get_trace()))
    ['_INPUT', 'x', '_RETURN']
    """
    pruned = trace.copy()
    for name, site in trace.nodes.items():
        if site_is_subsample(site):
            pruned.remove_node(name)
    return pruned
