"""Laws with more zeros than their base laws have."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro.distributions.bernoulli import to_logits
from pyro.distributions.counts import NegativeBinomial, Poisson
from pyro.distributions.feasible import feasible_point
from pyro.distributions.parameters import Alternative, HoldingLaw, Real, as_operand, one_of
from pyro.distributions.torch_distribution import FromBase
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.shapes import broadcast_shape


class _OrZero(constraints.Constraint):
    """A set of numbers, and 0.

    :param base: the set.
    """

    def __init__(self, base: Any) -> None:
        self.base = base
        self.is_discrete = base.is_discrete
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        inside: Tensor = self.base.check(value)
        return inside | (value == 0)

    def __repr__(self) -> str:
        return f"OrZero({self.base})"


class ZeroInflatedDistribution(HoldingLaw, TorchDistribution):
    r"""Law of a value that is 0 with a probability of its own, and else drawn from a base law.

    With the probability :math:`\pi` and a discrete base law :math:`p`,

    .. math:: P(0) = \pi + (1-\pi)\,p(0) , \quad P(x) = (1-\pi)\,p(x) \text{ for } x\neq0 .

    A continuous base law has no mass at 0: there the result is :math:`\pi`, a probability, and
    elsewhere :math:`(1-\pi)\,p(x)`, a density.

    :param base_dist: the base law, of single numbers.
    :param gate: the probability :math:`\pi`.
    :param gate_logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where both or neither are given, or where the base law is one of vectors.

    >>> law = ZeroInflatedDistribution(Poisson(1.0), gate=0.5)
    >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.6839, 0.1839])

    Source: Lambert 1992, *Zero-Inflated Poisson Regression*, Technometrics 34(1).
    """

    arg_constraints = {"gate": constraints.unit_interval, "gate_logits": constraints.real}
    gate: Any = Alternative("gate_logits", torch.sigmoid)
    gate_logits: Any = Alternative("gate", to_logits)
    has_enumerate_support = FromBase[bool]("has_enumerate_support")
    _settings = ("base_dist",)

    def __init__(
        self,
        base_dist: Any,
        *,
        gate: Real | None = None,
        gate_logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"{type(self).__name__} takes a law of single numbers, but the event shape of "
                f"{base_dist} is {tuple(base_dist.event_shape)}. Call to_event() on the result."
            )
        given = one_of(type(self), gate=gate, gate_logits=gate_logits)
        self._hold(type(self), **given)
        shape = torch.Size(broadcast_shape(self._batch_shape, base_dist.batch_shape))
        if self._batch_shape != shape:
            self._batch_shape = shape
            for name in given:
                self.__dict__.pop(name, None)
        self.base_dist = base_dist if base_dist.batch_shape == shape else base_dist.expand(shape)
        self._check_parameters(validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = super().expand(batch_shape, _instance)
        new.base_dist = self.base_dist.expand(batch_shape)
        return new

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        """That of the base law, and 0."""
        support = self.base_dist.support
        has_zero = bool(support.check(torch.zeros(())).all())
        return support if has_zero else _OrZero(support)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            value: Tensor = self.base_dist.sample(torch.Size(sample_shape))
            is_zero = torch.bernoulli(self.gate.detach().expand(value.shape)).bool()
            return value.masked_fill(is_zero, 0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability, for a continuous base law the log density except at 0.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        zero = value == 0
        base = self.base_dist
        has_mass = base.has_enumerate_support or base.support.is_discrete
        if not has_mass:
            point = feasible_point(base.support, NO_SHAPE)
            value = torch.where(zero, 1.0 if point is None else point, value)
        scored: Tensor = base.log_prob(value)
        if next(iter(self._raw)) == "gate":
            return self._by_probability(zero, scored, has_mass)
        logits = as_operand(self._operand("gate_logits", scored), scored)
        rest = logsigmoid(-logits) + scored
        surely = logsigmoid(logits)
        return torch.where(zero, torch.logaddexp(surely, rest) if has_mass else surely, rest)

    def _by_probability(self, zero: Tensor, scored: Tensor, has_mass: bool) -> Tensor:
        gate = as_operand(self._operand("gate", scored), scored)
        mass = gate + (1 - gate) * scored.exp() if has_mass else gate
        vanishing = mass == 0  # where it underflows, the gate is closed
        at_zero = torch.where(vanishing, 1.0, mass).log()
        if has_mass:
            at_zero = torch.where(vanishing, scored, at_zero)
        else:
            at_zero = at_zero.masked_fill(vanishing, -torch.inf)
        rest = torch.log1p(-torch.where(zero, 0.0, gate)) + scored
        return torch.where(zero, at_zero, rest)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        :raises NotImplementedError: where the base law can be 0 for a part of the batch only.
        """
        values: Tensor = self.base_dist.enumerate_support(expand=expand)
        found = (values == 0).any(0)
        if found.all():
            return values
        if found.any():
            raise NotImplementedError(
                f"{self.base_dist} can be 0 for a part of its batch only, so that there is no one "
                f"list of values. Split the batch."
            )
        return torch.cat([torch.zeros_like(values[:1]), values])

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        mean: Tensor = (1 - self.gate) * self.base_dist.mean
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        gate, base = self.gate, self.base_dist
        variance: Tensor = (1 - gate) * (base.variance + gate * base.mean.square())
        return variance

    def __repr__(self) -> str:
        name, value = next(iter(self._raw.items()))
        large = isinstance(value, Tensor) and value.numel() != 1
        shown = value.size() if large else value
        return f"{type(self).__name__}({self.base_dist}, {name}: {shown})"


