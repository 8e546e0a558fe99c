"""Runs of a guide and of the model that follows it."""

from collections.abc import Callable, Mapping
from typing import Any

from pyro._foundation.validation import is_validation_enabled
from pyro.infer.checks import check_model_guide_match, check_site_shape
from pyro.poutine.handlers import replay, trace
from pyro.poutine.sites import site_is_sample, site_is_subsample
from pyro.poutine.trace_struct import Trace


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
    replayed = replay(model, trace=guide_trace)
    model_trace = trace(replayed, graph_type=graph_type).get_trace(*args, **kwargs)
    validating = is_validation_enabled()
    if validating:
        check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    _drop_plate_indices(model_trace)
    _drop_plate_indices(guide_trace)
    model_trace.compute_log_prob()
    guide_trace.compute_score_parts()
    if validating:
        for record in (model_trace, guide_trace):
            for site in record.nodes.values():
                if site_is_sample(site):
                    check_site_shape(site, max_plate_nesting)
    return model_trace, guide_trace


def _drop_plate_indices(record: Trace) -> None:
    for name in [name for name, site in record.nodes.items() if site_is_subsample(site)]:
        record.remove_node(name)
