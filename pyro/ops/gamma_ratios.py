"""Ratios of gamma functions, without the loss of digits of differences of their logarithms."""

import math

import torch
from torch import Tensor

from pyro.ops.readable import is_readable

_ROOT_TAU = 0.5 * math.log(2 * math.pi)
_SMALL = 1e4  # below, logarithms of gamma functions may be subtracted in double precision
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
    coefficient of the negative binomial law; mixed laws of counts are made of it. The result is
    exact to the dtype's rounding, in double precision to 1e-10 at least; it is 0, whatever
    :math:`c`, where :math:`k=0`.

    :param c: positive numbers.
    :param k: numbers of 0 or more.

    Of three things two can be taken in six ways:

    >>> log_multichoose(torch.tensor(3.0), torch.tensor(2.0)).exp()
    tensor(6.)
    """
    dtype = torch.promote_types(c.dtype, k.dtype)
    if not c.is_cuda and is_readable(c) and is_readable(k):
        wide, k_wide = c.double(), k.double()
        total = wide + k_wide
        if total.numel() and total.max().item() < _SMALL:
            ways = total.lgamma() - wide.lgamma() - (k_wide + 1).lgamma()
            return ways if dtype is torch.float64 else ways.to(dtype)
    none = k == 0
    return torch.where(none, 0.0, _by_stirling(c.to(dtype), torch.where(none, 1.0, k).to(dtype)))


def _by_stirling(c: Tensor, k: Tensor) -> Tensor:
    """Subtract the large terms of Stirling's formula from each other by hand."""
    total = c + k
    remote = c < 1e-3 * k  # where the ratio's derivative could overflow
    stretch = torch.log1p(k / torch.where(remote, k, c))
    stretch = torch.where(remote, total.log() - c.log(), stretch)
    leading = (c - 0.5) * stretch + k * torch.log1p((c - 1) / (k + 1))
    leading = leading - 0.5 * torch.log1p(k) + (1 - _ROOT_TAU)
    errors = stirling_error(torch.stack(torch.broadcast_tensors(total, c, k + 1)))
    return leading + errors[0] - errors[1] - errors[2]
