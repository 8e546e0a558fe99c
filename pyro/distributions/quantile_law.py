"""Laws of a location and a scale whose quantiles have a closed form."""

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.parameters import Parameter, ReparameterisedLaw, blank
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution


class QuantileLaw(ReparameterisedLaw, TorchDistribution):
    r"""A law of :math:`x=\mu+\sigma z`, where :math:`z` follows a standard law, drawn by inversion.

    A subclass defines the standard law's log density, distribution function and quantiles.
    """

    loc = Parameter()
    scale = Parameter()
    support = constraints.real
    has_rsample = True

    def _log_density(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _probability(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _quantile(self, level: Tensor) -> Tensor:
        raise NotImplementedError

    def _standardised(self, value: Tensor) -> Tensor:
        z: Tensor = (value - self.loc) / self.scale
        return z

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably, by inversion of the distribution function.

        :param sample_shape: the shape of independent draws.
        """
        loc = self.loc
        eps = torch.finfo(loc.dtype).eps
        level = blank(self._extended_shape(sample_shape), loc).uniform_()
        return torch.addcmul(loc, self.scale, self._quantile(level.clamp_(eps, 1 - eps)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_density(self._standardised(value)) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of what is not above a value.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._probability(self._standardised(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the value at which the distribution function is as given.

        :param value: probabilities.
        """
        quantile: Tensor = self.loc + self.scale * self._quantile(value)
        return quantile
