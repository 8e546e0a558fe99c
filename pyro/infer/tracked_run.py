"""One run of a model whose values remember the sites that they come from."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch

from pyro._foundation.rng import get_rng_state, set_rng_state
from pyro.distributions.distribution import Distribution
from pyro.distributions.independent import Independent
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from pyro.ops.provenance import NOTHING, Provenance, get_provenance, plain_afterwards
from pyro.params.module_swap import take_back
from pyro.params.param_store import _PYRO_PARAM_STORE
from pyro.poutine.handlers import block, trace
from pyro.poutine.log_density import score_site
from pyro.poutine.provenance_messenger import ProvenanceMessenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_param
from pyro.poutine.trace_struct import Trace

T = TypeVar("T")
Node = dict[str, Any]

_DRESSINGS = (ExpandedDistribution, Independent, MaskedDistribution)


def run_tracked(
    model: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    is_named: Callable[[Message], bool],
    read: Callable[[Trace], T],
) -> T:
    """Run a model once, with values that know which named sites they were computed from.

    The run leaves nothing behind: it is hidden from the handlers around it, draws no random
    number that others would have drawn, creates no parameter, and takes no gradient.

    :param model: the model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :param is_named: tells of a site whether what is computed from its value shall know of it.
    :param read: called with the record of the run, whose values have a provenance; it must not
        return any of them.
    :returns: what ``read`` gave.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.Normal(x, 1.0))
    >>> def parents_of_y(record):
    ...     return get_provenance(record.nodes["y"]["fn"].loc)
    >>> run_tracked(model, (), {}, lambda site: True, parents_of_y)
    frozenset({'x'})
    """
    generators = get_rng_state()
    fresh: set[str] = set()

    def notes_fresh(msg: Message) -> bool:
        if site_is_param(msg) and msg["name"] not in known:
            fresh.add(msg["name"])
        return is_named(msg)

    known = set(_PYRO_PARAM_STORE)
    try:
        with torch.no_grad(), block(), plain_afterwards(), ProvenanceMessenger(notes_fresh):
            return read(trace(model).get_trace(*args, **kwargs))
    finally:
        set_rng_state(generators)
        take_back(lambda lent: bool(get_provenance(lent)))
        for name in fresh & set(_PYRO_PARAM_STORE):
            del _PYRO_PARAM_STORE[name]


def density_provenance(site: Node) -> Provenance:
    """Return what the density of a site was computed from.

    :param site: a sample site of a tracked run, its own value included.
    :raises ValueError: that names the site, where its law refuses its value.
    """
    return NOTHING if is_masked_out(site) else law_provenance(site)


def law_provenance(site: Node) -> Provenance:
    """Return what the law of a site was computed from, be it masked or not.

    A density may take a short cut that does not read a parameter, and a law may have parameters
    that it does not declare, so both are asked.

    :param site: a sample site of a tracked run, its own value included.
    :raises ValueError: that names the site, where its law refuses its value.
    """
    return _scored(site) | _declared(site["fn"])


def is_masked_out(site: Node) -> bool:
    """Tell whether a site has no density at all, whatever its value.

    :param site: a sample site.
    """
    law = site["fn"]
    while isinstance(law, _DRESSINGS):
        if isinstance(law, MaskedDistribution) and law._mask is False:
            return True
        law = law.base_dist
    return site["mask"] is False


def undressed(law: Any) -> Any:
    """Return the law that was expanded, masked, or made one event.

    :param law: the law of a site.

    >>> from pyro.distributions.normal import Normal
    >>> undressed(Normal(torch.zeros(2), 1.0).to_event(1).mask(False))
    Normal(loc: torch.Size([2]), scale: 1.0)
    """
    while isinstance(law, _DRESSINGS):
        law = law.base_dist
    return law


def _scored(site: Node) -> Provenance:
    try:
        return get_provenance(score_site(site))
    except NotImplementedError:  # a law that can only be drawn from
        return get_provenance(site["value"])


def _declared(law: Any) -> Provenance:
    """What the declared parameters of a law, and of the laws that it is made of, come from."""
    parts = [getattr(law, "_mask", None)]
    parts += [getattr(law, name, None) for name in getattr(law, "arg_constraints", {})]
    base = getattr(law, "base_dist", None)
    inner = _declared(base) if isinstance(base, Distribution) else NOTHING
    return get_provenance(parts) | inner
