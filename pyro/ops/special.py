"""Special functions."""

import functools
import math
from typing import Any

import numpy as np
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


class _SafeLog(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.log()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = ctx.saved_tensors[0]
        return slopes[0] / x.clamp(min=torch.finfo(x.dtype).eps)


def safe_log(x: torch.Tensor) -> torch.Tensor:
    """Return logarithms, with gradients that stay finite at 0.

    :param x: numbers of 0 or more. Below the rounding error of 1, the gradient is that error's
        reciprocal.

    >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
    >>> torch.autograd.grad(safe_log(x)[1], x)
    (tensor([0., 1.]),)
    """
    log: torch.Tensor = _SafeLog.apply(x)
    return log


def log_I1(orders: int, value: torch.Tensor, terms: int = 250) -> torch.Tensor:
    r"""Return the logarithms of the modified Bessel functions of the first kind, of many orders.

    The ratios of neighbours obey :math:`I_{k-1}/I_k=2k/x+I_{k+1}/I_k`. For a small :math:`x` they
    are found downwards from a high order (Gautschi, 1967, "Computational aspects of three-term
    recurrence relations", SIAM Review 9), and for one beyond the square of the orders upwards,
    which is stable there.

    :param orders: the highest order.
    :param value: the argument :math:`x\ge 0`.
    :param terms: how far above the highest order to begin, at least.
    :return: of shape ``(orders + 1,) + value.shape``: orders 0, 1, and so on. A scalar counts as a
        vector of size 1.
    :raises ValueError: where ``orders`` is negative.

    >>> log_I1(2, torch.tensor([1.0, 2.0]))
    tensor([[ 0.2359,  0.8240],
            [-0.5706,  0.4641],
            [-1.9970, -0.3726]])
    """
    if orders < 0:
        raise ValueError(f"orders is {orders}, expected 0 or more.")
    value = value if value.dim() else value[None]
    logs = [torch.special.i0e(value).log() + value]
    far = max(50.0, float(orders) ** 2)
    near_ratios = _ratios_downwards(orders, value.clamp(max=far), max(terms, 50, 6 * orders))
    far_ratios = _ratios_upwards(orders, value.clamp(min=far))
    for near, distant in zip(near_ratios, far_ratios, strict=True):
        logs.append(logs[-1] + torch.where(value < far, near, distant).log())
    return torch.stack(logs)


def _ratios_downwards(orders: int, x: torch.Tensor, terms: int) -> list[torch.Tensor]:
    """Return I[k] / I[k - 1] for orders from 1, by their continued fraction."""
    ratios = [torch.zeros_like(x)]
    for order in range(orders + terms, 0, -1):
        ratios.append(x / (2 * order + x * ratios[-1]))
    return ratios[: -orders - 1 : -1]


def _ratios_upwards(orders: int, x: torch.Tensor) -> list[torch.Tensor]:
    ratios = [torch.special.i1e(x) / torch.special.i0e(x)]
    for order in range(1, orders):
        ratios.append(1 / ratios[-1] - 2 * order / x)
    return ratios[:orders]


def get_quad_rule(
    num_quad: int, prototype_tensor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Return the points and log weights of Gauss-Hermite quadrature for a standard normal law.

    .. math:: \mathbb{E}f(X) \approx \sum_i e^{w_i} f(x_i),

    exact where :math:`f` is a polynomial of a degree below ``2 * num_quad``.

    :param num_quad: how many points.
    :param prototype_tensor: a tensor of the dtype and on the device that the result shall have.
    :raises ValueError: where there is no point.

    >>> points, log_weights = get_quad_rule(3, torch.tensor(0.0))
    >>> (log_weights.exp() * points**2).sum()
    tensor(1.0000)
    """
    if num_quad < 1:
        raise ValueError(f"num_quad is {num_quad}, expected at least 1.")
    points, weights = _hermite_rule(num_quad)
    return prototype_tensor.new_tensor(points), prototype_tensor.new_tensor(weights)


@functools.lru_cache
def _hermite_rule(num_quad: int) -> tuple[Any, Any]:
    points, weights = np.polynomial.hermite_e.hermegauss(num_quad)
    return points, np.log(weights) - 0.5 * math.log(2 * math.pi)


def sparse_multinomial_likelihood(
    total_count: torch.Tensor, nonzero_logits: torch.Tensor, nonzero_value: torch.Tensor
) -> torch.Tensor:
    r"""Return the log probability of multinomial counts, most of which are zero, in all.

    :param total_count: the sum of the counts in each draw, of any shape.
    :param nonzero_logits: normalised log probabilities of the categories that were counted, of any
        shape.
    :param nonzero_value: their counts, of the same shape.
    :return: a scalar, the sum over all draws.

    >>> logits = torch.tensor([0.5, 0.5]).log()
    >>> sparse_multinomial_likelihood(torch.tensor(2.0), logits, torch.tensor([1.0, 1.0])).exp()
    tensor(0.5000)
    """
    arrangements = torch.lgamma(1 + total_count).sum() - torch.lgamma(1 + nonzero_value).sum()
    return arrangements + (nonzero_value * nonzero_logits).sum()
