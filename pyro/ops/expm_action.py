"""The exponential of a matrix, applied to a vector."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# The norm up to which a power series is summed, with little cancellation.
_LONGEST_STEP = 2.0


def expm_action(matrix: Tensor, vector: Tensor, terms: int = 1) -> Tensor:
    r"""Return :math:`e^M v` to rounding, without the matrix :math:`e^M`.

    As :math:`e^M = (e^{M/s})^s`, a vector is multiplied :math:`s` times by the power series of
    :math:`M/s`, whose norm is at most 2, by Horner's rule.

    :param matrix: :math:`M`, shape ``(…, D, D)``.
    :param vector: :math:`v`, shape ``(…, D)``.
    :param terms: how many terms of the series to take at least; as many as rounding shows are taken
        anyhow.
    :raises ValueError: where the matrix is not finite.

    >>> turn = torch.tensor([[0.0, -math.pi], [math.pi, 0.0]])
    >>> expm_action(turn, torch.tensor([1.0, 2.0]))
    tensor([-1.0000, -2.0000])

    Source: Al-Mohy and Higham 2011, *Computing the Action of the Matrix Exponential*, SIAM Journal
    on Scientific Computing 33, doi:10.1137/100788860.
    """
    norm = _norm(matrix.detach())
    if not math.isfinite(norm):
        raise ValueError("The exponential of a matrix that is not finite is not defined.")
    steps = max(1, math.ceil(norm / _LONGEST_STEP))
    count = max(terms, _terms_needed(norm / steps, vector.dtype))
    small = matrix.mT / steps if steps > 1 else matrix.mT
    batch: tuple[int, ...] = vector.shape[:-1]
    multiply_add: Callable[..., Tensor]
    if matrix.dim() == 2:
        multiply_add, result = torch.addmm, vector.reshape(-1, vector.size(-1))
    else:
        batch = torch.broadcast_shapes(batch, matrix.shape[:-2])
        small = small.expand(*batch, -1, -1).reshape(-1, *small.shape[-2:])
        multiply_add = torch.baddbmm
        result = vector.expand(*batch, -1).reshape(-1, 1, vector.size(-1))
    for _ in range(steps):
        start = result
        for power in range(count, 0, -1):
            result = multiply_add(start, result, small, alpha=1 / power)
    return result.reshape(*batch, -1)


def _norm(matrix: Tensor) -> float:
    """Return a number that no matrix of a batch exceeds in one of two operator norms."""
    sizes = matrix.abs()
    return float(torch.minimum(sizes.sum(-1).amax(-1), sizes.sum(-2).amax(-1)).amax())


def _terms_needed(norm: float, dtype: torch.dtype) -> int:
    """Return after how many terms the rest of a power series is below rounding."""
    terms, size, least = 0, 1.0, torch.finfo(dtype).eps / 8
    while size > least:
        terms += 1
        size *= norm / terms
    return terms
