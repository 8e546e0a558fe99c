r"""The log density of stable laws, by numerical integration.

Zolotarev's representation, in the form of Nolan: a stable variable is a function of a uniform angle
:math:`\theta` and an exponential variable :math:`w`, see
:func:`~pyro.distributions.stable_noise.stable_from_noise`, and monotone in :math:`w`. Its density
at :math:`x` is the mean over :math:`\theta` of that of :math:`w`, times a Jacobian:

.. math:: p(x) = \frac{\alpha}{\pi\,|\varepsilon x+\varepsilon\tau|}
    \int w\,e^{-w}\,\mathrm d\theta , \qquad
    \varepsilon=1-\alpha,\quad \tau=\beta\tan\tfrac{\pi\alpha}2 ,

in the coordinates S0 with scale 1. At fixed :math:`x`, :math:`w` is monotone in the angle, so that
the integrand has one peak, where :math:`w=1`. It may be as narrow as a needle, or at an edge. The
integral is taken from the peak to both edges, by a rule whose points cluster at both ends.

Near the law of Cauchy the needle degenerates. There :math:`p` is the Fourier integral of the
characteristic function, along the ray on which that of Cauchy does not oscillate.

Source: Nolan 1997, *Numerical calculation of stable densities and distribution functions*,
Stochastic Models 13(4); Takahasi and Mori 1974, *Double exponential formulas for numerical
integration*, Publ. RIMS 9(3).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro.distributions.stable_noise import scaled_tangent, skew_excess
from pyro.ops.readable import is_readable

Integrator = Callable[..., Tensor]

_HALF_PI = math.pi / 2
_REACH = 3.2  # the outermost points lie 1e-17 of the interval from its ends
_TINY = 1e-150  # so that its square is a number
_NEAR_CAUCHY = 0.1, 0.2  # how far exponent and skewness may be from 1 and 0
_ROUNDING = 1e-13
_NEAR_CENTRE = 1e-5  # how close to the centre -tau the formula is used, times |1 - alpha|
_EDGE = 340.0  # the logit of a share that is as good as 0 or 1
_FALL = 20.0
_LARGEST = 1e100
_LARGEST_LOG = 300.0  # beyond, exp(-w) is 0, and w shall not be infinite


def create_integrator(num_points: int) -> Integrator:
    r"""Return a function that integrates :math:`e^{f(x)}` over intervals.

    It is called with :math:`f`, which gets points of shape ``(num_points, *batch)``, and with the
    ends of the intervals, of shape ``(2, *batch)``, and returns the logarithms of the integrals, of
    shape ``batch``. The rule of Takahasi and Mori puts half of the points next to the ends, where
    :math:`e^f` may vanish, be singular or have all of its mass.

    :param num_points: the number of points.
    :raises ValueError: where it is less than 2.

    >>> create_integrator(50)(torch.log, torch.tensor([0.0, 2.0]))  # the logarithm of 2
    tensor(0.6931)
    """
    if num_points < 2:
        raise ValueError(f"create_integrator: num_points is {num_points}, expected 2 or more.")
    t = torch.linspace(-_REACH, _REACH, num_points, dtype=torch.float64)
    logit = math.pi * t.sinh()
    share = logit.sigmoid()
    step = 2 * _REACH / (num_points - 1)
    logsigmoid = torch.nn.functional.logsigmoid
    log_weight = logsigmoid(logit) + logsigmoid(-logit) + t.cosh().log() + math.log(math.pi * step)

    def integrate(fn: Callable[[Tensor], Tensor], domain: Tensor) -> Tensor:
        low, high = domain
        length = high - low
        column = (-1,) + (1,) * length.dim()
        points = low + length * share.to(length).reshape(column)
        terms = fn(points) + log_weight.to(length).reshape(column)
        log_integral: Tensor = terms.logsumexp(0) + length.log()
        return log_integral

    return integrate


_integrator: Integrator = create_integrator(100)


def set_integrator(num_points: int) -> None:
    """Choose how many points each of the four integrals for the density of a stable law gets.

    :param num_points: the number; 100 at first, which gives about ten digits.
    :raises ValueError: where it is less than 2.

    >>> set_integrator(num_points=100)
    """
    global _integrator
    _integrator = create_integrator(num_points)


def integrate(*args: Any, **kwargs: Any) -> Tensor:
    r"""Return the logarithms of integrals of :math:`e^{f(x)}`, by the rule that is set.

    :param args: the function :math:`f` and the ends of the intervals, as for what
        :func:`create_integrator` returns.
    :param kwargs: the same by name, ``fn`` and ``domain``.

    >>> integrate(torch.log, torch.tensor([0.0, 2.0]))  # the logarithm of 2
    tensor(0.6931)
    """
    return _integrator(*args, **kwargs)


def standard_log_density(stability: Tensor, skew: Tensor, x: Tensor) -> Tensor:
    r"""Return the log density of the stable law with scale 1 and location 0 in the coordinates S0.

    :param stability: the exponent :math:`\alpha`.
    :param skew: the skewness :math:`\beta`.
    :param x: the value.
    :return: in the dtype of the value.

    >>> standard_log_density(*map(torch.tensor, (2.0, 0.0, 2.0)))  # of variance 2
    tensor(-2.2655)
    """
    alpha, beta, z = torch.broadcast_tensors(*(v.double() for v in (stability, skew, x)))
    near = ((alpha - 1).abs() <= _NEAR_CAUCHY[0]) & (beta.abs() <= _NEAR_CAUCHY[1])
    readable = is_readable(near)
    if readable and near.all():
        result = _from_fourier_integral(alpha, beta, z)
    elif readable and not near.any():
        result = _through_centre(alpha, beta, z)
    else:
        one, half = torch.ones_like(alpha), torch.full_like(alpha, 0.5)
        inner = _from_fourier_integral(
            torch.where(near, alpha, one), torch.where(near, beta, one - 1), z
        )
        outer = _through_centre(torch.where(near, half, alpha), torch.where(near, one - 1, beta), z)
        result = torch.where(near, inner, outer)
    return result.to(x.dtype)


def _from_fourier_integral(alpha: Tensor, beta: Tensor, x: Tensor) -> Tensor:
    r"""Integrate :math:`e^{-itx-\psi(t)}` over :math:`t=v/(1+ix)`, :math:`v>0`.

    For the law of Cauchy the exponent is :math:`-v`; what it is besides is small, and only its
    contribution to the integral is computed. In :math:`\log v` equidistant points converge
    exponentially.
    """
    step = 0.25
    y = torch.arange(-40.0, 4.0, step, dtype=x.dtype, device=x.device)
    y = y.reshape((-1,) + (1,) * x.dim())
    log_t = torch.complex(
        y - 0.5 * torch.log1p(x * x), (-x.atan()).expand(torch.broadcast_shapes(y.shape, x.shape))
    )
    tilt = 1j * beta * skew_excess(alpha.to(log_t.dtype), log_t)
    excess = -log_t.exp() * (_expm1((alpha - 1) * log_t) * (1 + tilt) + tilt)
    share = (_expm1(excess) * (y - y.exp()).exp()).sum(0) * step
    return torch.log1p(share.real + x * share.imag) - torch.log1p(x * x) - math.log(math.pi)


def _expm1(z: Tensor) -> Tensor:
    half = z / 2
    return 2 * half.exp() * half.sinh()


class _Angles(NamedTuple):
    """The range of angles that lead to one side of the centre, and what ``w`` depends on."""

    alpha: Tensor
    rest: Tensor  # 1 - alpha
    tilt: Tensor  # (1 - alpha) tau
    sign: Tensor  # of rest
    x: Tensor
    offset: Tensor  # |1 - alpha| times the distance of x from the centre
    norm: Tensor  # |1 - alpha| sqrt(1 + tau^2)
    width: Tensor  # of the range
    beyond_width: Tensor  # pi less the width
    beyond_top: Tensor  # pi less alpha times the width

    def log_w(self, u: Tensor, v: Tensor) -> Tensor:
        """Return log w at an angle, given as shares u from below and v from above, u + v = 1."""
        lower, upper = self.width * u, self.width * v
        cosine = _sine(upper, self.beyond_width + lower)
        sine = _sine(self.alpha * lower, self.beyond_top + self.alpha * upper)
        # |1 - alpha| (x + tau) is pull * exp(rest * level), in logarithms for they may be vast
        log_pull = self.norm.log() + sine.log() - cosine.log()
        log_ratio = self.offset.log() - log_pull
        close = (log_ratio.abs() < 0.3) | (self.rest == 0)
        c, base = self._numerator_and_base(lower, upper, torch.where(close, cosine, 1.0), v < 0.5)
        pull = torch.where(close, log_pull, 0.0).exp()
        step = torch.where(close, self.sign * (self.x - base) / pull, 0.0)
        far = log_ratio / torch.where(close, 1.0, self.rest)
        level = torch.where(close, _log1p_ratio(self.rest, step), far)
        return (c.log() - cosine.log() - self.alpha * level).clamp(max=_LARGEST_LOG)

    def _numerator_and_base(
        self, lower: Tensor, upper: Tensor, cosine: Tensor, is_upper: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return c as where draws are made from noise, and x at level 0."""
        angle = _HALF_PI - upper
        turn = self.rest * angle
        swing = angle * torch.sinc(turn / math.pi)
        direct = turn.cos() + self.tilt * swing
        rim = torch.where(
            is_upper, self.beyond_top - self.rest * upper, self.beyond_width + self.rest * lower
        )
        indirect = _sine(self.width - self.rest * lower, rim) * self.norm
        small = self.rest.abs() < 1e-3
        indirect = indirect / torch.where(small, 1.0, self.rest.abs())
        c = torch.where(small, direct, indirect).clamp(min=_TINY)
        half = angle / 2 * torch.sinc(turn / (2 * math.pi))
        bend = 2 * self.tilt * self.rest * half.square()
        return c, c * upper.cos() / cosine - self.rest * swing - bend

    def log_integrand(self, u: Tensor, v: Tensor) -> Tensor:
        """Return log w - w at an angle."""
        log_w = self.log_w(u, v)
        return log_w - log_w.exp()


