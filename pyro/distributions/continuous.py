"""Laws on the real line, on the half line and on the circle."""

import math

import torch
from torch.distributions import AffineTransform, ExpTransform, PowerTransform, Transform

from pyro.distributions.bounded import Uniform
from pyro.distributions.gamma import Exponential
from pyro.distributions.parameters import (
    HoldingLaw,
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    blank,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin


class Laplace(ReparameterisedLaw, torch.distributions.Laplace, TorchDistributionMixin):
    r"""Laplace law with density :math:`\exp(-|x-\mu|/b)\,/\,2b`.

    :param loc: the median :math:`\mu`.
    :param scale: the scale :math:`b`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Laplace(0.0, 0.5).log_prob(torch.tensor(1.0))
    tensor(-2.)
    """

    loc = Parameter()
    scale = Parameter()

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(Laplace, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, as ``loc + scale * noise``.

        :param sample_shape: the shape of independent draws.
        """
        loc, scale = self.loc, self.scale
        draw = blank(self._extended_shape(sample_shape), loc)
        draw.uniform_(torch.finfo(draw.dtype).eps - 1, 1)
        noise = torch.copysign(draw.abs().neg_().log1p_(), draw)
        return torch.addcmul(loc, scale, noise)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        loc, scale = self._operands(value)
        if not isinstance(loc, float) or loc:
            value = value - as_operand(loc, value)
        if isinstance(scale, float) and scale > 0.0:
            level = constant(-math.log(2 * scale), value)
            return self._over_batch(torch.sub(level, value.abs(), alpha=1 / scale))
        scale = as_operand(scale, value)
        level = constant(-math.log(2), value) - scale.log()
        return self._over_batch(torch.addcdiv(level, value.abs(), scale, value=-1))


class Gumbel(ReparameterisedLaw, torch.distributions.Gumbel, TorchDistributionMixin):
    r"""Gumbel law with distribution function :math:`\exp(-e^{-(x-\mu)/\beta})`.

    :param loc: the mode :math:`\mu`.
    :param scale: the scale :math:`\beta`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Gumbel(0.0, 1.0).log_prob(torch.tensor(0.0))
    tensor(-1.)
    """

    has_rsample = True
    loc = Parameter()
    scale = Parameter()

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(Gumbel, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    @property
    def _ends(self) -> tuple[float, float]:
        """Limits of the uniform draw that keep its double logarithm finite."""
        info = torch.finfo(self._dtype)
        return info.tiny, 1 - info.eps

    @property
    def base_dist(self) -> Uniform:  # type: ignore[override]
        """The law of the distribution function at a draw."""
        low, high = (torch.full_like(self.loc, end) for end in self._ends)
        law: Uniform = self._view_as(Uniform, low=low, high=high)
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The inverse of the distribution function, in steps."""
        return [
            ExpTransform().inv,
            AffineTransform(0, -torch.ones_like(self.scale)),
            ExpTransform().inv,
            AffineTransform(self.loc, -self.scale),
        ]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, by inversion of the distribution function.

        :param sample_shape: the shape of independent draws.
        """
        loc, scale = self.loc, self.scale
        noise = blank(self._extended_shape(sample_shape), loc).uniform_(*self._ends)
        return torch.addcmul(loc, scale, noise.log_().neg_().log_(), value=-1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        scale = self.scale
        z = (self.loc - value) / scale
        density: torch.Tensor = z - z.exp() - scale.log()
        return density


class Weibull(ReparameterisedLaw, torch.distributions.Weibull, TorchDistributionMixin):
    r"""Weibull law with distribution function :math:`1-\exp(-(x/\lambda)^k)`, :math:`x>0`.

    :param scale: the scale :math:`\lambda`, positive.
    :param concentration: the shape :math:`k`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Weibull(1.0, 1.0).log_prob(torch.tensor(2.0))
    tensor(-2.)
    """

    has_rsample = True
    scale = Parameter()
    concentration = Parameter()

    def __init__(self, scale: Real, concentration: Real, validate_args: bool | None = None) -> None:
        self._hold(Weibull, scale=scale, concentration=concentration)
        self._check_parameters(validate_args)

    @property
    def concentration_reciprocal(self) -> torch.Tensor:  # type: ignore[override]
        """One over the shape."""
        inverse: torch.Tensor = self.concentration.reciprocal()
        return inverse

    @property
    def base_dist(self) -> Exponential:  # type: ignore[override]
        """The law of the cumulative hazard at a draw."""
        law: Exponential = self._view_as(Exponential, rate=torch.ones_like(self.scale))
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The inverse of the cumulative hazard, in steps."""
        return [PowerTransform(self.concentration_reciprocal), AffineTransform(0, self.scale)]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, by inversion of the cumulative hazard.

        :param sample_shape: the shape of independent draws.
        """
        scale = self.scale
        noise = blank(self._extended_shape(sample_shape), scale).exponential_()
        return noise.pow(self.concentration_reciprocal) * scale

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        scale, k = self.scale, self.concentration
        log_value = value.log()
        log_hazard = k * (log_value - scale.log())
        density: torch.Tensor = k.log() - log_value + log_hazard - log_hazard.exp()
        return density


class VonMises(HoldingLaw, torch.distributions.VonMises, TorchDistributionMixin):
    r"""Von Mises law of an angle, with density :math:`e^{\kappa\cos(x-\mu)}/2\pi I_0(\kappa)`.

    :param loc: the mean angle :math:`\mu`, in radians.
    :param concentration: :math:`\kappa`, positive.
    :param validate_args: whether to check parameters and values.

    >>> VonMises(0.0, 1.0).log_prob(torch.tensor(0.0))
    tensor(-1.0738)
    """

    loc = Parameter()
    concentration = Parameter()
    _memoised = ("_loc", "_concentration", "_proposal_r")

    def __init__(self, loc: Real, concentration: Real, validate_args: bool | None = None) -> None:
        self._hold(VonMises, loc=loc, concentration=concentration)
        self._check_parameters(validate_args)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration
        level: torch.Tensor = -(2 * math.pi * torch.special.i0e(k)).log()
        return torch.addcmul(level, k, torch.cos(value - self.loc) - 1)

    @property
    def variance(self) -> torch.Tensor:
        """The circular variance, :math:`1-I_1(\\kappa)/I_0(\\kappa)`."""
        k = self.concentration
        spread: torch.Tensor = 1 - torch.special.i1e(k) / torch.special.i0e(k)
        return spread
