"""Laws of yes or no, and their continuous relatives."""

import math
from typing import Any

import torch
from torch.distributions import SigmoidTransform, Transform, constraints
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli as TorchLogitRelaxed
from torch.nn.functional import logsigmoid

from pyro.distributions.parameters import (
    Alternative,
    HoldingLaw,
    Parameter,
    Real,
    ReparameterisedLaw,
    blank,
    constant,
    one_of,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape


def to_logits(probs: torch.Tensor) -> torch.Tensor:
    """Return log odds, finite also where the probability is 0 or 1.

    :param probs: probabilities.
    """
    return torch.logit(probs, torch.finfo(probs.dtype).eps)


def bernoulli_log_density(logits: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return ``value * log p + (1 - value) * log(1 - p)``.

    :param logits: the log odds of ``p``.
    :param value: values from 0 to 1.
    """
    if value.dtype is not logits.dtype:
        dtype = torch.promote_types(value.dtype, logits.dtype)
        logits, value = logits.to(dtype), value.to(dtype)
    if value.shape != logits.shape:
        shape = broadcast_shape(logits.shape, value.shape)
        logits, value = logits.expand(shape), value.expand(shape)
    return -torch.binary_cross_entropy_with_logits(logits, value, None, None, 0)


class BinaryLaw(HoldingLaw):
    """A law with a probability, which may be given as log odds instead."""

    probs: Any = Alternative("logits", torch.sigmoid)
    logits: Any = Alternative("probs", to_logits)

    def _hold_one(self, owner: type, probs: Real | None, logits: Real | None, **more: Real) -> None:
        if (probs is None) == (logits is None):
            one_of(owner, probs=probs, logits=logits)
        if logits is None:
            self._hold(owner, probs=probs, **more)
        else:
            self._hold(owner, logits=logits, **more)

    @property
    def _param(self) -> torch.Tensor:
        """That of the two which was given."""
        given: torch.Tensor = getattr(self, next(iter(self._raw)))
        return given


class Bernoulli(BinaryLaw, torch.distributions.Bernoulli, TorchDistributionMixin):  # type: ignore[override]
    r"""Bernoulli law: 1 with probability :math:`p`, else 0.

    :param probs: the probability :math:`p`.
    :param logits: its log odds :math:`\log p/(1-p)`, in its place.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where both or neither are given.

    >>> Bernoulli(0.25).log_prob(torch.tensor([0.0, 1.0]))
    tensor([-0.2877, -1.3863])
    """

    def __init__(
        self,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(Bernoulli, probs, logits)
        self._check_parameters(validate_args)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        if "probs" in self._raw:
            return torch.bernoulli(self._filled("probs", shape).detach())
        return torch.bernoulli(self.probs.detach().expand(shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        numbers = self._numbers()
        if numbers is None or value.dtype is not self._dtype or "probs" not in numbers:
            return bernoulli_log_density(self.logits, value)
        eps = torch.finfo(self._dtype).eps
        p = min(max(numbers["probs"], eps), 1 - eps)
        no, yes = constant(math.log1p(-p), value), constant(math.log(p), value)
        return self._over_batch(torch.lerp(no, yes, value))


class ContinuousBernoulli(  # type: ignore[override]
    BinaryLaw, torch.distributions.ContinuousBernoulli, TorchDistributionMixin
):
    r"""Continuous Bernoulli law, density proportional to :math:`\lambda^x(1-\lambda)^{1-x}`.

    Loaiza-Ganem and Cunningham (2019), arXiv:1907.06845.

    :param probs: the parameter :math:`\lambda`, between 0 and 1; it is not the mean.
    :param logits: its log odds, in its place.
    :param lims: near one half the density is computed from a series: between these limits.
    :param validate_args: whether to check parameters and values.

    >>> ContinuousBernoulli(0.5).log_prob(torch.tensor(0.3))
    tensor(0.)
    """

    _settings = ("_lims",)

    def __init__(
        self,
        probs: Real | None = None,
        logits: Real | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(ContinuousBernoulli, probs, logits)
        self._lims = lims
        self._check_parameters(validate_args)
        if probs is not None:  # the normalizer divides by what vanishes at the ends
            eps = torch.finfo(self._dtype).eps
            self.probs = self.probs.clamp(eps, 1 - eps)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        log_constant: torch.Tensor = self._cont_bern_log_norm()
        return bernoulli_log_density(self.logits, value) + log_constant


class RelaxedBinaryLaw(ReparameterisedLaw, BinaryLaw):
    """What a relaxed Bernoulli law and that of its log odds have in common."""

    temperature: Any = Parameter()

    def _draw_log_odds(self, sample_shape: Shape) -> torch.Tensor:
        logits = self.logits
        noise = blank(self._extended_shape(sample_shape), logits).uniform_()
        log_odds: torch.Tensor = (to_logits(noise) + logits) / self.temperature
        return log_odds

    def _log_odds_density(self, log_odds: torch.Tensor) -> torch.Tensor:
        temperature = self.temperature
        z = self.logits - log_odds * temperature
        density: torch.Tensor = logsigmoid(z) + logsigmoid(-z) + temperature.log()
        return density


class LogitRelaxedBernoulli(  # type: ignore[override]
    RelaxedBinaryLaw, TorchLogitRelaxed, TorchDistributionMixin
):
    """Law of the log odds of a :class:`RelaxedBernoulli` value.

    :param temperature: the temperature, positive.
    :param probs: the probability of 1 at temperature 0.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> LogitRelaxedBernoulli(1.0, logits=0.0).log_prob(torch.tensor(0.0))
    tensor(-1.3863)
    """

    arg_constraints = {**TorchLogitRelaxed.arg_constraints, "temperature": constraints.positive}

    def __init__(
        self,
        temperature: Real,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(LogitRelaxedBernoulli, probs, logits, temperature=temperature)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        return self._draw_log_odds(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_odds_density(value)


class RelaxedBernoulli(
    RelaxedBinaryLaw, torch.distributions.RelaxedBernoulli, TorchDistributionMixin
):
    r"""Relaxed Bernoulli law on the unit interval, which tends to Bernoulli's as it cools.

    It is that of :math:`\sigma((\ell+z)/\tau)` with the log odds :math:`\ell`, the temperature
    :math:`\tau` and logistic noise :math:`z`.

    Maddison, Mnih and Teh (2017), arXiv:1611.00712.

    :param temperature: the temperature, positive.
    :param probs: the probability of 1 at temperature 0.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> RelaxedBernoulli(1.0, probs=0.5).log_prob(torch.tensor(0.5))
    tensor(0.)
    """

    arg_constraints = {**TorchLogitRelaxed.arg_constraints, "temperature": constraints.positive}

    def __init__(
        self,
        temperature: Real,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(RelaxedBernoulli, probs, logits, temperature=temperature)
        self._check_parameters(validate_args)

    @property
    def base_dist(self) -> LogitRelaxedBernoulli:  # type: ignore[override]
        """The law of the log odds."""
        law: LogitRelaxedBernoulli = self._view_as(
            LogitRelaxedBernoulli, logits=self.logits, temperature=self.temperature
        )
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The logistic function."""
        return [SigmoidTransform()]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        value: torch.Tensor = SigmoidTransform()(self._draw_log_odds(sample_shape))
        return value

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        sigmoid = SigmoidTransform()
        log_odds = sigmoid.inv(value)
        stretch: torch.Tensor = sigmoid.log_abs_det_jacobian(log_odds, value)
        return self._log_odds_density(log_odds) - stretch
