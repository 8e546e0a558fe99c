"""Runs of a guide and of the model that follows it, and which of their sites are enumerated."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, overload

from pyro._foundation.errors import site_error
from pyro._foundation.validation import is_validation_enabled
from pyro.infer.checks import check_model_guide_match, check_plates_of_site, show_shapes
from pyro.poutine.handlers import escape, infer_config, queue, replay, trace
from pyro.poutine.log_density import score_parts_of, score_site
from pyro.poutine.runtime import NonlocalExit
from pyro.poutine.sites import site_is_latent, site_is_sample, site_is_subsample
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])


def get_importance_trace(
    graph_type: str,
    max_plate_nesting: float,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    detach: bool = False,
) -> tuple[Trace, Trace]:
    """Draw ``z ~ q`` from the guide and run the model at ``z``, scored and checked.

    :param graph_type: ``"flat"`` or ``"dense"``, as of :class:`~pyro.poutine.trace_struct.Trace`.
    :param max_plate_nesting: how many batch dimensions belong to plates; further left is free.
    :param model: the model.
    :param guide: its guide.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both.
    :param detach: cut ``z`` from the graph, so that no pathwise gradient reaches the guide.
    :returns: the trace of the model and that of the guide, without plate indices; the model's
        sites hold their ``log_prob``, the guide's their ``score_parts`` too.
    :raises ValueError: under validation, where model and guide do not fit each other or a site does
        not fit its plates.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(0.5, 0.7))
    >>> model_trace, guide_trace = get_importance_trace("flat", 0, model, guide, (), {})
    >>> bool(model_trace.nodes["z"]["value"] == guide_trace.nodes["z"]["value"])
    True
    """
    guide_trace = trace(guide, graph_type=graph_type).get_trace(*args, **kwargs)
    if detach:
        guide_trace.detach_()
    model_trace = follow(guide_trace, max_plate_nesting, model, args, kwargs)
    return model_trace, guide_trace


def follow(
    guide_trace: Trace,
    max_plate_nesting: float,
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    with_totals: bool = True,
) -> Trace:
    """Run the model at the values of a run of its guide; score and check both.

    :param guide_trace: the run of the guide, which loses its plate indices and is scored.
    :param max_plate_nesting: how many batch dimensions belong to plates; further left is free.
    :param model: the model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :param with_totals: whether the model's sites shall hold their ``log_prob_sum``.
    :returns: the trace of the model, of the same graph type.
    :raises ValueError: as :func:`get_importance_trace`.
    """
    graph_type = guide_trace.graph_type
    replayed = replay(model, trace=guide_trace)
    model_trace = trace(replayed, graph_type=graph_type).get_trace(*args, **kwargs)
    try:
        _score(model_trace, guide_trace, max_plate_nesting, with_totals)
    except (ValueError, RuntimeError) as error:
        show_shapes(error, model_trace, guide_trace)
        raise
    return model_trace


def _score(
    model_trace: Trace, guide_trace: Trace, max_plate_nesting: float, with_totals: bool
) -> None:
    validating = is_validation_enabled()
    if validating:
        check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    _drop_plate_indices(model_trace)
    _drop_plate_indices(guide_trace)
    for site in model_trace.nodes.values():
        if site_is_sample(site):
            score_site(site, model_trace.nodes, with_totals)
    for site in guide_trace.nodes.values():
        if site_is_sample(site):
            score_parts_of(site, guide_trace.nodes)
    if validating:  # scoring has checked the rest
        for record in (model_trace, guide_trace):
            for site in record.nodes.values():
                if site_is_sample(site):
                    check_plates_of_site(site, max_plate_nesting)


def _drop_plate_indices(record: Trace) -> None:
    for name in [name for name, site in record.nodes.items() if site_is_subsample(site)]:
        record.remove_node(name)


def iter_discrete_escape(trace: Trace, msg: Site) -> bool:
    """Tell whether a site asks for sequential enumeration and has no value in a partial run.

    :param trace: the partial run.
    :param msg: the site.

    >>> import pyro.distributions as dist
    >>> site = {"type": "sample", "name": "x", "fn": dist.Bernoulli(0.5), "is_observed": False}
    >>> iter_discrete_escape(Trace(), {**site, "infer": {"enumerate": "sequential"}})
    True
    """
    return (
        site_is_latent(msg)
        and (msg["infer"] or {}).get("enumerate") == "sequential"
        and msg["name"] not in trace
    )


def iter_discrete_extend(trace: Trace, site: Site, **ignored: Any) -> Iterator[Trace]:
    """Extend a partial run by each value in the support of a site, one for a whole batch.

    The elements of a batch are in plates, hence independent: it takes as many runs as there are
    values for each element to take each of its values once. A value has the batch shape of its site
    where ``infer["expand"]`` asks for that, else sizes 1.

    :param trace: the partial run; it is left alone.
    :param site: the site.
    :param ignored: whatever else a queue passes.
    :returns: the extended runs. The site notes their number as ``infer["_enum_total"]``.
    :raises NotImplementedError: that names the site, where its law cannot enumerate its support.

    >>> import torch, pyro.distributions as dist
    >>> law = dist.Bernoulli(torch.ones(3) / 2)
    >>> runs = iter_discrete_extend(Trace(), {"name": "x", "fn": law, "infer": {}})
    >>> [run.nodes["x"]["value"].tolist() for run in runs]
    [[0.0], [1.0]]
    """
    fn, infer = site["fn"], site["infer"] or {}
    if not getattr(fn, "has_enumerate_support", False):
        raise site_error(
            site["name"],
            f"its law, {type(fn).__name__}, cannot enumerate its support",
            "Leave 'enumerate' out of its infer, so that it is sampled.",
            NotImplementedError,
        )
    values = fn.enumerate_support(expand=bool(infer.get("expand", False)))
    for value in values:
        extended = trace.copy()
        hints = {**infer, "_enum_total": len(values)}
        extended.add_node(site["name"], **{**site, "value": value, "infer": hints})
        yield extended


def iter_discrete_traces(
    graph_type: str, fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> Iterator[Trace]:
    """Run a program with all values of the sites that ask for sequential enumeration.

    :param graph_type: ``"flat"`` or ``"dense"``, as of :class:`~pyro.poutine.trace_struct.Trace`.
    :param fn: the program.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :returns: the traces of all runs, one where no site asks.

    >>> import pyro, pyro.distributions as dist
    >>> def coins():
    ...     for i in range(2):
    ...         pyro.sample(f"x_{i}", dist.Bernoulli(0.5), infer={"enumerate": "sequential"})
    >>> len(list(iter_discrete_traces("flat", coins)))
    4
    """
    # Most programs have no such site; then the first run is all there is.
    alone = escape(fn, escape_fn=partial(iter_discrete_escape, Trace()))
    try:
        only = trace(alone, graph_type=graph_type).get_trace(*args, **kwargs)
    except NonlocalExit as left:
        left.reset_stack()
    else:
        yield only
        return
    runs: SimpleQueue[Trace] = SimpleQueue()
    runs.put(Trace(graph_type))
    queued = queue(fn, queue=runs, escape_fn=iter_discrete_escape, extend_fn=iter_discrete_extend)
    while not runs.empty():
        yield trace(queued, graph_type=graph_type).get_trace(*args, **kwargs)


@overload
def config_enumerate(
    guide: F,
    default: str | None = "parallel",
    expand: bool = False,
    num_samples: int | None = None,
    tmc: str = "diagonal",
) -> F: ...


@overload
def config_enumerate(
    guide: None = None,
    default: str | None = "parallel",
    expand: bool = False,
    num_samples: int | None = None,
    tmc: str = "diagonal",
) -> Callable[[F], F]: ...


def config_enumerate(
    guide: Callable[..., Any] | None = None,
    default: str | None = "parallel",
    expand: bool = False,
    num_samples: int | None = None,
    tmc: str = "diagonal",
) -> Any:
    """Ask for the enumeration of all sites of a model or guide that can be enumerated.

    A site's own ``infer={"enumerate": ...}`` has precedence. To be used as a decorator too.

    :param guide: the model or guide.
    :param default: ``"parallel"``, ``"sequential"``, or None for no enumeration.
    :param expand: whether each element of a batch has values of its own.
    :param num_samples: draw so many values in place of the support, at continuous sites too.
    :param tmc: how values are drawn that are not expanded, ``"diagonal"`` or ``"mixture"``; see
        :func:`~pyro.poutine.enum_messenger.enumerate_site`.
    :raises ValueError: for an option that is none of these.

    >>> import pyro, pyro.distributions as dist
    >>> @config_enumerate
    ... def model():
    ...     pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("z", dist.Bernoulli(0.5))
    >>> record = pyro.poutine.trace(model).get_trace()
    >>> [name for name in record.stochastic_nodes if record.nodes[name]["infer"].get("enumerate")]
    ['z']
    """
    if default not in ("parallel", "sequential", None):
        raise ValueError(f"default must be 'parallel', 'sequential' or None, got {default!r}.")
    if num_samples is not None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples < 1:
            raise ValueError(f"num_samples must be a positive integer or None, got {num_samples}.")
        if default == "sequential":
            raise ValueError(
                "num_samples draws values that run in parallel. Write default='parallel', or leave "
                "num_samples out to run through the support."
            )
    if tmc not in ("diagonal", "mixture"):
        raise ValueError(f"tmc must be 'diagonal' or 'mixture', got {tmc!r}.")
    options: dict[str, Any] = {"expand": expand}
    if num_samples is not None:
        options.update(num_samples=num_samples, tmc=tmc)
    hints = partial(_enumeration_hints, default, options)
    return partial(infer_config, config_fn=hints) if guide is None else infer_config(guide, hints)


def _enumeration_hints(default: str | None, options: dict[str, Any], site: Site) -> dict[str, Any]:
    """The hints to add at a site, beneath those that it has."""
    if default is None or not site_is_latent(site):
        return {}
    if "num_samples" not in options and not getattr(site["fn"], "has_enumerate_support", False):
        return {}
    return {"enumerate": default, **options, **(site["infer"] or {})}
