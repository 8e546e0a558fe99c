"""Ratios of gamma functions, without the loss of digits of differences of their logarithms."""

import math

import torch
from torch import Tensor

_ROOT_TAU = 0.5 * math.log(2 * math.pi)
_FAR = 16.0  # from here on five terms of Stirling's series are exact to the rounding of float64


def stirling_error(z: Tensor) -> Tensor:
    r"""Return :math:`\log\Gamma(z)-(z-\frac12)\log z+z-\frac12\log 2\pi`, which tends to 0.

    :param z: positive numbers.

    >>> stirling_error(torch.tensor([1.0, 1e6]))
    tensor([8.1061e-02, 8.3333e-08])

    Source: Abramowitz and Stegun 1964, *Handbook of Mathematical Functions*, 6.1.42.
    """
    near, inverse = z.clamp(max=_FAR), z.clamp(min=_FAR).reciprocal()
    square = inverse * inverse
    series = 1 / 1260 - square * (1 / 1680 - square / 1188)
    series = inverse * (1 / 12 - square * (1 / 360 - square * series))
    exact = torch.lgamma(near) - (near - 0.5) * near.log() + near - _ROOT_TAU
    return torch.where(z < _FAR, exact, series)


def log_multichoose(c: Tensor, k: Tensor) -> Tensor:
    r"""Return :math:`\log\frac{\Gamma(c+k)}{\Gamma(c)\,k!}`.

    It is the number of ways to choose :math:`k` times among :math:`c` things, with return, and the
    coefficient of the negative binomial law; mixed laws of counts are made of it. The large terms
    of Stirling's formula are subtracted from each other by hand, so that the relative error stays
    at the dtype's rounding; the result is 0, whatever :math:`c`, where :math:`k=0`.

    :param c: positive numbers.
    :param k: numbers of 0 or more.

    Of three things two can be taken in six ways:

    >>> log_multichoose(torch.tensor(3.0), torch.tensor(2.0)).exp()
    tensor(6.)
    """
    none = k == 0
    k = torch.where(none, 1.0, k).to(torch.promote_types(c.dtype, k.dtype))
    total = c + k
    remote = c < 1e-3 * k  # where the ratio's derivative could overflow
    stretch = torch.log1p(k / torch.where(remote, k, c))
    stretch = torch.where(remote, total.log() - c.log(), stretch)
    leading = (c - 0.5) * stretch + k * torch.log1p((c - 1) / (k + 1))
    leading = leading - 0.5 * torch.log1p(k) + (1 - _ROOT_TAU)
    rest = stirling_error(total) - stirling_error(c) - stirling_error(k + 1)
    return torch.where(none, 0.0, leading + rest)