def _snap(angle: Tensor) -> Tensor:
    """Return 0 for an angle that is 0 but for rounding, with the gradient of the angle."""
    return torch.where(angle < _ROUNDING, angle - angle.detach(), angle)


def _sine(angle: Tensor, supplement: Tensor) -> Tensor:
    """Return the sine of an angle whose difference from pi is known to more digits, too."""
    return torch.minimum(angle, supplement).sin().clamp(min=_TINY)


def _log1p_ratio(rest: Tensor, y: Tensor) -> Tensor:
    """Return ``log(1 + rest * y) / rest``, which is y where rest is 0."""
    y = y.clamp(-_LARGEST, _LARGEST)
    z = (rest * y).clamp(min=-0.5)
    tiny = z.abs() < 1e-5
    safe = torch.where(tiny, 1.0, z)
    return y * torch.where(tiny, 1 - z / 2 + z * z / 3, torch.log1p(safe) / safe)


def _angles(alpha: Tensor, beta: Tensor, x: Tensor) -> _Angles:
    """Find the angles that lead to the side of the centre on which x lies, mirrored if need be."""
    rest = 1 - alpha
    sign = torch.where(rest < 0, -1.0, 1.0).to(x.dtype)
    tangent = scaled_tangent(alpha)
    mirror = torch.where((rest * x + beta * tangent) * sign < 0, -1.0, 1.0).to(x.dtype)
    x, tilt = mirror * x, mirror * beta * tangent
    offset = ((rest * x + tilt) * sign).clamp(min=_TINY)
    lift = torch.atan2(sign * tilt, sign * rest)
    remains = torch.atan2(sign * rest, sign * tilt)
    return _Angles(
        alpha,
        rest,
        tilt,
        sign,
        x,
        offset,
        (rest.square() + tilt.square()).sqrt(),
        _HALF_PI + lift / alpha,
        _snap((remains - _HALF_PI * rest) / alpha),
        _snap(remains + _HALF_PI * rest),
    )


