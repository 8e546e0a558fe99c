"""Proportions drawn as shares of gamma variables, to compare gradient estimators with.

Their gradients are exact, but vary more than those of :class:`~pyro.distributions.Dirichlet`, for
they follow the total of the gamma variables too, of which the proportions do not depend.
"""

import torch
from torch import Tensor

from pyro.distributions.beta import Beta, Dirichlet
from pyro.distributions.gamma import draw_gamma
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


def shares(parts: Tensor) -> Tensor:
    """Return what each part is of the sum, along the rightmost dimension.

    :param parts: positive numbers.

    >>> shares(torch.tensor([1.0, 3.0]))
    tensor([0.2500, 0.7500])
    """
    return parts / parts.sum(-1, True)


class NaiveDirichlet(Dirichlet):
    r"""Dirichlet law, drawn as shares of variables :math:`z_k\sim\mathrm{Gamma}(\alpha_k,1)`.

    :param concentration: the :math:`\alpha_k`, positive, along the rightmost dimension.
    :param validate_args: whether to check parameters and values.

    >>> NaiveDirichlet(torch.ones(3))().shape
    torch.Size([3])
    """

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        return shares(draw_gamma(self.concentration, 1.0, self._extended_shape(sample_shape)))


class NaiveBeta(Beta):
    r"""Beta law, drawn as :math:`z_1/(z_1+z_0)` with gamma variables of unit rate.

    :param concentration1: the exponent of the proportion, positive.
    :param concentration0: the exponent of what is left, positive.
    :param validate_args: whether to check parameters and values.

    >>> NaiveBeta(2.0, 1.0)((3,)).shape
    torch.Size([3])
    """

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape) + (2,)
        return shares(draw_gamma(self._both, 1.0, torch.Size(shape)))[..., 0]
