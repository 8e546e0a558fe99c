"""The semiring of plain numbers: sums of products."""

from functools import lru_cache

import torch
from torch import Tensor

from pyro.ops.einsum.adjoint import transpose
from pyro.ops.einsum.layout import combine, common_order, finish, layout_of, matmul_equation, split
from pyro.ops.einsum.util import Tensordot


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sum products of numbers in one step.

    The largest operand should stand last: the others are multiplied first, and the last product is
    a matrix product where it can be.

    :param equation: such as ``"ab,bc->ac"``.
    :param operands: the factors.

    >>> einsum("a,a->", torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    layout = layout_of(equation)
    if layout.summed and len(operands) > 1:
        rest, last = _two_factors(equation)
        product = operands[0]
        if rest is not None:
            rest_layout = layout_of(rest)
            product = finish(rest_layout, combine(rest_layout, operands[:-1], torch.mul))
        return torch.einsum(last, product, operands[-1])
    product = combine(layout, operands, torch.mul)
    return finish(layout, product.sum(layout.summed) if layout.summed else product)


@lru_cache(maxsize=2**16)
def _two_factors(equation: str) -> tuple[str | None, str]:
    """Split a step into the product of all operands but the last, and what is left to do."""
    inputs, output = split(equation)
    dims = inputs[0] if len(inputs) == 2 else common_order(inputs[:-1])
    rest = None if len(inputs) == 2 else f"{','.join(inputs[:-1])}->{dims}"
    return rest, matmul_equation([dims, inputs[-1]], output)


tensordot = Tensordot(einsum)

__all__ = ["einsum", "tensordot", "transpose"]
