"""The density that is the same everywhere, and integrates to nothing."""

from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.ops.shapes import broadcast_shape


class ImproperUniform(TorchDistribution):
    r"""Improper law with density 1 on a set, :math:`\log p(x)=0`.

    It restricts a variable to a set and says nothing else about it. It cannot be drawn from, so a
    site with it is for inference that begins at a given or a feasible point, such as
    :class:`~pyro.infer.autoguide.AutoNormal`.

    :param support: the set.
    :param batch_shape: the batch shape.
    :param event_shape: the event shape.
    :raises ValueError: where events of the set have more dimensions than that.

    >>> law = ImproperUniform(constraints.positive, (2,), ())
    >>> law.log_prob(torch.tensor([1.0, 5.0]))
    tensor([0., 0.])
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self, support: constraints.Constraint, batch_shape: Shape, event_shape: Shape
    ) -> None:
        extra = len(event_shape) - support.event_dim
        if extra < 0:
            raise ValueError(
                f"ImproperUniform: an event of {support} has {support.event_dim} dimensions, but "
                f"event_shape is {tuple(event_shape)}."
            )
        self._support = constraints.independent(support, extra) if extra else support
        super().__init__(batch_shape, event_shape)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The set, of events of this law's shape."""
        return self._support

    def __repr__(self) -> str:
        shapes = f"batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)}"
        return f"ImproperUniform({self._support}, {shapes})"

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "ImproperUniform":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        batch_shape = as_shape(batch_shape)
        new: Any = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.empty(self._batch_shape, device="meta").expand(batch_shape).shape
        law: ImproperUniform = new
        return law

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Not offered: an improper law has no draws.

        :param sample_shape: the shape of independent draws.
        :raises NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{self} is improper and cannot be drawn from. Condition the site on a value, let "
            f"a guide draw it, or use a proper law."
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return 0 for each event.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = value.shape[: value.dim() - self.event_dim]
        dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
        zero = torch.zeros((), dtype=dtype, device=value.device)
        return zero.expand(broadcast_shape(shape, self._batch_shape))
