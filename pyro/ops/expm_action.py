"""The exponential of a matrix, applied to a vector."""

import math

import torch
from torch import Tensor


def expm_action(matrix: Tensor, vector: Tensor, terms: int = 1) -> Tensor:
    r"""Return :math:`e^M v` to rounding, without the matrix :math:`e^M`.

    As :math:`e^M = (e^{M/s})^s`, a vector is multiplied :math:`s` times by the power series of
    :math:`M/s`, whose norm is at most 1.

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
    norm = float(matrix.detach().abs().sum(-1).amax())
    if not math.isfinite(norm):
        raise ValueError("The exponential of a matrix that is not finite is not defined.")
    steps = max(1, math.ceil(norm))
    small = matrix.mT / steps if steps > 1 else matrix.mT
    is_batched = matrix.dim() > 2
    result = vector.unsqueeze(-2) if is_batched else vector
    for _ in range(steps):
        term = result
        for power in range(1, 1 + max(terms, _terms_needed(norm / steps, vector.dtype))):
            term = term @ small / power
            result = result + term
    return result.squeeze(-2) if is_batched else result


def _terms_needed(norm: float, dtype: torch.dtype) -> int:
    """Return after how many terms the rest of a power series is below rounding."""
    terms, size, least = 0, 1.0, torch.finfo(dtype).eps / 8
    while size > least:
        terms += 1
        size *= norm / terms
    return terms