class _ZeroInflatedCounts(ZeroInflatedDistribution):
    """A zero-inflated law that is constructed with the parameters of its base law."""

    support: Any = constraints.nonnegative_integer

    def _parameter_values(self) -> dict[str, Any]:
        return {**self._raw, **self.base_dist._raw}


class ZeroInflatedPoisson(_ZeroInflatedCounts):
    r"""Zero-inflated Poisson law, with mean :math:`(1-\pi)\lambda`.

    :param rate: the mean :math:`\lambda` of the Poisson law, nonnegative.
    :param gate: the probability :math:`\pi` of a zero besides those of the Poisson law.
    :param gate_logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where both or neither are given.

    >>> ZeroInflatedPoisson(1.0, gate=0.5).log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.6839, 0.1839])

    Source: Lambert 1992, *Zero-Inflated Poisson Regression*, Technometrics 34(1).
    """

    arg_constraints = {**ZeroInflatedDistribution.arg_constraints, **Poisson.arg_constraints}

    def __init__(
        self,
        rate: Real,
        *,
        gate: Real | None = None,
        gate_logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Poisson(rate, validate_args=False)
        super().__init__(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def rate(self) -> Tensor:
        """The mean of the Poisson law."""
        rate: Tensor = self.base_dist.rate
        return rate


class ZeroInflatedNegativeBinomial(_ZeroInflatedCounts):
    r"""Zero-inflated negative binomial law.

    :param total_count: the number of failures at which to stop, nonnegative; need not be whole.
    :param probs: the probability of success, below 1.
    :param logits: its log odds, in its place.
    :param gate: the probability :math:`\pi` of a zero besides those of the negative binomial law.
    :param gate_logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where both or neither of a pair are given.

    >>> law = ZeroInflatedNegativeBinomial(1.0, probs=torch.tensor(0.5), gate=0.5)
    >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.7500, 0.1250])

    Source: Greene 1994, *Accounting for Excess Zeros and Sample Selection in Poisson and Negative
    Binomial Regression Models*, NYU working paper EC-94-10.
    """

    arg_constraints = {
        **ZeroInflatedDistribution.arg_constraints,
        **NegativeBinomial.arg_constraints,
    }

    def __init__(
        self,
        total_count: Real,
        *,
        probs: Real | None = None,
        logits: Real | None = None,
        gate: Real | None = None,
        gate_logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = NegativeBinomial(total_count, probs, logits, validate_args=False)
        super().__init__(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def total_count(self) -> Tensor:
        """The number of failures at which to stop."""
        count: Tensor = self.base_dist.total_count
        return count

    @property
    def probs(self) -> Tensor:
        """The probability of success."""
        probs: Tensor = self.base_dist.probs
        return probs

    @property
    def logits(self) -> Tensor:
        """The log odds of success."""
        logits: Tensor = self.base_dist.logits
        return logits
