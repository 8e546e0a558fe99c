"""Which sites of a model depend on which, before and after it is conditioned."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pyro.distributions.delta import Delta
from pyro.infer.tracked_run import (
    NOTHING,
    density_provenance,
    is_masked_out,
    run_tracked,
    undressed,
)
from pyro.ops.provenance import Provenance, get_provenance
from pyro.poutine.runtime import Message
from pyro.poutine.sites import (
    Site,
    site_is_deterministic,
    site_is_equalized,
    site_is_observed,
    site_is_sample,
    site_is_subsample,
    site_is_untraced,
)
from pyro.poutine.trace_struct import Node, Trace

# Downstream name -> upstream name -> plates.
Dependencies = dict[str, dict[str, set[str]]]


class Variable(NamedTuple):
    """A site as a vertex of the model's graph."""

    parents: Provenance  # names of latent variables
    plates: frozenset[str]  # the vectorised ones around it
    is_latent: bool


def get_dependencies(
    model: Callable[..., Any],
    model_args: Iterable[Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    include_deterministic: bool = False,
) -> dict[str, Dependencies]:
    """Find the dependencies among the sites of a model, and of its posterior.

    The result has two entries, each a dictionary from downstream names to dictionaries from
    upstream names to sets of plates; every variable is among those that it depends on.

    - ``"prior_dependencies"``: from every site to the latent ones that its law was computed from.
    - ``"posterior_dependencies"``: from every latent site to those among the later latent and the
      observed sites from which it is not independent given all others. So each link of the
      posterior's Markov network is listed once, at its earlier end. It is the moral graph of
      Lauritzen and Spiegelhalter. (A factorisation of the posterior in this order has further
      links, which come about where earlier sites are integrated out; see Webb et al.)

    A plate is in a set if elements with different indices in it depend on each other; without it,
    only elements of one index do. Within a plate of both sites an element is taken to be computed
    from elements of its own index.

    Left out are deterministic sites and values drawn from :class:`~pyro.distributions.Delta`: what
    is computed from them depends on what they were computed from. A `factor` counts as an
    observation. So does a member of an `equalize
    <pyro.poutine.handlers.equalize>` group, which depends on its owner, and with ``keep_dist`` also
    on what its law was computed from.

    The model runs once and leaves nothing behind: no parameter, no random number drawn.

    :param model: the model.
    :param model_args: its arguments.
    :param model_kwargs: its keyword arguments.
    :param include_deterministic: whether deterministic sites are variables too.
    :raises ValueError: whatever the model raises, and where a law refuses its value.

    Two causes that are independent become dependent when their common effect is observed:

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     a = pyro.sample("a", dist.Normal(0.0, 1.0))
    ...     b = pyro.sample("b", dist.Normal(0.0, 1.0))
    ...     pyro.sample("c", dist.Normal(a + b, 1.0), obs=torch.tensor(0.0))
    >>> found = get_dependencies(model)
    >>> found["prior_dependencies"]
    {'a': {'a': set()}, 'b': {'b': set()}, 'c': {'a': set(), 'b': set(), 'c': set()}}
    >>> found["posterior_dependencies"]
    {'a': {'a': set(), 'b': set(), 'c': set()}, 'b': {'b': set(), 'c': set()}}

    Sources: Lauritzen and Spiegelhalter 1988, *Local computations with probabilities on graphical
    structures*, JRSS B 50(2); Webb et al. 2018, *Faithful inversion of generative models*,
    arXiv:1712.00287.
    """

    def is_variable(msg: Message | Node) -> bool:
        if not site_is_sample(msg) or site_is_subsample(msg) or site_is_untraced(msg):
            return False
        if site_is_observed(msg):
            return include_deterministic and _is_plain_deterministic(msg)
        return include_deterministic or not _is_sure(msg)

    def read(record: Trace) -> dict[str, Variable]:
        return {
            name: _variable(site, is_variable(site))
            for name, site in record.nodes.items()
            if _is_listed(site, include_deterministic)
        }

    variables = run_tracked(model, model_args or (), model_kwargs or {}, is_variable, read)
    return {
        "prior_dependencies": prior_dependencies(variables),
        "posterior_dependencies": posterior_dependencies(variables),
    }


def prior_dependencies(variables: Mapping[str, Variable]) -> Dependencies:
    """Return what each variable was computed from, itself included.

    :param variables: the vertices of a directed acyclic graph, each after its parents.

    >>> a = Variable(frozenset(), frozenset(), is_latent=True)
    >>> b = Variable(frozenset({"a"}), frozenset(), is_latent=True)
    >>> prior_dependencies({"a": a, "b": b})
    {'a': {'a': set()}, 'b': {'a': set(), 'b': set()}}
    """
    return {
        name: {other: set() for other in variables if other in variable.parents or other == name}
        for name, variable in variables.items()
    }


def posterior_dependencies(variables: Mapping[str, Variable]) -> Dependencies:
    """Return what each latent variable is tied to, given all others, among those after it.

    Two variables are tied where one was computed from the other, or both went into a third. Two
    elements that went into one element of the third may differ in the plates that it is not in.

    :param variables: the vertices of a directed acyclic graph, each after its parents.

    >>> a = Variable(frozenset(), frozenset({"plate"}), is_latent=True)
    >>> total = Variable(frozenset({"a"}), frozenset(), is_latent=False)
    >>> posterior_dependencies({"a": a, "total": total})
    {'a': {'a': {'plate'}, 'total': set()}}
    """
    order = {name: i for i, name in enumerate(variables)}
    tied: Dependencies = {name: {name: set()} for name, v in variables.items() if v.is_latent}
    for name, child in variables.items():
        parents = sorted(child.parents, key=order.__getitem__)
        for i, parent in enumerate(parents):
            _tie(tied, parent, name, order)
            for other in parents[i:]:
                shared = variables[parent].plates & variables[other].plates
                _tie(tied, parent, other, order).update(shared - child.plates)
    return {
        name: dict(sorted(row.items(), key=lambda x: order[x[0]])) for name, row in tied.items()
    }


def _tie(tied: Dependencies, one: str, other: str, order: Mapping[str, int]) -> set[str]:
    """Note that two variables are tied, at the earlier one, and return the plates of that link."""
    first, second = sorted((one, other), key=order.__getitem__)
    return tied[first].setdefault(second, set())


def _variable(site: Any, is_latent: bool) -> Variable:
    name = site["name"]
    if site_is_equalized(site) and is_masked_out(site):
        parents = get_provenance(site["value"])
    elif is_latent and site_is_observed(site):
        parents = get_provenance(undressed(site["fn"]).v)
    else:
        parents = density_provenance(site)
    plates = frozenset(frame.name for frame in site["cond_indep_stack"] if frame.vectorized)
    return Variable(parents - {name}, plates, is_latent)


def _is_listed(site: Site, include_deterministic: bool) -> bool:
    if not site_is_sample(site) or site_is_subsample(site):
        return False
    if site_is_equalized(site) or include_deterministic:
        return True
    return not (_is_plain_deterministic(site) or _is_sure(site) and not _is_evidence(site))


def _is_plain_deterministic(site: Site) -> bool:
    return site_is_deterministic(site) and not site_is_equalized(site)


def _is_sure(site: Site) -> bool:
    return isinstance(undressed(site["fn"]), Delta)


def _is_evidence(site: Site) -> bool:
    """Tell whether a sure value says something of others: it was measured, or has a density."""
    measured = site_is_observed(site) and get_provenance(site["value"]) == NOTHING
    density = undressed(site["fn"]).log_density
    return measured or get_provenance(density) != NOTHING or bool((density != 0).any())
