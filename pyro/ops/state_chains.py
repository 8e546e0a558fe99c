"""Chains of steps, run in parallel: sums over discrete states, and the paths of states.

Neighbouring steps are joined in pairs, then pairs of pairs, so a chain of ``T`` steps takes about
``log2(T)`` operations one after the other (Blelloch 1990, *Prefix Sums and Their Applications*,
CMU-CS-90-190).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro.ops.matrices import matvecmul
from pyro.ops.readable import is_readable

Steps = tuple[Tensor, ...]  # the parts of each step, time on the left, of size 1 where all share it


def log_matmul_exp(x: Tensor, y: Tensor) -> Tensor:
    r"""Multiply matrices that are given by the logarithms of their entries.

    .. math:: z_{ij} = \log\sum_k e^{x_{ik} + y_{kj}}

    No entry underflows: those whose terms are too small for a product of matrices scaled to 1
    are summed one by one.

    :param x: of shape ``(..., m, k)``; an entry may be minus infinity.
    :param y: of shape ``(..., k, n)``.

    >>> x, y = torch.tensor([[0.0, -1000.0]]), torch.tensor([[-1000.0], [0.0]])
    >>> log_matmul_exp(x, y)
    tensor([[-999.3068]])
    """
    if not is_readable(x) or not is_readable(y):
        return _log_sum(x[..., :, None, :] + y.mT[..., None, :, :])
    limits = torch.finfo(x.dtype)
    tallest = x.detach().amax(-1, keepdim=True).clamp_(min=limits.min)
    widest = y.detach().amax(-2, keepdim=True).clamp_(min=limits.min)
    product = (x - tallest).exp() @ (y - widest).exp()
    least = limits.tiny / limits.eps  # above it, terms that underflow do not matter
    if not product.detach().amin().item() < least:
        return product.log() + tallest + widest
    is_small = product < least
    result = torch.where(is_small, 1.0, product).log() + tallest + widest
    where = is_small.nonzero(as_tuple=True)
    rows = x.expand(result.shape[:-2] + x.shape[-2:])[where[:-1]]
    columns = y.mT.expand(result.shape[:-2] + y.mT.shape[-2:])[where[:-2] + where[-1:]]
    return result.index_put(where, _log_sum(rows + columns))


def _log_sum(terms: Tensor) -> Tensor:
    """Return the logarithm of a sum over the last dimension; where that is 0, with gradient 0."""
    is_empty = (terms == -torch.inf).all(-1, keepdim=True)
    total: Tensor = torch.where(is_empty, 0.0, terms).logsumexp(-1)
    return torch.where(is_empty[..., 0], -torch.inf, total)


def sequential_log_matmul_exp(logits: Tensor) -> Tensor:
    """Multiply all matrices of a chain, which are given by the logarithms of their entries.

    :param logits: of shape ``(..., T, n, n)``, time on the left of the matrices.
    :return: of shape ``(..., n, n)``.
    :raises ValueError: where there is no time.

    >>> chain = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]]).log().expand(5, 2, 2)
    >>> sequential_log_matmul_exp(chain).exp()
    tensor([[1., 5.],
            [0., 1.]])
    """
    if not logits.size(-3):
        raise ValueError("A chain of length 0 has no product; there must be a step.")
    while (steps := logits.size(-3)) > 1:
        whole = logits[..., : steps - steps % 2, :, :].unflatten(-3, (-1, 2))
        joined = log_matmul_exp(*whole.unbind(-3))
        logits = torch.cat([joined, logits[..., -1:, :, :]], -3) if steps % 2 else joined
    return logits[..., 0, :, :]


def state_paths(start: Tensor, maps: Tensor) -> Tensor:
    """Follow discrete states from step to step.

    :param start: states before the first step, integers of shape ``(..., count)``.
    :param maps: for each step and state the next one, integers of shape ``(..., T, n)``.
    :return: the states after each step, of shape ``(..., T, count)``.

    >>> turn = torch.tensor([1, 2, 0]).expand(4, 3)
    >>> state_paths(torch.tensor([0]), turn).flatten()
    tensor([1, 2, 0, 1])
    """

    def join(one: Steps, two: Steps) -> Steps:
        return (two[0].gather(-1, one[0]),)

    def step(states: Tensor, steps: Steps) -> Tensor:
        return steps[0].gather(-1, states)

    return _paths(start, (maps.movedim(-2, 0),), join, step).movedim(0, -2)


def sequential_index(maps: Tensor) -> Tensor:
    """Compose maps between discrete states, from the first to each.

    :param maps: for each step and state the next one, integers of shape ``(..., T, n)``.
    :return: for each step and state before the first step the state after it; of the same shape.

    >>> sequential_index(torch.tensor([[1, 2, 0], [0, 0, 1]]))
    tensor([[1, 2, 0],
            [0, 1, 0]])
    """
    start = torch.arange(maps.size(-1), device=maps.device)
    return state_paths(start.expand(maps.shape[:-2] + start.shape), maps)


def affine_paths(start: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    r"""Follow vectors from step to step, :math:`z_t=z_{t-1}^\top A_t+b_t`.

    :param start: the vectors before the first step, of shape ``(..., n)``.
    :param matrices: those of the steps, of shape ``(..., T, n, n)``; T may be 1 where all are one.
    :param offsets: what each step adds, of shape ``(..., T, n)``.
    :return: the vectors after each step, of shape ``(..., T, n)``.

    >>> affine_paths(torch.ones(1), torch.full((1, 1, 1), 2.0), torch.ones(4, 1)).flatten()
    tensor([ 3.,  7., 15., 31.])
    """

    def join(one: Steps, two: Steps) -> Steps:
        return one[0] @ two[0], step(one[1], two)

    def step(states: Tensor, steps: Steps) -> Tensor:
        return matvecmul(steps[0].mT, states) + steps[1]

    rank = max(start.dim() - 1, matrices.dim() - 3, offsets.dim() - 2)  # of the batch
    parts = (
        matrices[(None,) * (rank + 3 - matrices.dim())].movedim(-3, 0),
        offsets[(None,) * (rank + 2 - offsets.dim())].movedim(-2, 0),
    )
    start = start[(None,) * (rank + 1 - start.dim())]
    return _paths(start, parts, join, step).movedim(0, -2)


def _paths(
    start: Tensor,
    steps: Steps,
    join: Callable[[Steps, Steps], Steps],
    step: Callable[[Tensor, Steps], Tensor],
) -> Tensor:
    """Return the states after each step, time on the left.

    Pairs of steps lead to every other state, and single steps from these to those between.
    """
    count = max(map(len, steps))
    if count == 1:
        return step(start[None], steps)
    pairs = join(_each_second(steps, 0, count - count % 2), _each_second(steps, 1, count))
    evens = _paths(start, pairs, join, step)
    before = torch.cat([start.expand(evens.shape[1:])[None], evens])[: (count + 1) // 2]
    odds = step(before, _each_second(steps, 0, count))
    woven = torch.stack([odds[: len(evens)], evens], 1).flatten(0, 1)
    return torch.cat([woven, odds[-1:]]) if count % 2 else woven


def _each_second(steps: Steps, first: int, stop: int) -> Steps:
    return tuple(part if len(part) == 1 else part[first:stop:2] for part in steps)
