"""Stable laws: what sums of independent variables tend to, with tails that fall off as a power."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.parameters import Parameter, Real, ReparameterisedLaw
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution

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


class Stable(ReparameterisedLaw, TorchDistribution):
    r"""Lévy's :math:`\alpha`-stable law.

    With :math:`\tau=\tan(\pi\alpha/2)` the logarithm of the characteristic function is

    .. math::

        \log E\,e^{itx} = it\mu - |\sigma t|^\alpha
        \bigl(1 + i\beta\tau\,\mathrm{sign}(t)\,(|\sigma t|^{1-\alpha} - 1)\bigr)

    in the coordinates S0, which depend on all parameters continuously. In the coordinates S,
    :math:`|\sigma t|^{1-\alpha}-1` is replaced by :math:`-1`, except at :math:`\alpha=1`, where the
    product with :math:`\tau` is :math:`\frac2\pi\log|t|` in place of
    :math:`\frac2\pi\log|\sigma t|`. The law is that of Cauchy at :math:`\alpha=1,\beta=0`, and
    normal with variance :math:`2\sigma^2` at :math:`\alpha=2`.

    It has draws but no density in closed form. For inference use
    :class:`~pyro.infer.reparam.LatentStableReparam`,
    :class:`~pyro.infer.reparam.SymmetricStableReparam` or
    :class:`~pyro.infer.reparam.StableReparam`; :class:`~pyro.infer.reparam.MinimalReparam` chooses.

    :param stability: the exponent :math:`\alpha`, above 0 and at most 2.
    :param skew: the skewness :math:`\beta`, between -1 and 1.
    :param scale: the scale :math:`\sigma`, positive.
    :param loc: the location :math:`\mu`; the mean in the coordinates S, where :math:`\alpha>1`.
    :param coords: ``"S0"`` or ``"S"``.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: for other coordinates.

    >>> Stable(torch.tensor(1.5), 0.0).sample((3,)).shape
    torch.Size([3])

    Source: Nolan 1997, *Numerical calculation of stable densities and distribution functions*,
    Stochastic Models 13(4), for the coordinates.
    """

    stability = Parameter()
    skew = Parameter()
    scale = Parameter()
    loc = Parameter()
    arg_constraints = {
        "stability": constraints.interval(0, 2),
        "skew": constraints.interval(-1, 1),
        "scale": constraints.positive,
        "loc": constraints.real,
    }
    support = constraints.real
    has_rsample = True
    _settings = ("coords",)

    def __init__(
        self,
        stability: Real,
        skew: Real,
        scale: Real = 1.0,
        loc: Real = 0.0,
        coords: str = "S0",
        validate_args: bool | None = None,
    ) -> None:
        if coords not in ("S0", "S"):
            raise ValueError(f"Stable: coords is {coords!r}, expected 'S0' or 'S'.")
        self._hold(Stable, stability=stability, skew=skew, scale=scale, loc=loc)
        self.coords = coords
        self._check_parameters(validate_args)

    @property
    def loc_s0(self) -> Tensor:
        """The location in the coordinates S0."""
        if self.coords == "S0":
            return self.loc
        alpha, scale = self.stability, self.scale
        at_one = alpha == 1
        tangent = (_HALF_PI * torch.where(at_one, 2.0, alpha)).tan()
        shift = torch.where(at_one, scale.log() / _HALF_PI, tangent)
        return self.loc + self.skew * scale * shift

    @property
    def mean(self) -> Tensor:
        """The mean; NaN where the exponent is at most 1, so that there is none."""
        alpha = self.stability
        loc = self.loc
        if self.coords == "S0":
            loc = loc - self.skew * self.scale * (_HALF_PI * alpha).tan()
        return loc.masked_fill(alpha <= 1, math.nan)

    @property
    def variance(self) -> Tensor:
        """Infinite, except for the normal law."""
        return (2 * self.scale.square()).masked_fill(self.stability < 2, math.inf)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        scale = self.scale
        shape = self._extended_shape(sample_shape)
        angle = torch.empty(shape, dtype=scale.dtype, device=scale.device).uniform_(
            -_HALF_PI, _HALF_PI
        )
        noise = torch.empty_like(angle).exponential_()
        return self.loc_s0 + scale * stable_from_noise(self.stability, self.skew, angle, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Not offered: there is no closed form.

        :param value: the value.
        :raises NotImplementedError: always.
        """
        raise NotImplementedError(
            "Stable has no density in closed form. Reparameterise the model: "
            "model = pyro.infer.reparam.MinimalReparam()(model)."
        )
