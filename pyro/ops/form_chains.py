"""Chains of exponentiated forms: products of neighbours, integrated over what they share.

The functions of a chain have variables ``(x, y)``, a state and the next one; time is the last
dimension of their batch. Where all have the same precision, which is then of size 1 there, it is
factorised once for all pairs of neighbours.
"""

from typing import TypeVar

import torch
from torch import Tensor

from pyro.ops.information_form import Elimination, InformationForm, rows_times, solve_rows
from pyro.ops.matrices import safe_cholesky, triangular_solve
from pyro.ops.shapes import broadcast_tensors_without_dim

F = TypeVar("F", bound=InformationForm)


def chain_product(chain: F) -> F:
    """Integrate over all states but the first and the last.

    It takes about ``log2(T)`` steps one after the other. Where one precision serves all, what is
    odd is kept for the end, so that the rest stays alike.

    :param chain: the functions, one at least.
    """
    rest: list[F] = []
    while (steps := _length(chain)) > 1:
        if steps % 2 and chain.precision.size(-3) == 1:
            rest.insert(0, _during(chain, steps - 1, 1))
            chain = _during(chain, 0, steps - 1)
        _, chain = pair_up(chain)
    if rest:
        return chain_product(_in_a_row(chain, *rest))
    return chain._each(lambda x, rank: x.squeeze(-1 - rank))


def as_chain(chain: F) -> F:
    """Expand a chain over its batch, but for precisions, which need only broadcast.

    :param chain: the functions.
    """
    shape, forms = chain.batch_shape, chain.precision
    alike = chain._with(precision=forms.new_zeros(forms.shape[-2:])).expand(shape)
    return alike._with(precision=forms if forms.dim() > 2 else forms[None])


def pair_up(chain: F) -> tuple[Elimination, F]:
    """Integrate over every other state; return how, and what is left.

    :param chain: the functions, two at least. The last of an odd number stays as it is.
    """
    steps, size = _length(chain), chain.dim() // 2
    even = chain if steps % 2 == 0 else _during(chain, 0, steps - 1)
    pairs = {name: _pairs(getattr(even, name), -1 - rank) for name, rank in even._ranks.items()}
    one, two = (type(even)(**{name: pair[i] for name, pair in pairs.items()}) for i in (0, 1))
    middle = _integrate_between(one, two, size)
    halved = one._merged(two, middle)
    if even is not chain:
        halved = _in_a_row(halved, _during(chain, steps - 1, 1))
    return middle, halved


def _integrate_between(one: F, two: F, size: int) -> Elimination:
    before, here = one.info_vec.chunk(2, -1)
    there, after = two.info_vec.chunk(2, -1)
    shared = one.precision is two.precision
    blocks = _blocks(one.precision)
    (first, _), (left, upper) = blocks
    (lower, right), (_, last) = blocks if shared else _blocks(two.precision)
    factor = safe_cholesky(upper + lower)
    slope = triangular_solve(torch.cat([left, right], -1), factor)
    shift = solve_rows(here + there, factor)
    pad = torch.constant_pad_nd
    ends = torch.cat([pad(first, [0, size]), pad(last, [size, 0])], -2)
    return Elimination(
        torch.cat([before, after], -1) - rows_times(shift, slope),
        ends - slope.mT @ slope,
        0.5 * shift.square().sum(-1),
        factor.diagonal(dim1=-2, dim2=-1).log().sum(-1),
        factor,
        shift,
        slope,
    )


def _blocks(matrix: Tensor) -> list[tuple[Tensor, ...]]:
    return [rows.chunk(2, -1) for rows in matrix.chunk(2, -2)]


def _length(chain: InformationForm) -> int:
    return chain.info_vec.size(-2)


def _during(chain: F, start: int, count: int) -> F:
    """Return some steps of a chain; what all have in common stays as it is."""
    return chain._each(
        lambda x, rank: x if x.size(-1 - rank) == 1 else x.narrow(-1 - rank, start, count)
    )


def _in_a_row(*chains: F) -> F:
    """Return one chain after the other; what was shared by all steps is so no longer."""

    def joined(name: str, rank: int) -> Tensor:
        time, parts = -1 - rank, []
        for chain in chains:
            x, steps = getattr(chain, name), _length(chain)
            if x.size(time) != steps:
                x = x.expand(*x.shape[:time], steps, *x.shape[time:][1:])
            parts.append(x)
        if any(x.shape[:time] != parts[0].shape[:time] for x in parts):
            parts = broadcast_tensors_without_dim(parts, time)
        return torch.cat(parts, time)

    return type(chains[0])(**{name: joined(name, rank) for name, rank in chains[0]._ranks.items()})


def _pairs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    if x.size(dim) == 1:
        return x, x
    one, two = x.unflatten(dim, (-1, 2)).unbind(dim)
    return one, two
