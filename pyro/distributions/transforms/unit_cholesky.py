"""A map to lower triangular matrices with ones on the diagonal."""

from typing import Any

import torch
from torch.distributions import transform_to
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints

__all__ = ["UnitLowerCholeskyTransform"]


class UnitLowerCholeskyTransform(Transform):
    """Map a square matrix to what it has below the diagonal, with ones on the diagonal.

    It is one way back: the rest is forgotten.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> UnitLowerCholeskyTransform()(torch.full((2, 2), 5.0))
    tensor([[1., 0.],
            [5., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.unit_lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitLowerCholeskyTransform)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return x.tril(-1) + torch.eye(x.size(-1), dtype=x.dtype, device=x.device)

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return y.tril(-1)


@transform_to.register(constraints.unit_lower_cholesky)
def _to_unit_lower_cholesky(constraint: Any) -> Transform:
    return UnitLowerCholeskyTransform()