def _through_centre(alpha: Tensor, beta: Tensor, x: Tensor) -> Tensor:
    """Integrate over angles, and interpolate at the centre, where digits and gradients get lost."""
    rest = 1 - alpha
    at_one = rest == 0
    centre = -beta * scaled_tangent(alpha) / torch.where(at_one, 1.0, rest)
    reach = (_NEAR_CENTRE / torch.where(at_one, 1.0, rest.abs())).detach()
    near = ((x - centre).abs() < reach) & ~at_one
    if is_readable(near) and not near.any():
        return _from_angles(alpha, beta, x)
    left = _from_angles(alpha, beta, torch.where(near, centre - reach, x))
    right = _from_angles(alpha, beta, torch.where(near, centre + reach, x + 1))
    outside = near & (left.isinf() | right.isinf())  # beside a law on a half line
    rise = torch.where(near & ~outside, right - left.masked_fill(outside, 0.0), 0.0)
    return torch.where(outside, -math.inf, left + rise * ((x - centre) / reach + 1) / 2)


def _from_angles(alpha: Tensor, beta: Tensor, x: Tensor) -> Tensor:
    """Integrate over angles: the needle on both sides of its peak, and what is left and right."""
    angles = _angles(alpha, beta, x)
    outside = angles.width < _ROUNDING
    angles = angles._replace(width=torch.where(outside, 1.0, angles.width))
    with torch.no_grad():
        peak = _peak(angles)
        u, v = peak.sigmoid(), (-peak).sigmoid()
        cuts = [_reach_of_needle(angles, peak, direction) for direction in (-1.0, 1.0)]

    def below(distance: Tensor) -> Tensor:
        return angles.log_integrand((u - distance).clamp(min=_TINY), v + distance)

    def above(distance: Tensor) -> Tensor:
        return angles.log_integrand(u + distance, (v - distance).clamp(min=_TINY))

    parts = []
    for side, length, cut in zip((below, above), (u, v), cuts, strict=True):
        parts.append(integrate(side, torch.stack([torch.zeros_like(cut), cut])))
        in_log = _in_logarithm(side)
        parts.append(integrate(in_log, torch.stack([cut.log(), length.log()])))
    log_integral = torch.stack(parts).logsumexp(0)
    total = log_integral + (alpha * angles.width / (math.pi * angles.offset)).log()
    return torch.where(outside, -math.inf, total)


