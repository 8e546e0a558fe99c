"""Laws of waiting times: gamma and its relatives."""

import math
from typing import Any

import torch
from torch.distributions import PowerTransform, Transform

from pyro.distributions.parameters import (
    Alternative,
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    blank,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin


def draw_gamma(concentration: torch.Tensor, rate: Real, shape: torch.Size) -> torch.Tensor:
    """Draw differentiably, and never 0, from a gamma law.

    :param concentration: the shape parameter, which broadcasts to ``shape``.
    :param rate: the rate, likewise.
    :param shape: the shape of the result.
    """
    if concentration.shape != shape:
        concentration = concentration.expand(shape)
    value = torch._standard_gamma(concentration)
    if isinstance(rate, float) and rate == 1.0:
        return value
    value = value / as_operand(rate, value)
    value.detach().clamp_(min=torch.finfo(value.dtype).tiny)  # behind autograd's back
    return value


def log_constant(concentration: Real, rate: Real, like: torch.Tensor) -> torch.Tensor:
    """Return the log of what makes a gamma density integrate to 1.

    :param concentration: the shape parameter.
    :param rate: the rate.
    :param like: the tensor that the result shall meet.
    """
    if isinstance(concentration, float) and isinstance(rate, float) and concentration > 0.0 < rate:
        return constant(concentration * math.log(rate) - math.lgamma(concentration), like)
    a, b = as_operand(concentration, like), as_operand(rate, like)
    return torch.xlogy(a, b) - torch.lgamma(a)


def less_one(a: Real, like: torch.Tensor) -> torch.Tensor:
    """Return ``a - 1`` as a tensor.

    :param a: a number or a tensor.
    :param like: the tensor that the result shall meet.
    """
    return constant(a - 1.0, like) if isinstance(a, float) else a - constant(1.0, like)


def gamma_log_density(value: torch.Tensor, concentration: Real, rate: Real) -> torch.Tensor:
    """Return the log density of a gamma law in as few operations as can be.

    :param value: the value.
    :param concentration: the shape parameter.
    :param rate: the rate.
    """
    result = log_constant(concentration, rate, value)
    if isinstance(rate, float):
        result = torch.sub(result, value, alpha=rate)
    else:
        result = torch.addcmul(result, rate, value, value=-1)
    if not isinstance(concentration, float):
        return result + torch.xlogy(less_one(concentration, value), value)
    if concentration == 1.0:
        return result
    return torch.add(result, value.log(), alpha=concentration - 1.0)


class Exponential(ReparameterisedLaw, torch.distributions.Exponential, TorchDistributionMixin):
    r"""Exponential law with density :math:`\lambda e^{-\lambda x}`, :math:`x\geq 0`.

    :param rate: the rate :math:`\lambda`, positive; the mean is its inverse.
    :param validate_args: whether to check parameters and values.

    >>> Exponential(2.0).log_prob(torch.tensor(1.0))
    tensor(-1.3069)
    """

    rate = Parameter()

    def __init__(self, rate: Real, validate_args: bool | None = None) -> None:
        self._hold(Exponential, rate=rate)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        numbers = self._numbers()
        if numbers is not None and numbers["rate"] > 0.0:
            return torch.empty(shape, dtype=self._dtype).exponential_(numbers["rate"])
        rate = self.rate
        return blank(shape, rate).exponential_() / rate

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        rate = self.rate
        return torch.addcmul(rate.log(), rate, value, value=-1)


class Gamma(ReparameterisedLaw, torch.distributions.Gamma, TorchDistributionMixin):
    r"""Gamma law with density :math:`\beta^\alpha x^{\alpha-1}e^{-\beta x}/\Gamma(\alpha)`.

    :param concentration: the shape :math:`\alpha`, positive.
    :param rate: the rate :math:`\beta`, positive; the mean is :math:`\alpha/\beta`.
    :param validate_args: whether to check parameters and values.

    >>> Gamma(1.0, 2.0).log_prob(torch.tensor(1.0))
    tensor(-1.3069)
    """

    concentration = Parameter()
    rate = Parameter()

    def __init__(self, concentration: Real, rate: Real, validate_args: bool | None = None) -> None:
        self._hold(Gamma, concentration=concentration, rate=rate)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        return draw_gamma(self._filled("concentration", shape), self._given_as("rate"), shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if not isinstance(value, torch.Tensor):
            value = torch.as_tensor(value, dtype=self._dtype)
        if self._validate_args:
            self._validate_sample(value)
        held = self.__dict__
        if "concentration" in held and "rate" in held:  # as tensors of the batch shape
            a, rate = held["concentration"], held["rate"]
            rest = torch.addcmul(torch.lgamma(a), rate, value)
            return torch.xlogy(a, rate) - rest + torch.xlogy(a - constant(1.0, a), value)
        return self._over_batch(gamma_log_density(value, *self._operands(value)))

    def conjugate_update(self, other: Any) -> tuple["Gamma", torch.Tensor]:
        """Multiply this density by that of another gamma law.

        :param other: a :class:`Gamma`.
        :raises TypeError: where it is none.

        >>> updated, log_normalizer = Gamma(2.0, 1.0).conjugate_update(Gamma(3.0, 1.0))
        >>> updated
        Gamma(concentration: 4.0, rate: 2.0)
        """
        if not isinstance(other, torch.distributions.Gamma):
            raise TypeError(f"Gamma.conjugate_update takes a Gamma, not {other}.")
        updated = Gamma(
            self.concentration + less_one(other.concentration, self.concentration),
            self.rate + other.rate,
        )
        parts = [
            log_constant(law.concentration, law.rate, law.rate) for law in (self, other, updated)
        ]
        return updated, parts[0] + parts[1] - parts[2]


class Chi2(ReparameterisedLaw, torch.distributions.Chi2, TorchDistributionMixin):
    r"""Chi-squared law: that of a sum of squares of standard normal variables.

    Its density is proportional to :math:`x^{\nu/2-1}e^{-x/2}`.

    :param df: how many of them, :math:`\nu`, positive; need not be whole.
    :param validate_args: whether to check parameters and values.

    >>> Chi2(2.0).log_prob(torch.tensor(2.0))
    tensor(-1.6931)
    """

    df = Parameter()
    concentration = Alternative("df", lambda df: 0.5 * df)

    def __init__(self, df: Real, validate_args: bool | None = None) -> None:
        self._hold(Chi2, df=df)
        self._check_parameters(validate_args)

    @property
    def rate(self) -> torch.Tensor:  # type: ignore[override]
        """One half: that of the gamma law which this is."""
        return torch.full_like(self.df, 0.5)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        return draw_gamma(self.concentration, 0.5, self._extended_shape(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        concentration = 0.5 * self._operand("df", value)
        return self._over_batch(gamma_log_density(value, concentration, 0.5))


class InverseGamma(ReparameterisedLaw, torch.distributions.InverseGamma, TorchDistributionMixin):
    r"""Law of :math:`1/y` with :math:`y\sim\mathrm{Gamma}(\alpha,\beta)`.

    :param concentration: the shape :math:`\alpha`, positive.
    :param rate: the rate :math:`\beta` of the gamma law, positive.
    :param validate_args: whether to check parameters and values.

    >>> InverseGamma(1.0, 1.0).log_prob(torch.tensor(1.0))
    tensor(-1.)
    """

    concentration = Parameter()
    rate = Parameter()

    def __init__(self, concentration: Real, rate: Real, validate_args: bool | None = None) -> None:
        self._hold(InverseGamma, concentration=concentration, rate=rate)
        self._check_parameters(validate_args)

    @property
    def base_dist(self) -> Gamma:  # type: ignore[override]
        """The law of the inverse."""
        a, b = self._given_as("concentration"), self._given_as("rate")
        law: Gamma = self._view_as(Gamma, concentration=a, rate=b)
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The inverse."""
        return [PowerTransform(torch.tensor(-1.0, dtype=self._dtype, device=self.rate.device))]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        return draw_gamma(
            self._filled("concentration", shape), self._given_as("rate"), shape
        ).reciprocal()

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        concentration, rate = self._operands(value)
        result = log_constant(concentration, rate, value)
        result = torch.addcdiv(result, as_operand(rate, value), value, value=-1)
        if isinstance(concentration, float):
            return self._over_batch(torch.sub(result, value.log(), alpha=concentration + 1.0))
        exponent = concentration + constant(1.0, value)
        return self._over_batch(torch.addcmul(result, exponent, value.log(), value=-1))
