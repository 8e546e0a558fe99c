"""The logarithm of the scaled complementary error function, with exact gradients."""

import math

import torch
from torch import Tensor

_FAR = 6.0
_DEPTH = 14  # of the continued fraction, exact to the rounding of float64 from there on


def log_erfcx(x: Tensor) -> Tensor:
    r"""Return :math:`\log\bigl(e^{x^2}\,\mathrm{erfc}(x)\bigr)`.

    Torch's own derivative, :math:`2x\,\mathrm{erfcx}(x)-2/\sqrt\pi`, loses twice as many digits as
    :math:`x` has. So large arguments take the continued fraction

    .. math:: \sqrt\pi\,\mathrm{erfcx}(x) = \cfrac1{x+\cfrac{1/2}{x+\cfrac{1}{x+\cdots}}} ,

    in which nothing cancels.

    :param x: numbers of 0 or more; below, the result grows as the square and overflows earlier.

    >>> log_erfcx(torch.tensor([0.0, 1e4]))
    tensor([ 0.0000, -9.7827])

    Source: Abramowitz and Stegun 1964, *Handbook of Mathematical Functions*, 7.1.14.
    """
    near, far = x.clamp(max=_FAR), x.clamp(min=_FAR)
    denominator = far
    for level in range(_DEPTH, 0, -1):
        denominator = far + 0.5 * level / denominator
    tail = -denominator.log() - 0.5 * math.log(math.pi)
    return torch.where(x < _FAR, torch.special.erfcx(near).log(), tail)
