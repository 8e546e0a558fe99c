"""The normal law and its relatives."""

import math

import torch
from torch.distributions import ExpTransform, Transform, constraints

from pyro.distributions.checking import quick_test, surely_belongs
from pyro.distributions.half import HalfLaw
from pyro.distributions.parameters import (
    HoldingLaw,
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin

_LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)
_POSITIVE = quick_test(constraints.positive)


def draw_normal(law: HoldingLaw, shape: torch.Size) -> torch.Tensor:
    """Draw ``loc + scale * noise`` for a law with these parameters.

    :param law: the law.
    :param shape: the shape of the result.
    """
    numbers = law._numbers()
    if numbers is not None:
        return torch.normal(numbers["loc"], numbers["scale"], shape, dtype=law._dtype)
    loc: Real = law._given_as("loc")
    scale: Real = law._given_as("scale")
    noise = torch.normal(0.0, 1.0, shape, dtype=law._dtype, device=law._device)
    if isinstance(scale, float):
        return torch.add(as_operand(loc, noise), noise, alpha=scale)
    if isinstance(loc, float):
        return noise * scale + loc if loc else noise * scale
    return torch.addcmul(loc, noise, scale)


def normal_log_density(
    value: torch.Tensor, loc: Real, scale: Real, shift: float = 0.0
) -> torch.Tensor:
    """Return the log density of a normal law plus a constant, in as few operations as can be.

    :param value: the value.
    :param loc: the mean.
    :param scale: the standard deviation.
    :param shift: the constant.
    """
    shift -= _LOG_ROOT_TAU
    if not isinstance(loc, float):
        value = value - loc
    elif loc:
        value = value - constant(loc, value)
    if isinstance(scale, float):
        if 1e-9 < scale < 1e9:  # else its square would leave the range of single precision
            zero = constant(shift - math.log(scale), value)
            return torch.addcmul(zero, value, value, value=-0.5 / (scale * scale))
        scale = constant(scale, value)
    value = value / scale
    return torch.addcmul(constant(shift, value) - scale.log(), value, value, value=-0.5)


class Normal(ReparameterisedLaw, torch.distributions.Normal, TorchDistributionMixin):
    r"""Normal law, density :math:`e^{-z^2/2}\,/\,(\sigma\sqrt{2\pi})`, :math:`z=(x-\mu)/\sigma`.

    :param loc: the mean :math:`\mu`.
    :param scale: the standard deviation :math:`\sigma`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Normal(0.0, 2.0).log_prob(torch.tensor(0.0))
    tensor(-1.6121)
    """

    loc = Parameter()
    scale = Parameter()

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(Normal, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, as ``loc + scale * noise``.

        :param sample_shape: the shape of independent draws.
        """
        return draw_normal(self, self._extended_shape(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        loc, scale = self._operands(value)
        return self._over_batch(normal_log_density(value, loc, scale))


class LogNormal(ReparameterisedLaw, torch.distributions.LogNormal, TorchDistributionMixin):
    r"""Law of :math:`e^y` with :math:`y\sim\mathrm{Normal}(\mu,\sigma)`.

    :param loc: the mean :math:`\mu` of the logarithm.
    :param scale: the standard deviation :math:`\sigma` of the logarithm, positive.
    :param validate_args: whether to check parameters and values.

    >>> LogNormal(0.0, 1.0).log_prob(torch.tensor(1.0))
    tensor(-0.9189)
    """

    loc = Parameter()
    scale = Parameter()

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(LogNormal, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    @property
    def base_dist(self) -> Normal:  # type: ignore[override]
        """The law of the logarithm."""
        law: Normal = self._view_as(
            Normal, loc=self._given_as("loc"), scale=self._given_as("scale")
        )
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The exponential function."""
        return [ExpTransform()]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        return draw_normal(self, self._extended_shape(sample_shape)).exp()

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, minus infinity where the value is not positive.

        :param value: the value.
        """
        inside = self._validate_args and self._is_inside(value)
        log_value = value.log()
        loc, scale = self._operands(log_value)
        result = self._over_batch(normal_log_density(log_value, loc, scale) - log_value)
        if inside or surely_belongs(value, _POSITIVE):
            return result
        return torch.where(value <= 0, -math.inf, result)


class HalfNormal(HalfLaw, torch.distributions.HalfNormal, TorchDistributionMixin):  # type: ignore[override]
    r"""Law of :math:`|y|` with :math:`y\sim\mathrm{Normal}(0,\sigma)`.

    :param scale: the scale :math:`\sigma`, positive.
    :param validate_args: whether to check parameters and values.

    >>> HalfNormal(1.0).log_prob(torch.tensor(0.0))
    tensor(-0.2258)
    """

    _whole = Normal

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        numbers = self._numbers()
        if numbers is not None:
            return torch.normal(0.0, numbers["scale"], shape, dtype=self._dtype).abs_()
        scale = self.scale
        noise = torch.normal(0.0, 1.0, shape, dtype=scale.dtype, device=scale.device)
        return noise.abs_() * scale

    def _log_density(self, value: torch.Tensor, scale: Real) -> torch.Tensor:
        return normal_log_density(value, 0.0, scale, math.log(2))
