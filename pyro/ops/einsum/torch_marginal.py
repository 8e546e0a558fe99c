"""The semiring of logarithms, with a pass back that computes marginals.

What passes between two steps is the marginal of the dims that they share, as in a junction tree.

**References**

- F. V. Jensen, S. L. Lauritzen, K. G. Olesen (1990), *Bayesian updating in causal probabilistic
  networks by local computations*.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pyro.ops.einsum import torch_log
from pyro.ops.einsum.adjoint import Backward, Message, backward_of, record, transpose
from pyro.ops.einsum.layout import combine, layout_of
from pyro.ops.einsum.util import Tensordot
from pyro.ops.packed import aligned, named


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sum products of numbers that are given by their logarithms, in one step.

    :param equation: such as ``"ab,bc->ac"``.
    :param operands: logarithms of the factors. A pass back leaves in those that were marked by
        :func:`~pyro.ops.einsum.adjoint.require_backward` the logarithm of the sum over all
        variables but their own, in their own dims.

    >>> from pyro.ops.einsum.adjoint import require_backward
    >>> x, y = torch.tensor([1.0, 2.0]).log(), torch.tensor([3.0, 4.0]).log()
    >>> require_backward(x)
    >>> einsum("x,y->", x, y)._pyro_backward()
    >>> x._pyro_backward_result.exp().round()
    tensor([ 7., 14.])
    """
    result = torch_log.einsum(equation, *operands)
    if result is operands[0]:
        result = result[...]
    return record(result, operands, lambda: _Marginal(equation, operands))


class _Marginal(Backward):
    def __init__(self, equation: str, operands: Sequence[Tensor]) -> None:
        self.layout = layout_of(equation)
        self.operands = operands

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        layout = self.layout
        belief = combine(layout, self.operands, torch.add)
        if message is not None:
            if layout.summed:
                total = torch_log.logsumexp(belief, layout.summed, keepdim=True)
                belief = belief - total.clamp(min=torch.finfo(total.dtype).min)
                belief = belief + aligned(message, layout.order)
            else:
                belief = aligned(message, layout.order)
        for dims, operand in zip(layout.inputs, self.operands, strict=True):
            backward = backward_of(operand)
            if backward is not None:
                yield backward, _marginal(belief, layout.order, dims)


def _marginal(belief: Tensor, order: str, dims: str) -> Tensor:
    rank = len(order)
    others = tuple(i - rank for i, letter in enumerate(order) if letter not in dims)
    kept = "".join(letter for letter in order if letter in dims)
    marginal = named(torch_log.logsumexp(belief, others) if others else belief[...], kept)
    return named(aligned(marginal, dims)[...], dims)


tensordot = Tensordot(einsum)

__all__ = ["einsum", "tensordot", "transpose"]
