"""Laws of counts whose probabilities are drawn from a conjugate law."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.counts import Binomial, draw_poisson
from pyro.distributions.gamma import draw_gamma
from pyro.distributions.parameters import HoldingLaw, Parameter, Real
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.ops.gamma_ratios import log_multichoose
from pyro.ops.readable import is_readable
from pyro.ops.shapes import broadcast_shape
from pyro.ops.special import log_beta


def draw_log_odds(concentration1: Tensor, concentration0: Tensor) -> Tensor:
    r"""Draw log odds of a proportion that follows a beta law, for any positive concentrations.

    Where both are small, the proportion itself is nearer to 0 or 1 than numbers of its dtype can
    be. A gamma variable of shape :math:`\alpha` is one of shape :math:`\alpha+1` times
    :math:`U^{1/\alpha}`.

    :param concentration1: the concentration of the proportion, of the shape of the result.
    :param concentration0: that of what is left, of the same shape.

    >>> draw_log_odds(torch.full((2,), 1e-9), torch.full((2,), 1e-9)).abs() > 1000
    tensor([True, True])
    """
    both = torch.stack([concentration1, concentration0])
    waits = torch.empty_like(both).exponential_() / both
    logs = torch._standard_gamma(both + 1).log() - waits.clamp(max=torch.finfo(both.dtype).max / 4)
    return logs[0] - logs[1]


def draw_split(total: Tensor, concentration: Tensor) -> Tensor:
    """Draw how a number of things falls into categories, with proportions from a Dirichlet law.

    The categories are paired up again and again; the number in each pair, known from the top, falls
    apart by a beta-binomial law. So the depth is the logarithm of their number, and nothing is of
    the size of the number of things.

    :param total: the numbers of things.
    :param concentration: the concentrations, along one more dimension on the right.

    >>> draw_split(torch.tensor(5.0), torch.ones(3)).sum()
    tensor(5.)
    """
    sums = [concentration]
    while sums[-1].size(-1) > 1:
        last = sums[-1]
        first, second = last[..., 0::2], last[..., 1::2]
        alone = first[..., second.size(-1) :]
        sums.append(torch.cat([first[..., : second.size(-1)] + second, alone], -1))
    counts = total[..., None]
    for level in reversed(sums[:-1]):
        pairs = level.size(-1) // 2
        first, second = level[..., 0 : 2 * pairs : 2], level[..., 1::2]
        probs = draw_log_odds(first, second).sigmoid()
        in_first = Binomial(counts[..., :pairs], probs, validate_args=False).sample()
        parts = torch.stack([in_first, counts[..., :pairs] - in_first], -1).flatten(-2)
        counts = torch.cat([parts, counts[..., pairs:]], -1)
    return counts


class BetaBinomial(HoldingLaw, TorchDistribution):
    r"""Law of a binomial count whose probability follows a beta law.

    .. math::

        P(k) = \binom nk\,\frac{B(a+k,\,b+n-k)}{B(a,b)} , \quad k = 0, \dots, n .

    :param concentration1: the concentration :math:`a` of successes, positive.
    :param concentration0: the concentration :math:`b` of failures, positive.
    :param total_count: the number :math:`n` of trials.
    :param validate_args: whether to check parameters and values.

    The class attribute ``approx_log_prob_tol`` is the error to tolerate in each of the three terms
    of the log probability, for cheaper gradients.

    >>> BetaBinomial(1.0, 1.0, 3).log_prob(torch.arange(4.0)).exp()
    tensor([0.2500, 0.2500, 0.2500, 0.2500])

    Source: Skellam 1948, *A Probability Distribution Derived from the Binomial Distribution by
    Regarding the Probability of Success as Variable*, JRSS B 10(2).
    """

    concentration1 = Parameter()
    concentration0 = Parameter()
    total_count = Parameter()
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }
    has_enumerate_support = True
    approx_log_prob_tol = 0.0

    def __init__(
        self,
        concentration1: Real,
        concentration0: Real,
        total_count: Tensor | int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self._hold(
            type(self),
            concentration1=concentration1,
            concentration0=concentration0,
            total_count=total_count,
        )
        self._check_parameters(validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """Whole numbers up to the number of trials."""
        return constraints.integer_interval(0, self._given_as("total_count"))

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        a, b, count = (getattr(self, name).detach().expand(shape) for name in self._parameters)
        return Binomial(count, draw_log_odds(a, b).sigmoid(), validate_args=False).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_probability(self.total_count, value)

    def _log_probability(self, count: Tensor, value: Tensor) -> Tensor:
        value, count, a, b = torch.broadcast_tensors(
            value, count, self.concentration1, self.concentration0
        )
        shapes = torch.stack([a, b, a + b])
        counts = torch.stack([value, count - value, count])
        tolerance = self.approx_log_prob_tol
        if tolerance > 0:
            ways = -log_beta(shapes, counts + 1, tolerance) - (shapes + counts).log()
        else:
            ways = log_multichoose(shapes, counts)
        return ways[0] + ways[1] - ways[2]

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        a, b = self.concentration1, self.concentration0
        mean: Tensor = self.total_count * (a / (a + b))
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        a, b, count = self.concentration1, self.concentration0, self.total_count
        total = a + b
        variance: Tensor = count * (a / total) * (b / total) * ((total + count) / (total + 1))
        return variance

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        :raises NotImplementedError: where the batch has different numbers of trials.
        """
        count = self.total_count
        most = int(count.max())
        if not bool((count == most).all()):
            raise NotImplementedError(
                f"{self} has different numbers of trials, so no one list of values. Give its batch "
                f"a single total_count, or draw the count."
            )
        values = torch.arange(most + 1, dtype=count.dtype, device=count.device)
        values = values.reshape((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values


class DirichletMultinomial(TorchDistribution):
    r"""Law of multinomial counts whose probabilities follow a Dirichlet law.

    .. math::

        P(k) = \frac{n!\,\Gamma(\sum_i\alpha_i)}{\Gamma(n+\sum_i\alpha_i)}
        \prod_i\frac{\Gamma(k_i+\alpha_i)}{k_i!\,\Gamma(\alpha_i)} , \quad \sum_i k_i = n .

    As for :class:`Multinomial`, counts with another sum are scored as those of as many trials.

    :param concentration: the :math:`\alpha_i`, positive, along the rightmost dimension.
    :param total_count: the number :math:`n` of trials, of the batch shape.
    :param is_sparse: whether most counts are 0: :meth:`log_prob` then computes at the others only.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the concentration has no dimension.

    >>> law = DirichletMultinomial(torch.ones(3), 2)
    >>> law.log_prob(torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.0, 1.0]])).exp()
    tensor([0.1667, 0.1667])

    Source: Mosimann 1962, *On the Compound Multinomial Distribution*, Biometrika 49.
    """

    concentration: Any = Parameter()  # known to the class; each object holds its own
    arg_constraints = {
        "concentration": constraints.independent(constraints.positive, 1),
        "total_count": constraints.nonnegative_integer,
    }

    def __init__(
        self,
        concentration: Tensor,
        total_count: Tensor | int = 1,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        if not concentration.dim():
            raise ValueError(
                "DirichletMultinomial: parameter 'concentration' needs a dimension, that of the "
                "counts."
            )
        total_count = torch.as_tensor(total_count).to(concentration)
        shapes = self.infer_shapes(concentration.shape, total_count.shape)
        self.concentration = concentration.expand(shapes[0] + shapes[1])
        self.total_count = total_count.expand(shapes[0])
        self.is_sparse = is_sparse
        super().__init__(*shapes, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        concentration: Shape, total_count: Shape = ()
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param concentration: the shape of the concentrations.
        :param total_count: the shape of the number of trials.
        """
        batch_shape = broadcast_shape(concentration[:-1], total_count)
        return torch.Size(batch_shape), torch.Size(concentration[-1:])

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "DirichletMultinomial":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = as_shape(batch_shape)
        held["concentration"] = self.concentration.expand(batch_shape + self._event_shape)
        held["total_count"] = self.total_count.expand(batch_shape)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Whole numbers that sum up to the number of trials."""
        return constraints.multinomial(self.total_count)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients; also where the batch has different numbers of trials.

        :param sample_shape: the shape of independent draws.
        """
        shape = as_shape(sample_shape) + self._batch_shape
        concentration = self.concentration.detach().expand(shape + self._event_shape)
        return draw_split(self.total_count.expand(shape), concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        concentration = self.concentration
        if not self.is_sparse or not is_readable(value):
            shapes = torch.cat([concentration, concentration.sum(-1, True)], -1)
            ways = log_multichoose(shapes, torch.cat([value, value.sum(-1, True)], -1))
            return ways[..., :-1].sum(-1) - ways[..., -1]
        every = log_multichoose(concentration.sum(-1), value.sum(-1))
        shape = broadcast_shape(value.shape, concentration.shape)
        value, concentration = value.expand(shape), concentration.expand(shape)
        where = value.nonzero(as_tuple=True)
        ways = log_multichoose(concentration[where], value[where])
        return (-every.expand(shape[:-1])).index_put(where[:-1], ways, accumulate=True)

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        share: Tensor = self.concentration / self.concentration.sum(-1, True)
        return self.total_count[..., None] * share

    @property
    def variance(self) -> Tensor:
        """The variance of each count."""
        total: Tensor = self.concentration.sum(-1, True)
        count, share = self.total_count[..., None], self.concentration / total
        variance: Tensor = count * share * (1 - share) * ((total + count) / (total + 1))
        return variance


class GammaPoisson(HoldingLaw, TorchDistribution):
    r"""Law of a Poisson count whose mean follows a gamma law.

    .. math::

        P(k) = \frac{\Gamma(k+\alpha)}{k!\,\Gamma(\alpha)}
        \Bigl(\frac\beta{1+\beta}\Bigr)^\alpha \Bigl(\frac1{1+\beta}\Bigr)^k .

    It is the :class:`NegativeBinomial` law with ``total_count`` :math:`\alpha` and ``logits``
    :math:`-\log\beta`.

    :param concentration: the shape :math:`\alpha` of the gamma law, positive.
    :param rate: its rate :math:`\beta`, positive; the mean is :math:`\alpha/\beta`.
    :param validate_args: whether to check parameters and values.

    >>> GammaPoisson(1.0, 1.0).log_prob(torch.tensor(1.0))
    tensor(-1.3863)

    Source: Greenwood and Yule 1920, *An Inquiry into the Nature of Frequency Distributions
    Representative of Multiple Happenings*, J. R. Stat. Soc. 83(2).
    """

    concentration = Parameter()
    rate = Parameter()
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, concentration: Real, rate: Real, validate_args: bool | None = None) -> None:
        self._hold(GammaPoisson, concentration=concentration, rate=rate)
        self._check_parameters(validate_args)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        return draw_poisson(draw_gamma(self.concentration.detach(), self.rate.detach(), shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape, rate = self.concentration, self.rate
        powers = shape * torch.log1p(1 / rate) + value * torch.log1p(rate)
        return log_multichoose(shape, value) - powers

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        mean: Tensor = self.concentration / self.rate
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        variance: Tensor = self.mean + self.mean / self.rate
        return variance
