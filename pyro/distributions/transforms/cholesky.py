"""Maps between positive definite matrices and their Cholesky factors."""

import math
from typing import Any

import torch
from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import ComposeTransform, CorrCholeskyTransform, Transform

import pyro.distributions.constraints as constraints

__all__ = ["CholeskyTransform", "CorrLCholeskyTransform", "CorrMatrixCholeskyTransform"]


def _log_diagonal(factor: torch.Tensor) -> torch.Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log()


class CholeskyTransform(Transform):
    r"""Map a positive definite matrix :math:`A` to its lower factor :math:`L`, :math:`A=LL^\top`.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> CholeskyTransform()(torch.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """

    domain: constraints.Constraint = constraints.positive_definite
    codomain: constraints.Constraint = constraints.lower_cholesky
    bijective = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        factor: torch.Tensor = torch.linalg.cholesky(x)
        return factor

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return y @ y.mT

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        r"""Return the logarithm of the volume's change, over the lower triangles.

        :math:`|\partial A/\partial L|=2^n\prod_k L_{kk}^{n-k}` with :math:`k=0,\dots,n-1`; Muirhead
        (1982), theorem 2.1.9.

        :param x: a matrix.
        :param y: its factor.
        """
        n = y.size(-1)
        order = torch.arange(n, 0, -1, dtype=y.dtype, device=y.device)
        return -(order * _log_diagonal(y)).sum(-1) - n * math.log(2)


class CorrMatrixCholeskyTransform(CholeskyTransform):
    r"""Map a correlation matrix to its lower Cholesky factor, whose rows have length 1.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> CorrMatrixCholeskyTransform()(torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    tensor([[1.0000, 0.0000],
            [0.6000, 0.8000]])
    """

    domain = constraints.corr_matrix
    codomain = constraints.corr_cholesky

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        below = (y @ y.mT).tril(-1)
        return below + below.mT + torch.eye(y.size(-1), dtype=y.dtype, device=y.device)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        r"""Return the logarithm of the volume's change, over what lies below the diagonals.

        Entry :math:`(i,j)` of the matrix changes with entry :math:`(i,j)` of the factor at rate
        :math:`L_{jj}`, and with earlier ones of its row besides.

        :param x: a matrix.
        :param y: its factor.
        """
        n = y.size(-1)
        order = torch.arange(n - 1, -1, -1, dtype=y.dtype, device=y.device)
        return -(order * _log_diagonal(y)).sum(-1)


class CorrLCholeskyTransform(CorrCholeskyTransform):
    """The name that :class:`CorrCholeskyTransform` had before torch had it.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> CorrLCholeskyTransform()(torch.zeros(1))
    tensor([[1., 0.],
            [0., 1.]])
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CorrCholeskyTransform)


@biject_to.register(constraints.corr_matrix)
@transform_to.register(constraints.corr_matrix)
def _to_corr_matrix(constraint: Any) -> Transform:
    return ComposeTransform([CorrCholeskyTransform(), CorrMatrixCholeskyTransform().inv])
