"""Sums, draws and maxima over assignments of sources to destinations of equal capacity.

Scores ``logits`` have shape ``(..., sources, destinations)`` with
``sources == capacity * destinations``. An assignment gives each source one destination and each
destination ``capacity`` sources; its log weight is the sum of its scores.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

_MOST_STATES = 2**20  # of the sums below: 20 destinations of one source, or 12 of two


def can_sum(destinations: int, capacity: int) -> bool:
    """Tell whether :func:`log_sum` and :func:`draw` are feasible.

    :param destinations: how many there are.
    :param capacity: how many sources each takes.

    >>> can_sum(20, 1), can_sum(21, 1)
    (True, False)
    """
    return destinations * math.log(capacity + 1) <= math.log(_MOST_STATES)


@lru_cache(maxsize=8)
def _predecessors(destinations: int, capacity: int) -> tuple[Tensor, ...]:
    """Index, for each number of sources placed, the ways to have come to each state.

    A state says how many sources each destination has. The table of layer ``r`` has for each state
    with ``r`` sources, and each destination, the position in layer ``r - 1`` of the state with one
    source less there; or, where there is none to take away, the number of states of that layer.
    """
    base = capacity + 1
    weights = base ** np.arange(destinations)
    codes = np.arange(base**destinations)
    counts = (codes[:, None] // weights % base).astype(np.int8)
    totals = counts.sum(-1)
    position = np.empty_like(codes)
    tables, size = [], 0
    for total in range(capacity * destinations + 1):
        layer = codes[totals == total]
        if total:
            before = np.where(counts[layer] > 0, position[layer[:, None] - weights], size)
            tables.append(torch.as_tensor(before))
        position[layer] = np.arange(size := len(layer))
    return tuple(tables)


def _partial_sums(logits: Tensor, capacity: int) -> list[Tensor]:
    """Sum over the assignments of the first sources that lead to each state, for each number.

    Each layer has one more entry, minus infinity, for the states that there are not.
    """
    # minus infinity alone in a sum would have no gradient
    logits = logits.clamp(min=torch.finfo(logits.dtype).min / (4 * logits.size(-2)))
    level = pad(logits.new_zeros(logits.shape[:-2] + (1,)), (0, 1), value=-torch.inf)
    levels = [level]
    for source, before in enumerate(_predecessors(logits.size(-1), capacity)):
        terms = level[..., before.to(logits.device)] + logits[..., source, None, :]
        level = pad(terms.logsumexp(-1), (0, 1), value=-torch.inf)
        levels.append(level)
    return levels


def log_sum(logits: Tensor, capacity: int) -> Tensor:
    """Return the log of the sum of the weights of all assignments, exactly.

    For capacity 1 this is the log of a permanent. It adds positive terms only, over subsets of the
    destinations: time and memory grow as ``destinations * (capacity + 1) ** destinations``.

    :param logits: the scores.
    :param capacity: how many sources each destination takes.

    >>> log_sum(torch.zeros(3, 3), 1).exp()
    tensor(6.)

    Source: Bellman 1962, *Dynamic Programming Treatment of the Travelling Salesman Problem*, which
    sums over subsets like this.
    """
    return _partial_sums(logits, capacity)[-1][..., 0]


def draw(logits: Tensor, capacity: int, sample_shape: Sequence[int] = ()) -> Tensor:
    """Draw assignments with probability proportional to their weights, exactly.

    :param logits: the scores.
    :param capacity: how many sources each destination takes.
    :param sample_shape: the shape of independent draws.

    >>> draw(torch.zeros(2, 2), 1, (5,)).shape
    torch.Size([5, 2])
    """
    logits = logits.detach()
    shape = torch.Size(sample_shape) + logits.shape[:-1]
    logits = logits.reshape((-1,) + logits.shape[-2:])
    levels = _partial_sums(logits, capacity)
    count = shape[:-1].numel()
    which = torch.arange(count, device=logits.device) % max(1, len(logits))
    state = torch.zeros_like(which)
    value = which.new_empty((count, shape[-1]))
    tables = _predecessors(logits.size(-1), capacity)
    for source in reversed(range(shape[-1])):
        before = tables[source].to(logits.device)[state]
        scores = levels[source][which[:, None], before] + logits[which, source]
        choice = (scores - torch.empty_like(scores).exponential_().log()).argmax(-1, True)
        state = before.gather(-1, choice)[:, 0]
        value[:, source] = choice[:, 0]
    return value.reshape(shape)


def _log_elementary(x: Tensor, order: int) -> list[Tensor]:
    """Return logs of elementary symmetric polynomials, of 0 to order, of all entries before each.

    There is one more entry than ``x`` has, for the polynomials of all of them. What is an empty sum
    is a finite number that is far below any other, whose gradient is 0.
    """
    nothing = torch.finfo(x.dtype).min / 8
    sums = [torch.zeros_like(pad(x, (1, 0)))]
    for _ in range(order):
        terms = (x + sums[-1][..., :-1]).clamp(min=nothing)
        sums.append(pad(terms.logcumsumexp(-1), (1, 0), value=nothing))
    return sums


def _log_sum_of_others(x: Tensor) -> Tensor:
    """Return logs of the sums of all but each entry, even if it outweighs the others."""
    total, top = x.logsumexp(-1, True), x.argmax(-1, True)
    share = (x - total).exp().scatter(-1, top, 0.0)
    others = x.scatter(-1, top, torch.finfo(x.dtype).min / 8).logsumexp(-1, True)
    return (total + torch.log1p(-share)).scatter(-1, top, others)


def _log_elementary_of_others(x: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return logs of elementary symmetric polynomials, the last two, of all but each entry."""
    if order == 1:
        return torch.zeros_like(x), _log_sum_of_others(x)
    before = [sums[..., :-1] for sums in _log_elementary(x, order)]
    after = [sums[..., :-1].flip(-1) for sums in _log_elementary(x.flip(-1), order)]

    def combined(k: int) -> Tensor:
        return torch.stack([before[i] + after[k - i] for i in range(k + 1)]).logsumexp(0)

    return combined(order - 1), combined(order)


