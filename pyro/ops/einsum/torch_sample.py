"""The semiring of logarithms, with a pass back that draws an exact joint sample."""

from torch import Tensor

from pyro.ops.einsum import torch_log
from pyro.ops.einsum.adjoint import record, transpose
from pyro.ops.einsum.choice import Choice
from pyro.ops.einsum.util import Tensordot


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sum products of numbers that are given by their logarithms, in one step.

    :param equation: such as ``"ab,bc->ac"``.
    :param operands: logarithms of the factors. A pass back assigns to those that were marked by
        :func:`~pyro.ops.einsum.adjoint.require_backward` their values in one draw from the joint
        distribution that the factors define up to a constant.

    >>> import torch
    >>> from pyro.ops.einsum.adjoint import require_backward
    >>> x = torch.tensor([-torch.inf, 0.0])
    >>> require_backward(x)
    >>> einsum("x->", x)._pyro_backward()
    >>> x._pyro_backward_result
    tensor([1])
    """
    result = torch_log.einsum(equation, *operands)
    if result is operands[0]:
        result = result[...]
    return record(result, operands, lambda: Choice(equation, operands, _draw))


def _draw(logits: Tensor) -> Tensor:
    probs = (logits - logits.amax(-1, keepdim=True)).exp()
    try:
        drawn = probs.reshape(-1, probs.shape[-1]).multinomial(1, replacement=True)
    except RuntimeError as error:
        raise ValueError(
            "cannot draw from a distribution in which every outcome has probability zero, or one "
            "whose log density is NaN or infinite. Look for impossible observations."
        ) from error
    return drawn.reshape(probs.shape[:-1])


tensordot = Tensordot(einsum)

__all__ = ["einsum", "tensordot", "transpose"]
