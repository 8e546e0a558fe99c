"""What there is in a model: its sites, their laws, plates and parameters, and who uses whom."""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

from pyro.infer.tracked_run import law_provenance, run_tracked, undressed
from pyro.poutine.runtime import Message
from pyro.poutine.sites import (
    Site,
    site_is_deterministic,
    site_is_equalized,
    site_is_factor,
    site_is_observed,
    site_is_param,
    site_is_sample,
    site_is_subsample,
    site_is_untraced,
)
from pyro.poutine.trace_struct import Trace


class SiteFacts(NamedTuple):
    """What is known of one site."""

    kind: str  # "sample", "deterministic", "factor" or "param"
    upstream: tuple[str, ...]  # the sites that it was computed from, in the order of the run
    law: str = ""  # the name of its law
    constraint: str = ""
    plates: tuple[str, ...] = ()  # outermost first
    observed: float = 0.0  # how much of its value was given
    owner: str | None = None  # the site whose value it was made to share


def find_sites(
    model: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    include_deterministic: bool,
) -> dict[str, SiteFacts]:
    """Run a model once, without a trace left behind, and return the facts of its sites.

    :param model: the model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :param include_deterministic: whether deterministic sites are among those that others were
        computed from; otherwise what they were computed from stands in their place.
    :raises ValueError: whatever the model raises, and where a law refuses its value.
    """

    def is_named(msg: Message) -> bool:
        if site_is_equalized(msg) or site_is_subsample(msg) or site_is_untraced(msg):
            return False
        return include_deterministic or not site_is_deterministic(msg)

    def read(record: Trace) -> dict[str, SiteFacts]:
        sites = {name: site for name, site in record.nodes.items() if _is_shown(site)}
        return {name: _facts(site, list(sites)) for name, site in sites.items()}

    return run_tracked(model, args, kwargs, is_named, read)


def get_model_relations(
    model: Callable[..., Any],
    model_args: Iterable[Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    include_deterministic: bool = False,
) -> dict[str, Any]:
    """Find out what a model consists of.

    :param model: the model. It runs once and leaves nothing behind: no parameter, no random number
        drawn.
    :param model_args: its arguments.
    :param model_kwargs: its keyword arguments.
    :param include_deterministic: whether deterministic sites are among those that others were
        computed from; otherwise what they were computed from stands in their place.
    :returns: a dictionary with the entries

        - ``"sample_sample"``: by sample site, the sample sites that it was computed from;
        - ``"sample_param"``: by sample site, the parameters that it was computed from;
        - ``"sample_dist"``: by sample site, the name of its law;
        - ``"param_constraint"``: by parameter, its constraint;
        - ``"plate_sample"``: by plate, the sample sites in it;
        - ``"observed"``: the sites whose value was given;
        - ``"equalized"``, where sites share a value: by owner, the members of its group, sample
          sites and parameters.

    :raises ValueError: whatever the model raises, and where a law refuses its value.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
    ...     mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", len(data)):
    ...         pyro.sample("x", dist.Normal(mean, scale), obs=data)
    >>> for entry, value in get_model_relations(model, (torch.zeros(3),)).items():
    ...     print(entry, value)
    sample_sample {'mean': [], 'x': ['mean']}
    sample_param {'mean': [], 'x': ['scale']}
    sample_dist {'mean': 'Normal', 'x': 'Normal'}
    param_constraint {'scale': 'GreaterThan(lower_bound=0.0)'}
    plate_sample {'data': ['x']}
    observed ['x']
    """
    sites = find_sites(model, model_args or (), model_kwargs or {}, include_deterministic)
    params = {name for name, facts in sites.items() if facts.kind == "param"}
    samples = {name: facts for name, facts in sites.items() if name not in params}
    relations: dict[str, Any] = {
        "sample_sample": {
            n: [u for u in f.upstream if u not in params] for n, f in samples.items()
        },
        "sample_param": {n: [u for u in f.upstream if u in params] for n, f in samples.items()},
        "sample_dist": {name: facts.law for name, facts in samples.items()},
        "param_constraint": {name: sites[name].constraint for name in sites if name in params},
        "plate_sample": _inverted((name, facts.plates) for name, facts in samples.items()),
        "observed": [name for name, facts in samples.items() if facts.observed],
    }
    owners = [(name, facts.owner) for name, facts in sites.items()]
    if tied := _inverted((name, (owner,)) for name, owner in owners if owner is not None):
        relations["equalized"] = tied
    return relations


def _without(left_out: Container[str], names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in left_out]


def _inverted(pairs: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for name, keys in pairs:
        for key in keys:
            table.setdefault(key, []).append(name)
    return table


def _is_shown(site: Site) -> bool:
    return site_is_param(site) or site_is_sample(site) and not site_is_subsample(site)


def _facts(site: Any, order: list[str]) -> SiteFacts:
    owner = site["infer"]["_equalized"] if site_is_equalized(site) else None
    if site_is_param(site):
        constraint = str(site["kwargs"].get("constraint", ""))
        return SiteFacts("param", () if owner is None else (owner,), "", constraint, owner=owner)
    is_computed = site_is_deterministic(site)
    used = law_provenance(site) - {site["name"]}
    return SiteFacts(
        kind=_kind(site),
        upstream=tuple(name for name in order if name in used or name == owner),
        law="Deterministic" if is_computed else type(undressed(site["fn"])).__name__,
        plates=tuple(dict.fromkeys(frame.name for frame in site["cond_indep_stack"])),
        observed=float(site_is_observed(site) and not is_computed),
        owner=owner,
    )


def _kind(site: Site) -> str:
    if site_is_factor(site):
        return "factor"
    return "deterministic" if site_is_deterministic(site) else "sample"
