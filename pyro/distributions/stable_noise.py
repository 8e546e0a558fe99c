"""How stable variables come out of noise, in formulas that are smooth in all parameters."""

import math

import torch
from torch import Tensor

_HALF_PI = math.pi / 2


def _ratio(over: Tensor, under: Tensor, limit: Tensor) -> Tensor:
    """Return a ratio, with what it tends to where numerator and denominator vanish."""
    tiny = under.abs() < torch.finfo(under.dtype).eps ** 0.5
    return torch.where(tiny, limit, over / torch.where(tiny, torch.ones_like(under), under))


def skew_excess(stability: Tensor, z: Tensor) -> Tensor:
    r"""Return :math:`\tan(\pi\alpha/2)\,(e^{\varepsilon z}-1)` with :math:`\varepsilon=1-\alpha`.

    It is smooth through :math:`\alpha=1`, where it is :math:`2z/\pi`.

    :param stability: the exponent :math:`\alpha`.
    :param z: any real numbers.

    >>> skew_excess(torch.tensor(1.0), torch.tensor(1.0))
    tensor(0.6366)
    """
    power = (1 - stability) * z
    return scaled_tangent(stability) * z * _ratio(torch.expm1(power), power, 1 + power / 2)


def scaled_tangent(stability: Tensor) -> Tensor:
    r"""Return :math:`(1-\alpha)\tan(\pi\alpha/2)`, which is :math:`2/\pi` at :math:`\alpha=1`.

    :param stability: the exponent :math:`\alpha`.

    >>> scaled_tangent(torch.tensor([1.0, 1.5]))
    tensor([0.6366, 0.5000])
    """
    angle = _HALF_PI * (1 - stability)
    return _ratio(angle, angle.tan(), 1 - angle * angle / 3) / _HALF_PI


def stable_from_noise(stability: Tensor, skew: Tensor, angle: Tensor, noise: Tensor) -> Tensor:
    r"""Return standard stable variables, in Nolan's S0 form, from uniform and exponential ones.

    The formula of Chambers, Mallows and Stuck, with :math:`\varepsilon=1-\alpha`,
    :math:`\tau=\beta\tan(\pi\alpha/2)` and
    :math:`c=\cos\varepsilon\theta+\tau\sin\varepsilon\theta`, is here written as

    .. math::

        g = \exp\Bigl(\frac\varepsilon\alpha \log\frac{c}{w\cos\theta}\Bigr), \quad
        x = \tau\,(g\cos\varepsilon\theta - 1) + g\,(c\tan\theta - \sin\varepsilon\theta) ,

    in which each product of :math:`\tau` with what vanishes at :math:`\alpha=1` is one smooth
    function. So there is no loss of digits around :math:`\alpha=1`, and gradients are right.

    :param stability: the exponent :math:`\alpha`.
    :param skew: the skewness :math:`\beta`.
    :param angle: the uniform variables :math:`\theta`, between :math:`\pm\pi/2`.
    :param noise: the exponential variables :math:`w`.

    With exponent 2 this is the method of Box and Muller, for variance 2:

    >>> stable_from_noise(*map(torch.tensor, (2.0, 0.0, math.pi / 4, 1.0)))
    tensor(1.4142)

    Source: Chambers, Mallows and Stuck 1976, *A Method for Simulating Stable Random Variables*,
    JASA 71(354); Nolan 2020, *Univariate Stable Distributions*.
    """
    edge = torch.finfo(angle.dtype)
    angle = angle.clamp(-_HALF_PI * (1 - edge.eps), _HALF_PI * (1 - edge.eps))
    rest = 1 - stability
    turn = rest * angle
    tangent = skew * scaled_tangent(stability)  # times 1 - stability
    sine = angle * torch.sinc(turn / math.pi)  # over 1 - stability
    c = (turn.cos() + tangent * sine).clamp(min=edge.tiny)
    level = (c.log() - noise.clamp(min=edge.tiny).log() - angle.cos().log()) / stability
    growth = (rest * level).exp()
    half = angle / 2 * torch.sinc(turn / (2 * math.pi))  # sine of half the turn, likewise
    bend = -2 * tangent * rest * half.square()  # the tangent, times cosine less 1
    ahead = skew * skew_excess(stability, level) + growth * bend
    return ahead + growth * (c * angle.tan() - rest * sine)
