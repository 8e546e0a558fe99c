"""A smooth law with the tails of Laplace's."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.parameters import Real
from pyro.distributions.quantile_law import QuantileLaw


class SoftLaplace(QuantileLaw):
    r"""Hyperbolic secant law, density :math:`\frac2{\pi\sigma}\,/\,(e^z+e^{-z})`,
    :math:`z=(x-\mu)/\sigma`.

    The tails are those of Laplace's law, and the density is smooth and log concave. So it serves as
    a robust prior or likelihood for Hamiltonian Monte Carlo and for Laplace's approximation.

    :param loc: the mean :math:`\mu`.
    :param scale: the scale :math:`\sigma` of the tails, positive; the standard deviation is
        :math:`\sigma\pi/2`.
    :param validate_args: whether to check parameters and values.

    >>> SoftLaplace(0.0, 1.0).log_prob(torch.tensor([0.0, 100.0]))
    tensor([  -1.1447, -100.4516])

    Source: Fischer 2014, *Generalized Hyperbolic Secant Distributions*, chapter 1.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Real, scale: Real, *, validate_args: bool | None = None) -> None:
        self._hold(SoftLaplace, loc=loc, scale=scale)
        self._check_parameters(validate_args)

    def _log_density(self, z: Tensor) -> Tensor:
        return math.log(2 / math.pi) - torch.logaddexp(z, -z)

    def _probability(self, z: Tensor) -> Tensor:
        tail = (-z.abs()).exp().atan() * (2 / math.pi)
        return torch.where(z < 0, tail, 1 - tail)

    def _quantile(self, level: Tensor) -> Tensor:
        low = level < 0.5
        tail = torch.where(low, level, 1 - level)
        depth = (tail * (math.pi / 2)).tan().log()
        return torch.where(low, depth, -depth)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The square of the scale times half of pi."""
        variance: Tensor = (self.scale * (math.pi / 2)).square()
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy: the logarithm of the scale times two pi."""
        entropy: Tensor = self.scale.log() + math.log(2 * math.pi)
        return entropy
