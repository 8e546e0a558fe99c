"""The law of nothing, which carries a factor."""

from typing import Any

import torch
from torch.distributions import constraints

from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.ops.shapes import broadcast_shape

_NOTHING = torch.Size([0])


class Unit(TorchDistribution):
    """Law of an empty event whose log density is what it is told to be.

    Observing it multiplies the joint density of a model by ``exp(log_factor)``.

    :param log_factor: the log factor, of the batch shape.
    :param has_rsample: whether, in a guide, the factor's gradient is that of a differentiable draw;
        to be said there, since the factor does not tell.
    :param validate_args: whether to check parameters and values.

    >>> law = Unit(torch.tensor(-2.0))
    >>> law.log_prob(law())
    tensor(-2.)
    """

    arg_constraints = {"log_factor": constraints.real}
    support = constraints.real_vector
    is_log_factor = True  # a site of this law has no value of its own

    def __init__(
        self,
        log_factor: torch.Tensor | float,
        *,
        has_rsample: bool | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.log_factor = torch.as_tensor(log_factor)
        self._batch_shape = self.log_factor.shape
        self._event_shape = _NOTHING
        if has_rsample is not None:
            self.has_rsample = has_rsample
        self._check_parameters(validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        log_factor: Shape = NO_SHAPE,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from that of the factor.

        :param log_factor: its shape.
        """
        return torch.Size(log_factor), _NOTHING

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Unit":
        """Return the law with its factor repeated to another batch shape.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = as_shape(batch_shape)
        held["log_factor"] = self.log_factor.expand(batch_shape)
        return new

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Return an empty tensor.

        :param sample_shape: a shape on its left.
        """
        shape = as_shape(sample_shape) + self._batch_shape + _NOTHING
        return self.log_factor.new_empty(shape)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Return an empty tensor.

        :param sample_shape: a shape on its left.
        """
        return self.sample(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log factor.

        :param value: an empty tensor.
        """
        shape = value.shape[:-1]
        factor: torch.Tensor = self.log_factor
        return (
            factor if shape == factor.shape else factor.expand(broadcast_shape(shape, factor.shape))
        )
