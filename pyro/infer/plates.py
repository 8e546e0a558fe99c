"""Plates as inference sees them: how deep they nest, and one more put around a model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from pyro._foundation.rng import get_rng_state, set_rng_state
from pyro.poutine.handlers import block, replay, trace
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.sites import site_is_sample, site_is_subsample
from pyro.poutine.trace_struct import Trace
from pyro.primitives import plate


def plate_depth(record: Trace) -> int:
    """Return the number of batch dimensions that the plates of a run take up.

    :param record: the trace of a run.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("rows", 3, dim=-2):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> plate_depth(pyro.poutine.trace(model).get_trace())
    2
    """
    depths = (
        frame_depth(site["cond_indep_stack"])
        for site in record.nodes.values()
        if site_is_sample(site)
    )
    return max(depths, default=0)


def frame_depth(stack: tuple[CondIndepStackFrame, ...]) -> int:
    """Return the number of batch dimensions that the plates around a site take up.

    :param stack: the site's plates.
    """
    return max((-frame.dim for frame in stack if frame.dim is not None), default=0)


def guess_max_plate_nesting(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> int:
    """Run guide and model once and return how many batch dimensions their plates take up.

    The run is hidden from the handlers around it, and the random numbers that it takes are put
    back, so that what comes after draws the same with a guess as without one.

    :param model: the model.
    :param guide: its guide.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("data", 3):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> guess_max_plate_nesting(model, model, (), {})
    1
    """
    generators = get_rng_state()
    try:
        with torch.no_grad(), block():
            guide_record = trace(guide).get_trace(*args, **kwargs)
            model_record = trace(replay(model, trace=guide_record)).get_trace(*args, **kwargs)
    finally:
        set_rng_state(generators)
    return max(plate_depth(guide_record), plate_depth(model_record))


def inside_plate(fn: Callable[..., Any], name: str, size: int, dim: int) -> Callable[..., Any]:
    """Return a model as it runs inside one more vectorised plate.

    :param fn: the model.
    :param name: the plate's name.
    :param size: the number of its elements.
    :param dim: its batch dimension, left of all the model's own.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     return pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> inside_plate(model, "particles", 5, dim=-1)().shape
    torch.Size([5])
    """

    def batched(*args: Any, **kwargs: Any) -> Any:
        with plate(name, size, dim=dim):
            return fn(*args, **kwargs)

    return batched


def get_plate_stacks(trace: Trace) -> dict[str, list[CondIndepStackFrame]]:
    """Return the vectorised plates around every sample site of a run.

    :param trace: the trace of a run.
    :returns: lists of frames by site name, outermost plate first.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("data", 3):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0))
    >>> [frame.name for frame in get_plate_stacks(pyro.poutine.trace(model).get_trace())["x"]]
    ['data']
    """
    return {
        name: [frame for frame in site["cond_indep_stack"] if frame.vectorized]
        for name, site in trace.nodes.items()
        if site_is_sample(site) and not site_is_subsample(site)
    }


def get_dependent_plate_dims(sites: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the dims of the vectorised plates that some of the sites are in and others are not.

    :param sites: nodes of a trace.
    :returns: the dims in ascending order, the leftmost first.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", 3):
    ...         pyro.sample("x", dist.Normal(mean, 1.0))
    >>> nodes = pyro.poutine.trace(model).get_trace().nodes
    >>> get_dependent_plate_dims([nodes["mean"], nodes["x"]])
    [-1]
    """
    stacks = [{f for f in site["cond_indep_stack"] if f.vectorized} for site in sites]
    if not stacks:
        return []
    partial = set().union(*stacks).difference(set.intersection(*stacks))
    return sorted({frame.dim for frame in partial})


def plate_log_prob_sum(trace: Trace, plate_symbol: str) -> torch.Tensor:
    """Return the log density of a run for each element of a plate.

    What is outside of the plate is common to its elements, and counts in each.

    :param trace: a scored run that was packed (``pack_tensors``).
    :param plate_symbol: the letter of the plate, as in the trace's ``plate_to_symbol``.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("data", 2, dim=-1), pyro.plate("rows", 3, dim=-2):
    ...         pyro.sample("x", dist.Delta(torch.zeros(3, 2), log_density=1.0))
    >>> record = pyro.poutine.trace(model).get_trace()
    >>> record.compute_log_prob()
    >>> record.pack_tensors()
    >>> plate_log_prob_sum(record, record.plate_to_symbol["data"])
    tensor([3., 3.])
    """
    total = torch.zeros(())
    for site in trace.nodes.values():
        if site_is_sample(site) and not site_is_subsample(site):
            log_prob = site["packed"]["log_prob"]
            others = [i for i, x in enumerate(log_prob._pyro_dims) if x != plate_symbol]
            total = total + (log_prob.sum(others) if others else log_prob)
    return total
