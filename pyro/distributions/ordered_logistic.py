"""A law of ordered choices."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

import pyro.distributions.constraints as constraints
from pyro.distributions.categorical import Categorical
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import Shape
from pyro.ops.shapes import broadcast_shape


class OrderedLogistic(Categorical):
    r"""Law of a choice among ordered ones: the interval in which a logistic variable falls.

    With the predictor :math:`\eta`, cutpoints :math:`c_1<\dots<c_{K-1}`, and :math:`c_0=-\infty`
    and :math:`c_K=\infty` at the ends,

    .. math::

        P(k) = \sigma(c_{k+1}-\eta) - \sigma(c_k-\eta)
        = \sigma(c_{k+1}-\eta)\;\sigma(\eta-c_k)\;(1-e^{c_k-c_{k+1}}) ,
        \quad k = 0, \dots, K-1 .

    The product has no difference of nearly equal numbers in it, however far out the predictor is.

    :param predictor: the location :math:`\eta` of the logistic variable, of the batch shape.
    :param cutpoints: the bounds of the intervals, increasing, along the rightmost dimension.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the cutpoints have no dimension.

    >>> law = OrderedLogistic(torch.tensor(40.0), torch.tensor([-1.0, 1.0]))
    >>> law.log_prob(torch.arange(3))
    tensor([-41.0000, -39.1454,   0.0000])

    Source: McCullagh 1980, *Regression Models for Ordinal Data*, JRSS B 42(2).
    """

    arg_constraints = {
        "predictor": constraints.real,
        "cutpoints": constraints.ordered_vector,
    }

    def __init__(
        self, predictor: Real, cutpoints: Tensor, validate_args: bool | None = None
    ) -> None:
        if not isinstance(cutpoints, Tensor) or not cutpoints.dim():
            raise ValueError(
                f"OrderedLogistic: parameter 'cutpoints' must be a tensor with a dimension for the "
                f"bounds, not {cutpoints!r}."
            )
        if not isinstance(predictor, Tensor):
            predictor = cutpoints.new_tensor(predictor)
        batch_shape = torch.Size(broadcast_shape(predictor.shape, cutpoints.shape[:-1]))
        self.predictor = predictor.expand(batch_shape)
        self.cutpoints = cutpoints.expand(batch_shape + cutpoints.shape[-1:])
        self._normalise(OrderedLogistic, None, self._log_probabilities())
        self._check_parameters(validate_args)

    def _log_probabilities(self) -> Tensor:
        above = self.cutpoints - self.predictor[..., None]
        widths = self.cutpoints.diff(dim=-1)
        log_width = torch.log(-torch.expm1(-widths))
        ends = torch.zeros_like(above[..., :1])
        upper = torch.cat([logsigmoid(above), ends], -1)
        lower = torch.cat([ends, logsigmoid(-above)], -1)
        return upper + lower + pad(log_width, (1, 1))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "OrderedLogistic":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new: OrderedLogistic = super().expand(batch_shape, _instance)
        new.predictor = self.predictor.expand(new.batch_shape)
        new.cutpoints = self.cutpoints.expand(new.batch_shape + self.cutpoints.shape[-1:])
        return new
