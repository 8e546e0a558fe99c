"""The beta law on any interval."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import AffineTransform, Transform, constraints

from pyro.distributions.beta import Beta, log_beta_constant
from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.gamma import less_one
from pyro.distributions.parameters import Parameter, Real, ReparameterisedLaw
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.shapes import broadcast_shape


class AffineBeta(ReparameterisedLaw, TransformedDistribution):
    r"""Beta law on the interval from :math:`c` to :math:`c+s`.

    .. math:: p(x) = \frac{(x-c)^{a-1}\,(c+s-x)^{b-1}}{B(a,b)\,s^{a+b-1}} .

    :param concentration1: the exponent :math:`a` of the distance from the lower end, positive.
    :param concentration0: the exponent :math:`b` of the distance from the upper end, positive.
    :param loc: the lower end :math:`c`.
    :param scale: the length :math:`s` of the interval, positive.
    :param validate_args: whether to check parameters and values.

    >>> AffineBeta(1.0, 1.0, -1.0, 2.0).log_prob(torch.tensor(0.5))
    tensor(-0.6931)

    Source: Johnson, Kotz and Balakrishnan 1995, *Continuous Univariate Distributions 2*, chapter
    25.
    """

    concentration1 = Parameter()
    concentration0 = Parameter()
    loc = Parameter()
    scale = Parameter()
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    has_rsample = True

    def __init__(
        self,
        concentration1: Real,
        concentration0: Real,
        loc: Real,
        scale: Real,
        validate_args: bool | None = None,
    ) -> None:
        self._hold(
            AffineBeta,
            concentration1=concentration1,
            concentration0=concentration0,
            loc=loc,
            scale=scale,
        )
        self._check_parameters(validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        concentration1: Shape, concentration0: Shape, loc: Shape, scale: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param concentration1: the shape of the lower end's exponent.
        :param concentration0: the shape of the upper end's exponent.
        :param loc: the shape of the lower end.
        :param scale: the shape of the length.
        """
        return torch.Size(broadcast_shape(concentration1, concentration0, loc, scale)), NO_SHAPE

    @property
    def base_dist(self) -> Beta:  # type: ignore[override]
        """The law of the share of the interval that lies below."""
        a, b = self.concentration1, self.concentration0  # as tensors, which know the dtype
        law: Beta = self._view_as(Beta, concentration1=a, concentration0=b)
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The affine map."""
        return [AffineTransform(self.loc, self.scale)]

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """The interval, with its ends."""
        return constraints.interval(self.low, self.high)

    @property
    def low(self) -> Tensor:
        """The lower end."""
        return self.loc

    @property
    def high(self) -> Tensor:
        """The upper end."""
        high: Tensor = self.loc + self.scale
        return high

    @property
    def sample_size(self) -> Tensor:
        """The sum of both exponents, the weight of the law as a prior of a proportion."""
        size: Tensor = self.concentration1 + self.concentration0
        return size

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        mean: Tensor = self.loc + self.scale * (self.concentration1 / self.sample_size)
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        variance: Tensor = self.scale.square() * self.base_dist.variance
        return variance

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably, and never an end of the interval.

        :param sample_shape: the shape of independent draws.
        """
        value = self.loc + self.scale * self.base_dist.rsample(sample_shape)
        low, high = self.low.detach(), self.high.detach()
        first, last = torch.nextafter(low, high), torch.nextafter(high, low)
        value.detach().clamp_(first, last)  # behind autograd's back
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        below = torch.xlogy(less_one(a, value), value - self.low)
        above = torch.xlogy(less_one(b, value), self.high - value)
        level = log_beta_constant(a, b, value) - (a + b - 1) * self.scale.log()
        return below + above + level

    def entropy(self) -> Tensor:
        """Return the entropy: that of the share, and the logarithm of the length."""
        entropy: Tensor = self.base_dist.entropy() + self.scale.log()
        return entropy
