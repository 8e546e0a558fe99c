"""Laws whose tails fall off as a power."""

import math
from typing import Any

import torch
from torch.distributions import AffineTransform, ExpTransform, Transform, constraints

from pyro.distributions.checking import is_readable
from pyro.distributions.gamma import Exponential, draw_gamma
from pyro.distributions.half import HalfLaw
from pyro.distributions.parameters import (
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    blank,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin

_NEARLY_EXPONENTIAL = 1e-8  # shapes below this take the first terms of a series


def cauchy_log_density(value: torch.Tensor, loc: Real, scale: Real, shift: float) -> torch.Tensor:
    """Return the logarithm of ``1 / scale / (1 + z * z)``, plus a constant.

    :param value: the value; ``z`` is ``(value - loc) / scale``.
    :param loc: the median.
    :param scale: the scale.
    :param shift: the constant.
    """
    away = value - as_operand(loc, value) if not isinstance(loc, float) or loc else value
    scale = as_operand(scale, value)
    spread = torch.addcmul(scale, away, away / scale)  # scale * (1 + z * z)
    return constant(shift, spread) - spread.log()


class Cauchy(ReparameterisedLaw, torch.distributions.Cauchy, TorchDistributionMixin):
    r"""Cauchy law with density :math:`1\,/\,\pi\gamma(1+z^2)`, :math:`z=(x-x_0)/\gamma`.

    :param loc: the median :math:`x_0`.
    :param scale: half the width at half the maximum, :math:`\gamma`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Cauchy(0.0, 1.0).log_prob(torch.tensor(0.0))
    tensor(-1.1447)
    """

    loc = Parameter()
    scale = Parameter()

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(Cauchy, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, as ``loc + scale * noise``.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        numbers = self._numbers()
        if numbers is not None and numbers["scale"] > 0.0:
            draw = torch.empty(shape, dtype=self._dtype)
            return draw.cauchy_(numbers["loc"], numbers["scale"])
        loc, scale = self.loc, self.scale
        return torch.addcmul(loc, blank(shape, loc).cauchy_(), scale)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        loc, scale = self._operands(value)
        return self._over_batch(cauchy_log_density(value, loc, scale, -math.log(math.pi)))


class HalfCauchy(HalfLaw, torch.distributions.HalfCauchy, TorchDistributionMixin):  # type: ignore[override]
    r"""Law of :math:`|y|` with :math:`y\sim\mathrm{Cauchy}(0,\gamma)`.

    :param scale: the median :math:`\gamma`, positive.
    :param validate_args: whether to check parameters and values.

    >>> HalfCauchy(1.0).log_prob(torch.tensor(0.0))
    tensor(-0.4516)
    """

    _whole = Cauchy

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        numbers = self._numbers()
        if numbers is not None and numbers["scale"] > 0.0:
            draw = torch.empty(shape, dtype=self._dtype)
            return draw.cauchy_(0.0, numbers["scale"]).abs_()
        scale = self.scale
        return blank(shape, scale).cauchy_().abs_() * scale

    def _log_density(self, value: torch.Tensor, scale: Real) -> torch.Tensor:
        return cauchy_log_density(value, 0.0, scale, math.log(2 / math.pi))


class StudentT(ReparameterisedLaw, torch.distributions.StudentT, TorchDistributionMixin):
    r"""Student's t law, density proportional to :math:`(1+z^2/\nu)^{-(\nu+1)/2}`.

    :param df: degrees of freedom :math:`\nu`, positive.
    :param loc: the median.
    :param scale: the scale, positive; :math:`z` is ``(x - loc) / scale``.
    :param validate_args: whether to check parameters and values.

    >>> StudentT(1.0).log_prob(torch.tensor(0.0))
    tensor(-1.1447)
    """

    df = Parameter()
    loc = Parameter()
    scale = Parameter()

    def __init__(
        self, df: Real, loc: Real = 0.0, scale: Real = 1.0, validate_args: bool | None = None
    ) -> None:
        self._hold(StudentT, df=df, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably: a normal variable over the root of a gamma variable.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        half = constant(0.5, self.df) * self.df
        noise = torch.normal(0.0, 1.0, shape, dtype=half.dtype, device=half.device)
        square = torch._standard_gamma(half if half.shape == shape else half.expand(shape))
        return torch.addcmul(self.loc, self.scale, noise * torch.rsqrt(square / half))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        df, loc, scale = self._operands(value)
        if not isinstance(loc, float) or loc:
            value = value - as_operand(loc, value)
        if isinstance(df, float) and isinstance(scale, float) and df > 0.0 < scale:
            z = value / constant(scale * math.sqrt(df), value)
            level = math.lgamma(0.5 * df + 0.5) - math.lgamma(0.5 * df) - math.log(scale)
            zero = constant(level - 0.5 * math.log(math.pi * df), value)
            result = torch.sub(zero, torch.log1p(z * z), alpha=0.5 * df + 0.5)
        else:
            df, scale = as_operand(df, value), as_operand(scale, value)
            half = constant(0.5, value) * df
            more = half + constant(0.5, value)
            z = value / scale
            zero = more.lgamma() - half.lgamma() - (scale * (math.pi * df).sqrt()).log()
            result = torch.addcmul(zero, more, torch.log1p(z * z / df), value=-1)
        return self._over_batch(result)


class FisherSnedecor(
    ReparameterisedLaw, torch.distributions.FisherSnedecor, TorchDistributionMixin
):
    r"""F law: that of a ratio of two chi-squared variables, each over its degrees of freedom.

    Its density is proportional to :math:`x^{a/2-1}(b+ax)^{-(a+b)/2}`.

    :param df1: degrees of freedom of the numerator, :math:`a`, positive.
    :param df2: degrees of freedom of the denominator, :math:`b`, positive.
    :param validate_args: whether to check parameters and values.

    >>> FisherSnedecor(2.0, 2.0).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    df1 = Parameter()
    df2 = Parameter()

    def __init__(self, df1: Real, df2: Real, validate_args: bool | None = None) -> None:
        self._hold(FisherSnedecor, df1=df1, df2=df2)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, as a ratio of two gamma variables of mean one half.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        half = constant(0.5, self.df1)
        above = draw_gamma(half * self.df1, self.df1, shape)
        value = above / draw_gamma(half * self.df2, self.df2, shape)
        value.detach().clamp_(min=torch.finfo(value.dtype).tiny)  # behind autograd's back
        return value


class Pareto(ReparameterisedLaw, torch.distributions.Pareto, TorchDistributionMixin):
    r"""Pareto law with density :math:`\alpha m^\alpha/x^{\alpha+1}`, :math:`x\geq m`.

    :param scale: the smallest value :math:`m`, positive.
    :param alpha: the exponent :math:`\alpha`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Pareto(1.0, 2.0).log_prob(torch.tensor(1.0))
    tensor(0.6931)
    """

    has_rsample = True
    scale = Parameter()
    alpha = Parameter()

    def __init__(self, scale: Real, alpha: Real, validate_args: bool | None = None) -> None:
        self._hold(Pareto, scale=scale, alpha=alpha)
        self._check_parameters(validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """What is not below the smallest value."""
        return constraints.greater_than_eq(self._given_as("scale"))

    @property
    def base_dist(self) -> Exponential:  # type: ignore[override]
        """The law of the logarithm of a draw over the smallest value."""
        law: Exponential = self._view_as(Exponential, rate=self._given_as("alpha"))
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The exponential function, then multiplication by the smallest value."""
        return [ExpTransform(), AffineTransform(0, self.scale)]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        scale, alpha = self.scale, self.alpha
        noise = blank(self._extended_shape(sample_shape), scale).exponential_()
        return torch.exp(noise / alpha) * scale

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, minus infinity below the smallest value.

        :param value: the value.
        """
        inside = self._validate_args and self._is_inside(value)
        scale, alpha = self.scale, self.alpha
        log_value = value.log()
        result = torch.addcmul(alpha.log() - log_value, alpha, scale.log() - log_value)
        return result if inside else torch.where(value < scale, -math.inf, result)


class GeneralizedPareto(
    ReparameterisedLaw, torch.distributions.GeneralizedPareto, TorchDistributionMixin
):
    r"""Generalised Pareto law, with survival function :math:`(1+\xi z)^{-1/\xi}`.

    :param loc: the smallest value.
    :param scale: the scale, positive; :math:`z` is ``(x - loc) / scale``.
    :param concentration: the shape :math:`\xi`; at 0 the law is exponential.
    :param validate_args: whether to check parameters and values.

    >>> GeneralizedPareto(0.0, 1.0, 1.0).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    loc = Parameter()
    scale = Parameter()
    concentration = Parameter()

    def __init__(
        self, loc: Real, scale: Real, concentration: Real, validate_args: bool | None = None
    ) -> None:
        self._hold(GeneralizedPareto, loc=loc, scale=scale, concentration=concentration)
        self._check_parameters(validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """A half line, which a negative shape cuts off."""
        loc, scale, shape = (self._given_as(name) for name in self._parameters)
        if isinstance(shape, float):
            bounded = shape < 0
        else:
            bounded = not is_readable(shape) or bool((shape < 0).any())
        if not bounded:
            return constraints.greater_than_eq(loc)
        end = loc - scale / shape
        if isinstance(shape, torch.Tensor):
            end = torch.where(shape < 0, end, math.inf)
        return constraints.interval(loc, end)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = self._operand("concentration", value)
        hazard, level = self._hazard(value), -self.scale.log()
        if isinstance(shape, float):
            return torch.sub(level, hazard, alpha=1 + shape)
        times = torch.where(shape == -1, 0.0, (1 + shape) * hazard)  # uniform, also at the end
        return level - times

    def _hazard(self, value: torch.Tensor) -> torch.Tensor:
        """Return minus the logarithm of the probability of what is greater."""
        shape = self._operand("concentration", value)
        z: torch.Tensor = self._z(value)
        if isinstance(shape, float):
            exponential = abs(shape) < _NEARLY_EXPONENTIAL
            return z if exponential else torch.log1p(z * shape) / shape
        series = shape.abs() < _NEARLY_EXPONENTIAL
        safe = torch.where(series, 1.0, shape)
        return torch.where(series, z - shape * z * z / 2, torch.log1p(safe * z) / safe)

    def log_survival_function(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability of what is greater.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return -self._hazard(value)

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the value at which the distribution function is as given.

        :param value: probabilities.
        """
        shape, hazard = self.concentration, -torch.log1p(-value)
        exponential = shape.abs() < _NEARLY_EXPONENTIAL
        safe = torch.where(exponential, 1.0, shape)
        series = hazard + shape * hazard * hazard / 2
        return self.loc + self.scale * torch.where(
            exponential, series, torch.expm1(safe * hazard) / safe
        )