def _in_logarithm(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the logarithm of an integrand as a function of the logarithm of its variable."""
    return lambda y: fn(y.exp()) + y


def _peak(angles: _Angles) -> Tensor:
    """Return the logit of the share where w is 1, or of the edge where it is nearest to 1."""

    def is_before(logit: Tensor) -> Tensor:
        return angles.log_w(logit.sigmoid(), (-logit).sigmoid()) * angles.sign < 0

    return _bisect(is_before, torch.full_like(angles.x, -_EDGE), torch.full_like(angles.x, _EDGE))


def _reach_of_needle(angles: _Angles, peak: Tensor, direction: float) -> Tensor:
    """Return how far from the peak the integrand has fallen by a large factor, in the share."""

    def at(logit: Tensor) -> Tensor:
        return angles.log_integrand(logit.sigmoid(), (-logit).sigmoid())

    highest = at(peak)
    edge = torch.full_like(peak, direction * _EDGE)
    found = _bisect(lambda logit: at(logit) > highest - _FALL, peak, edge)
    shares = found.sigmoid() - peak.sigmoid(), (-found).sigmoid() - (-peak).sigmoid()
    reach = torch.where(peak > 0, shares[1].abs(), shares[0].abs())
    length = (-direction * peak).sigmoid()
    return torch.minimum(reach, length / 2).clamp(min=_TINY)


def _bisect(is_before: Callable[[Tensor], Tensor], start: Tensor, end: Tensor) -> Tensor:
    """Return where a condition that holds at the start, or nowhere, ceases to hold."""
    for _ in range(50):
        middle = (start + end) / 2
        before = is_before(middle)
        start, end = torch.where(before, middle, start), torch.where(before, end, middle)
    return start
