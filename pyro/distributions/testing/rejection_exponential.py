"""The exponential law, drawn by rejection; the simplest law with such gradients."""

from typing import Any

from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from pyro.distributions.gamma import Exponential
from pyro.distributions.rejector import Rejector
from pyro.distributions.torch_mixin import Shape, TorchDistribution


class RejectionExponential(Rejector):
    r"""Exponential law of rate :math:`\lambda`, drawn from proposals of rate :math:`c\lambda`.

    A proposal is accepted with probability :math:`a(x)=e^{-(1-c)\lambda x}`, in the mean :math:`c`.

    :param rate: the rate :math:`\lambda`, positive.
    :param factor: the share :math:`c` of proposals that are accepted, above 0 and at most 1.

    >>> import torch
    >>> law = RejectionExponential(torch.tensor(2.0), torch.tensor(0.5))
    >>> law.log_prob(torch.tensor(1.0))
    tensor(-1.3069)
    """

    arg_constraints = {"rate": constraints.positive, "factor": constraints.unit_interval}
    support = constraints.nonnegative

    def __init__(self, rate: Tensor, factor: Tensor) -> None:
        self.rate, self.factor = broadcast_all(rate, factor)
        TorchDistribution.__init__(self, self.rate.shape)
        self.propose = Exponential(self.rate * self.factor)
        self.log_scale = self.factor.log()

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "RejectionExponential":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new: RejectionExponential = super().expand(batch_shape, _instance)
        new.rate, new.factor = self.rate.expand(batch_shape), self.factor.expand(batch_shape)
        return new

    def log_prob_accept(self, x: Tensor) -> Tensor:
        """Return the log probability that a proposal is accepted.

        :param x: the proposal.
        """
        return (self.factor - 1) * self.rate * x
