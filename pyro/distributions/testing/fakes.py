"""Laws that pretend not to draw differentiably, to test estimators that do without.

Densities and values are those of the laws they are made from; an objective has to use the score
function for them.

>>> import torch
>>> NonreparameterizedNormal(torch.zeros(2, requires_grad=True), 1.0)().requires_grad
False
"""

from pyro.distributions.beta import Beta, Dirichlet
from pyro.distributions.gamma import Gamma
from pyro.distributions.normal import Normal


class NonreparameterizedBeta(Beta):
    """The law :class:`~pyro.distributions.Beta`, drawn without gradients.

    :param concentration1: the exponent of the proportion, positive.
    :param concentration0: the exponent of what is left, positive.
    :param validate_args: whether to check parameters and values.

    >>> NonreparameterizedBeta(2.0, 1.0).has_rsample
    False
    """

    has_rsample = False


class NonreparameterizedDirichlet(Dirichlet):
    """The law :class:`~pyro.distributions.Dirichlet`, drawn without gradients.

    :param concentration: the exponents, positive, along the rightmost dimension.
    :param validate_args: whether to check parameters and values.

    >>> import torch
    >>> NonreparameterizedDirichlet(torch.ones(3)).has_rsample
    False
    """

    has_rsample = False


class NonreparameterizedGamma(Gamma):
    """The law :class:`~pyro.distributions.Gamma`, drawn without gradients.

    :param concentration: the shape, positive.
    :param rate: the rate, positive.
    :param validate_args: whether to check parameters and values.

    >>> NonreparameterizedGamma(2.0, 1.0).has_rsample
    False
    """

    has_rsample = False


class NonreparameterizedNormal(Normal):
    """The law :class:`~pyro.distributions.Normal`, drawn without gradients.

    :param loc: the mean.
    :param scale: the standard deviation, positive.
    :param validate_args: whether to check parameters and values.

    >>> NonreparameterizedNormal(0.0, 1.0).has_rsample
    False
    """

    has_rsample = False
