"""The logistic law, and a skew one."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro.distributions.parameters import Parameter, Real
from pyro.distributions.quantile_law import QuantileLaw

_EULER = 0.5772156649015329  # the Euler-Mascheroni constant


class Logistic(QuantileLaw):
    r"""Logistic law, with distribution function :math:`1/(1+e^{-z})`, :math:`z=(x-\mu)/s`.

    Its density is :math:`e^{-z}\,/\,s(1+e^{-z})^2`.

    :param loc: the mean :math:`\mu`.
    :param scale: the scale :math:`s`, positive; the standard deviation is :math:`s\pi/\sqrt3`.
    :param validate_args: whether to check parameters and values.

    >>> Logistic(0.0, 1.0).log_prob(torch.tensor(0.0))
    tensor(-1.3863)

    Source: Johnson, Kotz and Balakrishnan 1995, *Continuous Univariate Distributions 2*, chapter
    23.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Real, scale: Real, *, validate_args: bool | None = None) -> None:
        self._hold(Logistic, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def _log_density(self, z: Tensor) -> Tensor:
        return logsigmoid(z) + logsigmoid(-z)

    def _probability(self, z: Tensor) -> Tensor:
        return z.sigmoid()

    def _quantile(self, level: Tensor) -> Tensor:
        return level.logit()

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """A third of the square of the scale times pi."""
        variance: Tensor = (self.scale * math.pi).square() / 3
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy: 2 plus the logarithm of the scale."""
        entropy: Tensor = self.scale.log() + 2
        return entropy


class SkewLogistic(QuantileLaw):
    r"""Skew logistic law, with distribution function :math:`(1+e^{-z})^{-a}`, :math:`z=(x-\mu)/s`.

    Its density is :math:`a\,e^{-z}\,/\,s(1+e^{-z})^{a+1}`. The left tail falls off as
    :math:`e^{az}`, the right one as :math:`e^{-z}`.

    :param loc: the location :math:`\mu`.
    :param scale: the scale :math:`s`, positive.
    :param asymmetry: the exponent :math:`a`, positive; at 1 the law is the logistic one.
    :param validate_args: whether to check parameters and values.

    >>> SkewLogistic(0.0, 1.0, 2.0).log_prob(torch.tensor(0.0))
    tensor(-1.3863)

    Source: Johnson, Kotz and Balakrishnan 1995, *Continuous Univariate Distributions 2*, chapter
    23.10, type I.
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
    }
    asymmetry = Parameter()

    def __init__(
        self,
        loc: Real,
        scale: Real,
        asymmetry: Real = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self._hold(SkewLogistic, loc=loc, scale=scale, asymmetry=asymmetry)
        self._check_parameters(validate_args)

    def _log_density(self, z: Tensor) -> Tensor:
        power = self.asymmetry
        density: Tensor = power.log() + power * logsigmoid(z) + logsigmoid(-z)
        return density

    def _probability(self, z: Tensor) -> Tensor:
        probability: Tensor = (self.asymmetry * logsigmoid(z)).exp()
        return probability

    def _quantile(self, level: Tensor) -> Tensor:
        log_level = level.log() / self.asymmetry
        return log_level - (-torch.expm1(log_level)).log()

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        shift = torch.digamma(self.asymmetry) + _EULER
        mean: Tensor = self.loc + self.scale * shift
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        spread = torch.special.zeta(2.0, self.asymmetry) + math.pi**2 / 6  # the trigamma function
        variance: Tensor = self.scale.square() * spread
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy."""
        a = self.asymmetry
        entropy: Tensor = self.scale.log() - a.log() + 1 + 1 / a + torch.digamma(a) + _EULER
        return entropy
