"""Laws of counts."""

import math
from typing import Any

import torch
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro.distributions.bernoulli import BinaryLaw
from pyro.distributions.categorical import VectorOfChoices
from pyro.distributions.checking import belongs, parameter_error, quick_test
from pyro.distributions.gamma import Gamma, draw_gamma
from pyro.distributions.parameters import HoldingLaw, Parameter, Real, as_operand, constant
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape
from pyro.ops.special import log_binomial
from pyro.settings import register

_POSITIVE = quick_test(constraints.positive)
_MOST = 2.0**60  # above, torch.poisson overflows; the spread of a Poisson law is beyond float64


def split_binomial(
    count: torch.Tensor, probs: torch.Tensor, limit: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw a part of large binomial counts, such that what is left to draw is small.

    A success is a uniform variable below ``probs``. The median of ``count`` such variables is drawn
    from its beta law; half of them then lie on a known side, and the rest are uniform on the other.
    The law of the total is exactly binomial. Devroye (1986), Non-Uniform Random Variate Generation,
    chapter X, section 4.3.

    :param count: numbers of trials.
    :param probs: probabilities of success, of the same shape.
    :param limit: how many trials may be left.
    :return: successes so far, the numbers of trials left, and their probabilities of success.
    """
    done = torch.zeros_like(count)
    while bool((large := count > limit).any()):
        middle = torch.where(large, count, 2.0).div(2, rounding_mode="floor") + 1
        upper = torch.where(large, count, 2.0) + 1 - middle
        median = torch._sample_dirichlet(torch.stack([middle, upper], -1))[..., 0]
        below = large & (median <= probs)
        above = large & ~below
        done = torch.where(below, done + middle, done)
        count = torch.where(below, count - middle, torch.where(above, middle - 1, count))
        probs = torch.where(below, (probs - median) / (1 - median), probs)
        probs = torch.where(above, probs / median, probs)
    return done, count, probs.clamp(0, 1)


def draw_poisson(rate: torch.Tensor) -> torch.Tensor:
    """Draw from Poisson laws whose means may be larger than what ``torch.poisson`` can count to.

    :param rate: the means; above ``2 ** 60`` the draw is the mean, to eight digits.

    >>> draw_poisson(torch.tensor([0.0, 1e30]))
    tensor([0.0000e+00, 1.0000e+30])
    """
    rate = rate.clamp(max=torch.finfo(rate.dtype).max)
    return torch.where(rate > _MOST, rate.round(), torch.poisson(rate.clamp(max=_MOST)))


class Binomial(BinaryLaw, torch.distributions.Binomial, TorchDistributionMixin):  # type: ignore[override]
    r"""Binomial law of the number of successes in independent trials.

    Its probabilities are :math:`\binom nk p^k(1-p)^{n-k}`, :math:`k=0,\dots,n`.

    Two class attributes, which are also settings, trade accuracy for speed:
    ``approx_sample_thresh``, above which numbers of trials are split in halves before they are
    drawn (the law stays exact), and ``approx_log_prob_tol``, the error to tolerate in the log of
    the binomial coefficient.

    :param total_count: the number of trials.
    :param probs: the probability of success.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> Binomial(2, torch.tensor(0.5)).log_prob(torch.tensor(1.0))
    tensor(-0.6931)
    """

    approx_sample_thresh = math.inf
    approx_log_prob_tol = 0.0
    total_count: Any = Parameter()

    def __init__(
        self,
        total_count: torch.Tensor | int = 1,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(Binomial, probs, logits, total_count=total_count)
        self._check_parameters(validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """Whole numbers up to the number of trials."""
        return constraints.integer_interval(0, self._given_as("total_count"))

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        count = self.total_count.detach().expand(shape)
        probs = self.probs.detach().expand(shape)
        if self.approx_sample_thresh == math.inf:
            return torch.binomial(count, probs)
        done, count, probs = split_binomial(count, probs, self.approx_sample_thresh)
        return done + torch.binomial(count, probs)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_probability(self.total_count, value)

    def _log_probability(self, count: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        logits = self.logits
        ways = log_binomial(count, value, self.approx_log_prob_tol)
        density: torch.Tensor = ways + value * logits + count * logsigmoid(-logits)
        return density


@register("binomial_approx_sample_thresh", __name__, "Binomial.approx_sample_thresh")
def _check_threshold(value: float) -> None:
    if not (isinstance(value, (int, float)) and value > 0):
        raise ValueError(f"binomial_approx_sample_thresh must be a positive number, not {value!r}.")


@register("binomial_approx_log_prob_tol", __name__, "Binomial.approx_log_prob_tol")
def _check_tolerance(value: float) -> None:
    if not (isinstance(value, (int, float)) and value >= 0):
        raise ValueError(f"binomial_approx_log_prob_tol must not be negative, but is {value!r}.")


class Geometric(BinaryLaw, torch.distributions.Geometric, TorchDistributionMixin):
    r"""Geometric law of the number of failures before the first success.

    Its probabilities are :math:`p(1-p)^k`, :math:`k=0,1,\dots`

    :param probs: the probability of success, positive.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> Geometric(0.5).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    def __init__(
        self,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(Geometric, probs, logits)
        self._check_parameters(validate_args)
        checked = self._validate_args and probs is not None
        if checked and not belongs(probs, constraints.positive, _POSITIVE):
            raise parameter_error(self, "probs", probs, constraints.positive)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        if "probs" in self._raw:
            probs = as_operand(self._operand("probs", value), value)
            return self._over_batch(torch.special.xlog1py(value, -probs) + probs.log())
        logits = self.logits
        return torch.addcmul(logsigmoid(logits), value, logsigmoid(-logits))


class NegativeBinomial(  # type: ignore[override]
    BinaryLaw, torch.distributions.NegativeBinomial, TorchDistributionMixin
):
    r"""Negative binomial law of the number of successes before a given number of failures.

    Its probabilities are :math:`\binom{k+r-1}k p^k(1-p)^r`, :math:`k=0,1,\dots`

    :param total_count: the number of failures at which to stop, nonnegative; need not be whole.
    :param probs: the probability of success, below 1.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> NegativeBinomial(1.0, torch.tensor(0.5)).log_prob(torch.tensor(1.0))
    tensor(-1.3863)
    """

    total_count: Any = Parameter()

    def __init__(
        self,
        total_count: Real,
        probs: Real | None = None,
        logits: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._hold_one(NegativeBinomial, probs, logits, total_count=total_count)
        self._check_parameters(validate_args)

    @property
    def _gamma(self) -> Gamma:
        """The law of the mean of the Poisson law that this is a mixture of."""
        return Gamma(self.total_count, torch.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        rate = torch.exp(-self.logits.detach())
        shape = self._extended_shape(sample_shape)
        return draw_poisson(draw_gamma(self.total_count.detach(), rate, shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        count, logits = self._operand("total_count", value), self.logits
        positive = isinstance(count, float) and count > 0.0
        count = as_operand(count, value)
        total = count + value
        ways = total.lgamma() - (value + constant(1.0, value)).lgamma() - count.lgamma()
        if not positive:  # 0 failures come after 0 successes, surely
            ways = ways.masked_fill(total == 0, 0.0)
        return ways + count * logsigmoid(-logits) + value * logsigmoid(logits)


class Multinomial(VectorOfChoices, torch.distributions.Multinomial, TorchDistributionMixin):  # type: ignore[misc]
    r"""Multinomial law of how often each of several outcomes comes up in independent trials.

    Its probabilities are :math:`n!\prod_i p_i^{k_i}/k_i!`, where :math:`\sum_i k_i=n`.

    :param total_count: the number of trials, the same for the whole batch.
    :param probs: nonnegative weights along the rightmost dimension; they are normalised.
    :param logits: logarithms of weights, in their place.
    :param validate_args: whether to check parameters and values.
    :raises NotImplementedError: where the number of trials is no integer.

    >>> Multinomial(2, torch.ones(2)).log_prob(torch.tensor([1.0, 1.0]))
    tensor(-0.6931)
    """

    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: torch.Tensor | None = None,
        logits: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError(
                f"Multinomial takes one total_count for its whole batch, an int, not "
                f"{type(total_count).__name__}."
            )
        self.total_count = total_count
        self._hold_choice(Multinomial, probs, logits)
        self._check_parameters(validate_args)

    @property
    def _binomial(self) -> Binomial:  # type: ignore[override]
        return Binomial(self.total_count, probs=self.probs, validate_args=False)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        probs = self._categorical.probs.detach()
        shape, count = self._extended_shape(sample_shape), self.total_count
        rows, repeats = probs.reshape(-1, probs.shape[-1]), torch.Size(sample_shape).numel()
        hits = torch.zeros(repeats, *rows.shape, dtype=probs.dtype, device=probs.device)
        if not count or not hits.numel():
            return hits.reshape(shape)
        trials = torch.multinomial(rows, count * repeats, replacement=True)
        where = trials.reshape(len(rows), count, repeats).permute(2, 0, 1)
        one = constant(1.0, probs).expand(where.shape)
        return hits.scatter_add_(-1, where, one).reshape(shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        logits = self._categorical.logits
        one = constant(1.0, value)
        powers = torch.where(value == 0, 0.0, value * logits)  # where 0 ** 0 is 1
        return (value.sum(-1) + one).lgamma() + (powers - (value + one).lgamma()).sum(-1)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, from the laws of the counts of single outcomes."""
        one = constant(1.0, self.probs)
        counts = torch.arange(self.total_count + 1).to(one).reshape(-1, *(1,) * self.probs.dim())
        factorials = (counts + one).lgamma()
        expected = (self._binomial.log_prob(counts).exp() * factorials).sum(0)
        choices: torch.Tensor = self.total_count * self._categorical.entropy()
        return choices - factorials[-1].squeeze(-1) + expected.sum(-1)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        total_count: Shape | None = None,
        probs: Shape | None = None,
        logits: Shape | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param total_count: the shape of the number of trials.
        :param probs: the shape of the weights.
        :param logits: the shape of their logarithms.
        :raises ValueError: where both or neither of the latter are given.
        """
        batch_shape, event_shape = VectorOfChoices.infer_shapes(probs, logits)
        return torch.Size(broadcast_shape(total_count or (), batch_shape)), event_shape


class Poisson(HoldingLaw, torch.distributions.Poisson, TorchDistributionMixin):
    r"""Poisson law with probabilities :math:`\lambda^k e^{-\lambda}/k!`.

    :param rate: the mean :math:`\lambda`, nonnegative.
    :param is_sparse: whether most values are 0: :meth:`log_prob` then computes the logarithm and
        the factorial at the others only.
    :param validate_args: whether to check parameters and values.

    >>> Poisson(1.0).log_prob(torch.tensor(0.0))
    tensor(-1.)
    """

    rate = Parameter()
    _settings = ("is_sparse",)

    def __init__(
        self, rate: Real, *, is_sparse: bool = False, validate_args: bool | None = None
    ) -> None:
        self._hold(Poisson, rate=rate)
        self.is_sparse = is_sparse
        self._check_parameters(validate_args)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        return torch.poisson(self._filled("rate", self._extended_shape(sample_shape)).detach())

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        if self.is_sparse:
            return self._sparse_log_prob(value)
        rate = self._operand("rate", value)
        factorial = (value + constant(1.0, value)).lgamma()
        if isinstance(rate, float) and rate > 0.0:
            level, slope = constant(-rate, value), constant(math.log(rate), value)
            return self._over_batch(torch.addcmul(level, value, slope) - factorial)
        rate = as_operand(rate, value)
        return self._over_batch(torch.xlogy(value, rate) - rate - factorial)

    def _sparse_log_prob(self, value: torch.Tensor) -> torch.Tensor:
        rate: torch.Tensor = self.rate
        shape = broadcast_shape(value.shape, rate.shape)
        rate, value = rate.expand(shape), value.expand(shape)
        (where,) = value.reshape(-1).nonzero(as_tuple=True)
        counts, rates = value.reshape(-1)[where], rate.reshape(-1)[where]
        terms = counts * rates.log() - (counts + 1).lgamma()
        return (-rate).reshape(-1).index_add(0, where, terms).reshape(shape)
