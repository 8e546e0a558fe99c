"""The semiring of logarithms: products are sums, and sums are logsumexps.

Log 0 is exactly minus infinity, and no gradient through it is NaN.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from pyro.ops.einsum.adjoint import transpose
from pyro.ops.einsum.layout import (
    Layout,
    clique_size,
    combine,
    finish,
    layout_of,
    matmul_equation,
    shape_of,
)
from pyro.ops.einsum.util import Tensordot
from pyro.ops.readable import is_readable

_LARGE = 2**22


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sum products of numbers that are given by their logarithms, in one step.

    The product is formed in full, so that terms may differ by any factor, unless it would have
    more than four million elements and is larger than its operands: then matrices of numbers
    relative to their largest are multiplied, where what is ``exp(-700)`` times smaller (float64;
    ``exp(-87)`` for float32) counts as zero.

    :param equation: such as ``"ab,bc->ac"``.
    :param operands: logarithms of the factors.

    >>> einsum("a,a->", torch.tensor([0.0, -1000.0]), torch.tensor([-1000.0, 0.0]))
    tensor(-999.3068)
    """
    layout = layout_of(equation)
    if not layout.summed:
        return finish(layout, combine(layout, operands, torch.add))
    if len(operands) > 1 and _is_too_large(layout, operands):
        return _multiply_matrices(layout, operands)
    return finish(layout, logsumexp(combine(layout, operands, torch.add), layout.summed))


def logsumexp(value: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    """Return the logarithm of a sum, minus infinity with gradients 0 where all terms are 0.

    :param value: logarithms of the terms.
    :param dims: the dims to sum out.
    :param keepdim: leave them with the size 1.

    >>> x = torch.full((2,), -torch.inf, requires_grad=True)
    >>> logsumexp(x, [0]), torch.autograd.grad(logsumexp(x, [0]), x)
    (tensor(-inf, grad_fn=<...>), (tensor([0., 0.]),))
    """
    if not value.is_cuda and is_readable(value):
        total = value.logsumexp(tuple(dims), keepdim)
        if total.numel() and total.detach().min().item() > -torch.inf:
            return total
    # torch's own gradient is NaN where all terms are 0, so it never gets to see an infinity.
    lowest = torch.finfo(value.dtype).min
    total = value.clamp(min=lowest).logsumexp(tuple(dims), keepdim)
    return torch.threshold(total, lowest / 2, -torch.inf)


def _is_too_large(layout: Layout, operands: Sequence[Tensor]) -> bool:
    largest = max([prod(shape_of(operand)) for operand in operands])
    if largest ** len(operands) <= _LARGE:
        return False
    return clique_size(layout, operands) > max(_LARGE, 2 * largest)


def _multiply_matrices(layout: Layout, operands: Sequence[Tensor]) -> Tensor:
    summed = {layout.order[dim] for dim in layout.summed}
    factors, shifts = [], []
    for dims, operand in zip(layout.inputs, operands, strict=True):
        axes = [i for i, letter in enumerate(dims) if letter in summed]
        shift = operand.detach().amax(axes, keepdim=True) if axes else operand.detach()
        shift = shift.clamp(min=torch.finfo(shift.dtype).min, max=torch.finfo(shift.dtype).max)
        factors.append((operand - shift).exp())
        shifts.append(shift.squeeze(axes) if axes else shift)
    equation = matmul_equation(layout.inputs, layout.output)
    total = torch.einsum(equation, *factors)
    positive = total > 0
    total = torch.where(positive, torch.where(positive, total, 1.0).log(), -torch.inf)
    kept = ["".join(x for x in dims if x not in summed) for dims in layout.inputs]
    scales = layout_of(f"{','.join(kept)}->{layout.output}")
    return total + finish(scales, combine(scales, shifts, torch.add))


tensordot = Tensordot(einsum)

__all__ = ["einsum", "logsumexp", "tensordot", "transpose"]
