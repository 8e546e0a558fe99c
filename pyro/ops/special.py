"""Special functions."""

import math

import torch

from pyro.ops.masking import is_identically_zero


def _stirling(z: torch.Tensor) -> torch.Tensor:
    """Approximate ``log Gamma(z)`` from below, off by at most ``1 / (360 * z**3)``."""
    return (z - 0.5) * z.log() - z + 0.5 * math.log(2 * math.pi) + 1 / (12 * z)


def _shifts(tol: float) -> int | None:
    """Return how often to raise the arguments by 1, or None where that would not be cheaper."""
    bounds = {shifts: 3 / (360 * shifts**3) for shifts in (1, 2, 3)}
    return next((shifts for shifts, bound in bounds.items() if bound <= tol), None)


def log_beta(x: torch.Tensor, y: torch.Tensor, tol: float = 0.0) -> torch.Tensor:
    r"""Return :math:`\log\Gamma(x)+\log\Gamma(y)-\log\Gamma(x+y)`.

    :param x: positive numbers.
    :param y: positive numbers.
    :param tol: the absolute error to tolerate. From 3e-4 on, the logarithm of the gamma function is
        replaced by Stirling's series after a few steps of its recurrence, which has cheaper
        gradients.

    >>> log_beta(torch.tensor(2.0), torch.tensor(3.0))
    tensor(-2.4849)
    >>> (log_beta(torch.tensor(2.0), torch.tensor(3.0), tol=0.01) + 2.4849).abs() < 0.01
    tensor(True)
    """
    shifts = None if is_identically_zero(tol) else _shifts(tol)
    total = x + y
    if shifts is None:
        return torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(total)
    steps = torch.ones_like(total)
    for i in range(shifts):
        steps = steps * ((x + i) * (y + i) / (total + i))
    return _stirling(x + shifts) + _stirling(y + shifts) - _stirling(total + shifts) - steps.log()


def log_binomial(n: torch.Tensor, k: torch.Tensor, tol: float = 0.0) -> torch.Tensor:
    r"""Return :math:`\log\binom nk`.

    :param n: the number of things.
    :param k: how many of them are chosen.
    :param tol: the absolute error to tolerate, as for :func:`log_beta`.

    >>> log_binomial(torch.tensor(4.0), torch.tensor(2.0))
    tensor(1.7918)
    """
    rest = n - k
    if is_identically_zero(tol):
        return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(rest + 1)
    return -(n + 1).log() - log_beta(k + 1, rest + 1, tol)
