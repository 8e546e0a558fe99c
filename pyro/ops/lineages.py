"""Lineages of a tree, backwards in time: how many there are, and when they meet.

The leaves of a tree are sampled at ``leaf_times``; two lineages meet at each of ``coal_times``, of
which there is one less, along the rightmost dimension.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyro.ops.shapes import broadcast_shape


def merged(leaf_times: Tensor, coal_times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort leaves and meetings together.

    :param leaf_times: the times of leaves.
    :param coal_times: the times of meetings.
    :returns: the times, from early to late; whether each is a meeting; and the number of pairs of
        lineages just after each of them.

    >>> merged(torch.zeros(3), torch.tensor([-2.0, -1.0]))[2]
    tensor([1., 3., 1., 0., -0.])
    """
    shape = broadcast_shape(leaf_times.shape[:-1], coal_times.shape[:-1])
    coal_times = coal_times.expand(shape + coal_times.shape[-1:])
    leaf_times = leaf_times.expand(shape + leaf_times.shape[-1:])
    # of equal times, meetings come first: they are as early as can be
    times, order = torch.cat([coal_times, leaf_times], -1).sort(dim=-1, stable=True)
    is_meeting = order < coal_times.size(-1)
    ends = torch.where(is_meeting, 1.0, -1.0).to(times.dtype)
    lineages = 1 + ends.cumsum(-1)
    return times, is_meeting, lineages * (lineages - 1) / 2


def log_pairs(is_meeting: Tensor, pairs: Tensor) -> Tensor:
    """Return for each event the log of the number of pairs that can meet, 0 for leaves.

    :param is_meeting: which events are meetings.
    :param pairs: the number of pairs just after each event.

    >>> log_pairs(torch.tensor([True, False]), torch.tensor([1.0, 0.0]))
    tensor([0., 0.])
    """
    return torch.where(is_meeting, pairs.clamp(min=1.0), torch.ones_like(pairs)).log()


def draw_meetings(leaf_times: Tensor, rate: Tensor, sample_shape: Sequence[int] = ()) -> Tensor:
    """Draw the times at which lineages meet, each pair at the same rate.

    Backwards in time the next event is a leaf, or a meeting should it be sooner; after a leaf the
    waiting starts anew, since it has no memory.

    :param leaf_times: the times of leaves, in any order.
    :param rate: the rate, which broadcasts to the batch shape of ``leaf_times``.
    :param sample_shape: the shape of independent draws.

    >>> draw_meetings(torch.zeros(3), torch.tensor(1.0), (5,)).shape
    torch.Size([5, 2])
    """
    shape = torch.Size(sample_shape) + leaf_times.shape[:-1]
    leaves = leaf_times.detach().sort(-1, descending=True).values.cpu().numpy()
    count = leaves.shape[-1]
    leaves = np.broadcast_to(leaves, shape + (count,)).reshape(-1, count)
    leaves = np.pad(leaves, ((0, 0), (0, 1)), constant_values=-np.inf)
    waits = torch.empty((2 * count - 2, len(leaves)), dtype=leaf_times.dtype).exponential_()
    waits = waits / rate.detach().cpu().expand(shape).reshape(-1)
    pairs = np.maximum(np.arange(count + 1) * np.arange(-1, count) / 2, 1e-300)  # by lineages
    which = np.arange(len(leaves))
    now = leaves[:, 0]
    seen = np.ones(len(leaves), dtype=np.int64)  # leaves
    met = np.zeros_like(seen)
    value = np.empty_like(leaves[:, :count])  # the last entry takes what is to be overwritten
    with np.errstate(over="ignore"):
        for wait in waits.numpy():
            leaf = leaves[which, seen]
            meeting = (now - wait / pairs[seen - met]).astype(now.dtype)
            meets = meeting > leaf
            now = np.where(meets, meeting, leaf)
            value[which, np.where(meets, count - 2 - met, count - 1)] = now
            met = met + meets
            seen = seen + ~meets
    return torch.as_tensor(value[:, :-1], device=leaf_times.device).reshape(shape + (count - 1,))


def cumulative_rate(rate_grid: Tensor, times: Tensor) -> Tensor:
    """Integrate a rate that is constant within unit intervals, and beyond them, from 0.

    :param rate_grid: the rates in intervals from 0 on.
    :param times: where to, of shape ``(..., count)``.

    >>> cumulative_rate(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  5.0000])
    """
    last = rate_grid.size(-1) - 1
    shape = broadcast_shape(rate_grid.shape[:-1], times.shape[:-1])
    rates = rate_grid.expand(shape + rate_grid.shape[-1:])
    times = times.expand(shape + times.shape[-1:])
    cell = times.detach().floor().clamp(0, last)
    before = torch.nn.functional.pad(rates.cumsum(-1)[..., :-1], (1, 0))
    index = cell.long()
    return before.gather(-1, index) + rates.gather(-1, index) * (times - cell)


def inverse_cumulative_rate(rate_grid: Tensor, level: Tensor) -> Tensor:
    """Return the times at which :func:`cumulative_rate` has some levels.

    :param rate_grid: the rates in intervals from 0 on.
    :param level: the levels, of shape ``(..., count)`` and of the whole batch.

    >>> inverse_cumulative_rate(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.5, 5.0]))
    tensor([-1.0000,  0.5000,  3.0000])
    """
    rates = rate_grid.expand(level.shape[:-1] + rate_grid.shape[-1:]).contiguous()
    before = torch.nn.functional.pad(rates.cumsum(-1)[..., :-1], (1, 0))
    index = torch.searchsorted(before, level.contiguous(), right=True).sub(1).clamp(min=0)
    return index + (level - before.gather(-1, index)) / rates.gather(-1, index)


def exposures(times: Tensor, pairs: Tensor, duration: int) -> Tensor:
    """Return the integral of the number of pairs over each interval of time.

    It is the sum over events of the change of that number times what is left of the interval. What
    lies outside counts to the first and the last one.

    :param times: the times of events, from early to late.
    :param pairs: the number of pairs just after each event.
    :param duration: the number of intervals, from 0 on.

    >>> exposures(torch.tensor([-1.0, 0.5, 1.5]), torch.tensor([3.0, 1.0, 0.0]), 2)
    tensor([5.0000, 0.5000])
    """
    edges = torch.arange(1.0, duration, dtype=times.dtype, device=times.device)
    jumps = torch.cat([pairs[..., :1], pairs.diff(dim=-1)], -1)
    sofar = (edges[:, None] - times[..., None, :]).clamp(min=0.0)
    integral = (sofar * jumps[..., None, :]).sum(-1)
    total = -(jumps * times).sum(-1, True)  # no pairs are left at the end
    nothing = torch.zeros_like(total)
    return torch.cat([nothing, integral, total], -1).diff(dim=-1)
