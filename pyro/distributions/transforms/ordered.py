"""Maps to vectors whose entries increase."""

from typing import Any

import torch
from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints

__all__ = ["OrderedTransform", "PositiveOrderedTransform"]


class OrderedTransform(Transform):
    r"""Map a vector to an increasing one: :math:`y_0=x_0,\ y_k=y_{k-1}+e^{x_k}`.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> OrderedTransform()(torch.zeros(3))
    tensor([0., 1., 2.])
    """

    domain = constraints.real_vector
    codomain: constraints.Constraint = constraints.ordered_vector
    bijective = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[..., :1], x[..., 1:].exp()], -1).cumsum(-1)

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([y[..., :1], y.diff(dim=-1).log()], -1)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        return x[..., 1:].sum(-1)


class PositiveOrderedTransform(OrderedTransform):
    r"""Map a vector to an increasing one of positive numbers: the exponential of an increasing one.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> PositiveOrderedTransform()(torch.zeros(2))
    tensor([1.0000, 2.7183])
    """

    codomain = constraints.positive_ordered_vector

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return super()._call(x).exp()

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return super()._inverse(y.log())

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the volume's change.

        :param x: a vector.
        :param y: its image.
        """
        return x[..., 1:].sum(-1) + y.log().sum(-1)


@biject_to.register(constraints.ordered_vector)
@transform_to.register(constraints.ordered_vector)
def _to_ordered(constraint: Any) -> Transform:
    return OrderedTransform()


@biject_to.register(constraints.positive_ordered_vector)
@transform_to.register(constraints.positive_ordered_vector)
def _to_positive_ordered(constraint: Any) -> Transform:
    return PositiveOrderedTransform()
