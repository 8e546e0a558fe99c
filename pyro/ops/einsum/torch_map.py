"""The semiring of maxima: products are sums of logarithms, and sums are maxima."""

import torch
from torch import Tensor

from pyro.ops.einsum.adjoint import record, transpose
from pyro.ops.einsum.choice import Choice
from pyro.ops.einsum.layout import combine, finish, layout_of
from pyro.ops.einsum.util import Tensordot


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Maximise products of numbers that are given by their logarithms, in one step.

    :param equation: such as ``"ab,bc->ac"``; what the result has not is maximised over.
    :param operands: logarithms of the factors. A pass back assigns to those that were marked by
        :func:`~pyro.ops.einsum.adjoint.require_backward` their values where the maximum is.

    >>> einsum("a,ab->b", torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 3.0], [1.0, 1.0]]))
    tensor([2., 3.])
    """
    layout = layout_of(equation)
    result = combine(layout, operands, torch.add)
    if layout.summed:
        result = result.amax(layout.summed)
    result = finish(layout, result)
    if result is operands[0]:
        result = result[...]
    return record(result, operands, lambda: Choice(equation, operands, _best))


def _best(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


tensordot = Tensordot(einsum)

__all__ = ["einsum", "tensordot", "transpose"]