def bethe_log_sum(logits: Tensor, capacity: int, iterations: int) -> Tensor:
    """Approximate :func:`log_sum` by belief propagation, in time linear in the number of scores.

    It is a lower bound once converged, where the capacity is 1.

    :param logits: the scores.
    :param capacity: how many sources each destination takes.
    :param iterations: how often to pass messages to and fro.

    >>> bethe_log_sum(torch.zeros(3, 3), 1, 20).exp()
    tensor(2.3704)

    Source: Vontobel 2013, *The Bethe Permanent of a Nonnegative Matrix*, arXiv:1107.4196.
    """
    if logits.size(-1) == 1:
        return logits.sum((-1, -2))
    possible = logits > -torch.inf
    lowest = logits.detach().where(possible, torch.inf).amin() - 100.0
    logits = logits.where(possible, lowest)  # messages about what is impossible stay finite
    to_source = torch.zeros_like(logits)  # log odds that a pair is matched
    to_destination = to_source
    for _ in range(iterations):
        none, one = _log_elementary_of_others(logits + to_source, 1)
        to_destination = none - one
        less, full = _log_elementary_of_others((logits + to_destination).mT, capacity)
        to_source = (less - full).mT
    sources = (logits + to_source).logsumexp(-1).sum(-1)
    destinations = _log_elementary((logits + to_destination).mT, capacity)[-1][..., -1].sum(-1)
    pairs = torch.nn.functional.softplus(logits + to_source + to_destination).sum((-1, -2))
    return sources + destinations - pairs


def best(logits: Tensor, capacity: int) -> Tensor:
    """Return an assignment of largest weight.

    :param logits: the scores.
    :param capacity: how many sources each destination takes.

    >>> best(torch.tensor([[1.0, 3.0], [0.0, 1.0]]), 1)
    tensor([1, 0])
    """
    flat = logits.detach().double().cpu().reshape((-1,) + logits.shape[-2:]).numpy()
    places = np.repeat(flat, capacity, axis=-1)
    found = [_least_cost(_as_cost(scores)) // capacity for scores in places]
    shape = logits.shape[:-1]
    return torch.as_tensor(np.array(found, dtype=np.int64).reshape(shape), device=logits.device)


def _as_cost(scores: Any) -> Any:
    """Negate, and make what is impossible dearer than all that is possible together."""
    possible = np.isfinite(scores)
    most = np.abs(scores[possible]).max(initial=0.0)
    return np.where(possible, -scores, 1.0 + 2.0 * len(scores) * most)


def _least_cost(cost: Any) -> Any:
    """Return the column of each row in a cheapest assignment of rows to columns.

    Rows are added one by one. Each takes the column at the end of a shortest path of exchanges,
    found by Dijkstra's algorithm on costs that potentials keep from being negative.
    """
    size = len(cost)
    row_at = np.full(size, -1)
    of_row, of_column = np.zeros(size), np.zeros(size)
    for start in range(size):
        distance, via = np.full(size, np.inf), np.full(size, -1)
        reached = np.zeros(size, dtype=bool)
        row, column, length = start, -1, 0.0
        while row >= 0:
            through = length + cost[row] - of_row[row] - of_column
            shorter = ~reached & (through < distance)
            distance[shorter], via[shorter] = through[shorter], column
            column = int(np.where(reached, np.inf, distance).argmin())
            length, reached[column], row = distance[column], True, row_at[column]
        slack = length - distance[reached]
        taken = row_at[reached]
        of_column[reached] -= slack
        of_row[taken[taken >= 0]] += slack[taken >= 0]
        of_row[start] += length
        while column >= 0:
            before = via[column]
            row_at[column] = row_at[before] if before >= 0 else start
            column = before
    return row_at.argsort()


def enumerate_all(destinations: int, capacity: int) -> Tensor:
    """List all assignments, in lexicographic order.

    :param destinations: how many there are.
    :param capacity: how many sources each takes.

    >>> enumerate_all(2, 1)
    tensor([[0, 1],
            [1, 0]])
    """
    value = torch.empty(1, 0, dtype=torch.long)
    places = torch.full((1, destinations), capacity)
    for _ in range(capacity * destinations):
        which, chosen = places.nonzero(as_tuple=True)
        value = torch.cat([value[which], chosen[:, None]], -1)
        places = places[which]
        places[torch.arange(len(places)), chosen] -= 1
    return value
