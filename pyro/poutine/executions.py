"""Executions of a program one by one: where to leave a run, and how to go on from there.

A partial run is a trace of the sites up to where it was left. Replaying it leads back to that site;
extending it gives one partial run for each value that the site shall have there.
"""

from collections.abc import Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]


def all_escape(trace: Trace, msg: Site) -> bool:
    """Tell whether a site is drawn and has no value in a partial run, nor from a handler inside.

    :param trace: the partial run.
    :param msg: the site.

    >>> import pyro.distributions as dist
    >>> site = {"type": "sample", "name": "x", "fn": dist.Normal(0.0, 1.0), "is_observed": False}
    >>> all_escape(Trace(), site)
    True
    """
    return site_is_latent(msg) and not msg.get("done") and msg["name"] not in trace


def discrete_escape(trace: Trace, msg: Site) -> bool:
    """Tell whether a site is drawn, can be enumerated, and has no value in a partial run.

    :param trace: the partial run.
    :param msg: the site.

    >>> import pyro.distributions as dist
    >>> site = {"type": "sample", "name": "x", "fn": dist.Normal(0.0, 1.0), "is_observed": False}
    >>> discrete_escape(Trace(), site)
    False
    """
    return all_escape(trace, msg) and bool(getattr(msg["fn"], "has_enumerate_support", False))


def enum_extend(trace: Trace, msg: Site, num_samples: int | None = None) -> list[Trace]:
    """Extend a partial run by each value of a site.

    Where the law holds a batch, each combination of the elements' values is one.

    :param trace: the partial run; it is left alone.
    :param msg: the site.
    :param num_samples: not used; all values are.
    :returns: the extended runs, in the order of the support.
    :raises NotImplementedError: that names the site, where its law cannot enumerate its support.

    >>> import pyro.distributions as dist
    >>> site = {"type": "sample", "name": "x", "fn": dist.Bernoulli(torch.ones(2) / 2)}
    >>> [run.nodes["x"]["value"].tolist() for run in enum_extend(Trace(), site)]
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    fn = msg["fn"]
    if not getattr(fn, "has_enumerate_support", False):
        raise site_error(
            msg["name"],
            f"its law, {type(fn).__name__}, cannot enumerate its support",
            "Leave runs at discrete sites alone, escape_fn=discrete_escape, or draw values, "
            "extend_fn=mc_extend.",
            NotImplementedError,
        )
    return [_extended(trace, msg, value) for value in _joint_support(fn)]


def mc_extend(trace: Trace, msg: Site, num_samples: int | None = None) -> list[Trace]:
    """Extend a partial run by values that are drawn at a site.

    :param trace: the partial run; it is left alone.
    :param msg: the site.
    :param num_samples: how many to draw; one where left out.
    :returns: the extended runs.

    >>> import pyro.distributions as dist
    >>> law = dist.Normal(0.0, 1.0)
    >>> site = {"type": "sample", "name": "x", "fn": law, "args": (), "kwargs": {}}
    >>> len(mc_extend(Trace(), site, num_samples=3))
    3
    """
    draws = range(1 if num_samples is None else num_samples)
    return [_extended(trace, msg, msg["fn"](*msg["args"], **msg["kwargs"])) for _ in draws]


def _extended(trace: Trace, msg: Site, value: Any) -> Trace:
    extended = trace.copy()
    extended.add_node(msg["name"], **{**msg, "value": value})
    return extended


def _joint_support(fn: Any) -> torch.Tensor:
    """All values of a law, elements of a batch independent of each other; leftmost dim runs."""
    values: torch.Tensor = fn.enumerate_support(expand=False)
    size, batch_shape = len(values), fn.batch_shape
    elements = batch_shape.numel()
    if elements == 1:
        return fn.enumerate_support(expand=True)  # type: ignore[no-any-return]
    choices = torch.cartesian_prod(*[torch.arange(size)] * elements).reshape(-1, *batch_shape)
    return values.reshape(size, *fn.event_shape)[choices]
