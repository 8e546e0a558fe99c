"""Reports on traces of equalized models."""

from typing import Any

import torch

from pyro.poutine.sites import site_is_equalized
from pyro.poutine.trace_struct import Trace


def equalized_sites(trace: Trace) -> dict[str, list[str]]:
    """Return the groups of sites that shared a value in a run.

    :param trace: a trace of an equalized model.
    :returns: the names of the members by the name of their owner, in the order of the run.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     for name in "abc":
    ...         pyro.sample(name, dist.Normal(0.0, 1.0))
    >>> equalized_sites(poutine.trace(poutine.equalize(model, "a|c")).get_trace())
    {'a': ['c']}
    """
    groups: dict[str, list[str]] = {}
    for name, site in trace.nodes.items():
        if "infer" in site and site_is_equalized(site):
            groups.setdefault(site["infer"]["_equalized"], []).append(name)
    return groups


def fill_equalized(samples: dict[str, torch.Tensor], trace: Trace) -> dict[str, Any]:
    """Fill samples of the owners out to the members that share their values.

    :param samples: samples by site name, shape ``(…, *batch, *event)``, as inference gives them: of
        owners alone.
    :param trace: a trace of the equalized model, for the groups and the members' shapes.
    :returns: the samples, and those of each member at its own shape ``(…, *batch, *event)``.

    >>> import torch, pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model():
    ...     pyro.sample("a", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", 3):
    ...         pyro.sample("b", dist.Normal(0.0, 1.0))
    >>> trace = poutine.trace(poutine.equalize(model, ["a", "b"])).get_trace()
    >>> fill_equalized({"a": torch.zeros(100)}, trace)["b"].shape
    torch.Size([100, 3])
    """
    filled = dict(samples)
    for owner, members in equalized_sites(trace).items():
        if owner not in samples:
            continue
        owner_shape = trace.nodes[owner]["value"].shape
        drawn = samples[owner]
        many = drawn.shape[: drawn.dim() - len(owner_shape)]
        for member in members:
            shape = trace.nodes[member]["value"].shape
            between = (1,) * (len(shape) - len(owner_shape))
            filled[member] = drawn.reshape(many + between + owner_shape).expand(many + shape)
    return filled
