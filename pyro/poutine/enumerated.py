"""The values of an enumerated site: the whole support, or draws in its place."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyro._foundation.errors import site_error
from pyro.ops.enumerated_support import mark_support, support_dim

Site = Mapping[str, Any]


def enumerate_site(msg: Site) -> torch.Tensor:
    """Return the values that a site is enumerated over, along a new leftmost dimension.

    ``infer["expand"]`` gives each element of a plate values of its own; without, all share the
    same. With ``infer["num_samples"]`` that many values are drawn instead of the support: if
    expanded, for each value of the enumerated sites that the law depends on; else for all of them
    together, by ``infer["tmc"]``: ``"diagonal"`` draws value number ``k`` given value number ``k``
    of each of those sites, ``"mixture"`` given one that is chosen at random.

    :param msg: a sample message, with its hints to inference.
    :returns: a tensor of shape ``(values, *batch, *event)``, where the batch may have size 1 for
        what all elements share.
    :raises NotImplementedError: that names the site, where its law cannot enumerate its support.
    :raises ValueError: that names the site, for a wrong ``num_samples`` or ``tmc``.

    >>> import pyro.distributions as dist
    >>> enumerate_site({"name": "x", "fn": dist.Bernoulli(torch.ones(3) / 2), "infer": {}})
    tensor([[0.],
            [1.]])

    Source: Aitchison 2019, *Tensor Monte Carlo: Particle Methods for the GPU Era*,
    arXiv:1806.08593.
    """
    fn, infer = msg["fn"], msg["infer"]
    expand = bool(infer.get("expand", False))
    if infer.get("num_samples") is not None:
        return _draw_values(msg, infer["num_samples"], expand)
    if not getattr(fn, "has_enumerate_support", False):
        raise site_error(
            msg["name"],
            f"its law, {type(fn).__name__}, cannot enumerate its support",
            "Draw values in its place with infer={'enumerate': 'parallel', 'num_samples': 10}, or "
            "leave 'enumerate' out.",
            NotImplementedError,
        )
    values: torch.Tensor = fn.enumerate_support(expand=expand)
    if expand:  # over plates, not over what other sites are enumerated along
        for d in _upstream_dims(msg):
            values = values.narrow(d - fn.event_dim, 0, 1)
    return values


def place_values(values: torch.Tensor, event_dim: int, dim: int) -> torch.Tensor:
    """Move the leftmost dimension of an enumeration's values to the batch dimension it holds.

    :param values: values of shape ``(values, *batch, *event)``.
    :param event_dim: how many dimensions are the event's.
    :param dim: the batch dimension, a negative number; in ``values`` it has size 1, if at all.

    >>> place_values(torch.tensor([[0.], [1.]]), 0, -3).shape
    torch.Size([2, 1, 1])
    """
    batch_dim = values.dim() - 1 - event_dim
    batch, event = values.shape[1 : 1 + batch_dim], values.shape[1 + batch_dim :]
    if batch.numel() == 1:
        placed = values.reshape(-1, *(1,) * (-1 - dim), *event)
        return placed if support_dim(values) is None else mark_support(placed, dim)
    if batch_dim < -dim:
        return values.reshape(-1, *(1,) * (-1 - dim - batch_dim), *batch, *event)
    return values.transpose(0, 1 + batch_dim + dim).squeeze(0)


def _draw_values(msg: Site, num_samples: Any, expand: bool) -> torch.Tensor:
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples < 1:
        raise site_error(
            msg["name"], f"num_samples must be a positive integer, got {num_samples!r}"
        )
    strategy = msg["infer"].get("tmc", "diagonal")
    if strategy not in _CHOICES:
        known = " or ".join(map(repr, _CHOICES))
        raise site_error(msg["name"], f"tmc must be {known}, got {strategy!r}")
    fn = msg["fn"]
    values: torch.Tensor = fn((num_samples,))
    if expand:
        return values
    upstream = _upstream_dims(msg)
    shape = list(values.shape)
    for d in upstream:
        shape[d - fn.event_dim] = 1
    shape[len(shape) - fn.event_dim :] = [1] * fn.event_dim
    for d in upstream:  # independently in each element of a plate
        number = _CHOICES[strategy](fn.batch_shape[d], shape).to(values.device)
        values = values.take_along_dim(number, d - fn.event_dim)
    return values


def _upstream_dims(msg: Site) -> list[int]:
    """The batch dimensions along which sites are enumerated that the law depends on."""
    batch_shape = msg["fn"].batch_shape
    enumerated = msg["infer"].get("_dim_to_id", ())
    return [d for d in enumerated if -d <= len(batch_shape) and batch_shape[d] > 1]


def _same_number(size: int, shape: list[int]) -> torch.Tensor:
    return (torch.arange(shape[0]) % size).reshape(-1, *(1,) * (len(shape) - 1)).expand(shape)


def _any_number(size: int, shape: list[int]) -> torch.Tensor:
    return torch.randint(size, shape)


_CHOICES: dict[str, Callable[[int, list[int]], torch.Tensor]] = {
    "diagonal": _same_number,
    "mixture": _any_number,
}
