"""Maps to positive numbers that grow linearly, not exponentially."""

from typing import Any

import torch
from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import SoftplusTransform, Transform

import pyro.distributions.constraints as constraints

__all__ = ["SoftplusLowerCholeskyTransform", "SoftplusTransform"]


class SoftplusLowerCholeskyTransform(Transform):
    """Map a square matrix to its lower triangle, with softplus of its diagonal.

    It is one way back: what stood above the diagonal is forgotten.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> SoftplusLowerCholeskyTransform()(torch.zeros(2, 2))
    tensor([[0.6931, 0.0000],
            [0.0000, 0.6931]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.softplus_lower_cholesky
    _diagonal = SoftplusTransform()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftplusLowerCholeskyTransform)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        diagonal: torch.Tensor = self._diagonal(x.diagonal(dim1=-2, dim2=-1))
        return x.tril(-1) + diagonal.diag_embed()

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        diagonal: torch.Tensor = self._diagonal.inv(y.diagonal(dim1=-2, dim2=-1))
        return y.tril(-1) + diagonal.diag_embed()


@biject_to.register(constraints.softplus_positive)
@transform_to.register(constraints.softplus_positive)
def _to_softplus_positive(constraint: Any) -> Transform:
    return SoftplusTransform()


@transform_to.register(constraints.softplus_lower_cholesky)
def _to_softplus_lower_cholesky(constraint: Any) -> Transform:
    return SoftplusLowerCholeskyTransform()
