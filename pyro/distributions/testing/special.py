"""Special functions of numbers or tensors, for tests of significance."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Number = Tensor | float


def log(x: float) -> float:
    """Return the natural logarithm of a number, minus infinity where it is not positive.

    :param x: the number.

    >>> log(0.0)
    -inf
    """
    return math.log(x) if x > 0 else -math.inf


def incomplete_gamma(x: Number, s: Number) -> Number:
    r"""Return the lower incomplete gamma function, regularised.

    .. math:: P(s, x) = \frac1{\Gamma(s)} \int_0^x t^{s-1} e^{-t}\,dt

    :param x: the upper limit, not negative.
    :param s: the exponent, positive.
    :return: a tensor if either is one, a number otherwise.

    >>> round(incomplete_gamma(1.5, 2.0), 6)
    0.442175
    """
    return _in_double_precision(torch.special.gammainc, s, x)


def chi2sf(x: Number, s: Number) -> Number:
    r"""Return the probability that a :math:`\chi^2` variable is larger than a number.

    :param x: the number.
    :param s: the degrees of freedom, positive.
    :return: a tensor if either is one, a number otherwise.

    >>> round(chi2sf(3.0, 2.0), 6)
    0.22313
    """
    half = torch.as_tensor(x, dtype=torch.float64).clamp(min=0.0) / 2
    result = _in_double_precision(torch.special.gammaincc, s / 2, half)
    return result if isinstance(x, Tensor) or isinstance(s, Tensor) else float(result)


def _in_double_precision(function: Callable[..., Tensor], s: Number, x: Number) -> Number:
    result = function(*(torch.as_tensor(v, dtype=torch.float64) for v in (s, x)))
    return result if isinstance(s, Tensor) or isinstance(x, Tensor) else result.item()
