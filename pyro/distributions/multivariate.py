"""Laws of vectors and matrices."""

import torch

from pyro.distributions.law import TorchLaw
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape


class MultivariateNormal(  # type: ignore[misc]
    TorchLaw, torch.distributions.MultivariateNormal, TorchDistributionMixin
):
    r"""Normal law of a vector, given its covariance in one of three ways.

    :param loc: the mean, along the rightmost dimension.
    :param covariance_matrix: the covariance, a positive definite matrix.
    :param precision_matrix: its inverse.
    :param scale_tril: its lower Cholesky factor; the cheapest.
    :param validate_args: whether to check parameters and values.

    >>> MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    def __init__(
        self,
        loc: torch.Tensor,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            loc, covariance_matrix, precision_matrix, scale_tril, validate_args=False
        )
        self._check_after_torch(validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        loc: Shape = (),
        covariance_matrix: Shape | None = None,
        precision_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the mean.
        :param covariance_matrix: the shape of the covariance.
        :param precision_matrix: the shape of its inverse.
        :param scale_tril: the shape of its Cholesky factor.
        """
        matrix = covariance_matrix or precision_matrix or scale_tril
        if matrix is None:
            raise ValueError("MultivariateNormal.infer_shapes needs the shape of a matrix.")
        size = torch.Size(loc)[-1:] or torch.Size(matrix)[-1:]
        return torch.Size(broadcast_shape(loc[:-1], matrix[:-2])), size


class LowRankMultivariateNormal(  # type: ignore[misc]
    TorchLaw, torch.distributions.LowRankMultivariateNormal, TorchDistributionMixin
):
    r"""Normal law of a vector with covariance :math:`WW^\top+\mathrm{diag}(d)`.

    :param loc: the mean, along the rightmost dimension.
    :param cov_factor: the tall matrix :math:`W`.
    :param cov_diag: the diagonal :math:`d`, positive.
    :param validate_args: whether to check parameters and values.

    >>> law = LowRankMultivariateNormal(torch.zeros(2), torch.zeros(2, 1), torch.ones(2))
    >>> law.log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    def __init__(
        self,
        loc: torch.Tensor,
        cov_factor: torch.Tensor,
        cov_diag: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(loc, cov_factor, cov_diag, validate_args=False)
        self._check_after_torch(validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls, loc: Shape, cov_factor: Shape, cov_diag: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the mean.
        :param cov_factor: the shape of the tall matrix.
        :param cov_diag: the shape of the diagonal.
        """
        batch_shape = broadcast_shape(loc[:-1], cov_factor[:-2], cov_diag[:-1])
        return torch.Size(batch_shape), torch.Size(broadcast_shape(loc[-1:], cov_diag[-1:]))


class LogisticNormal(  # type: ignore[misc]
    TorchLaw, torch.distributions.LogisticNormal, TorchDistributionMixin
):
    r"""Law of proportions got from a normal vector by stick breaking.

    :param loc: the means of the vector, one less than there are proportions.
    :param scale: its standard deviations, positive.
    :param validate_args: whether to check parameters and values.

    >>> LogisticNormal(torch.zeros(2), torch.ones(2))().shape
    torch.Size([3])
    """

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        super().__init__(loc, scale, validate_args=False)
        self._check_after_torch(validate_args)


class LKJCholesky(TorchLaw, torch.distributions.LKJCholesky, TorchDistributionMixin):  # type: ignore[misc]
    r"""Law of the Cholesky factor of a correlation matrix with density :math:`\propto\det^{\eta-1}`.

    Lewandowski, Kurowicka and Joe (2009), doi:10.1016/j.jmva.2009.04.008.

    :param dim: the size of the matrix, at least 2.
    :param concentration: :math:`\eta`, positive; at 1 all correlation matrices are alike.
    :param validate_args: whether to check parameters and values.

    >>> LKJCholesky(2, 1.0).log_prob(torch.eye(2))
    tensor(-0.6931)
    """

    def __init__(
        self, dim: int, concentration: Real = 1.0, validate_args: bool | None = None
    ) -> None:
        super().__init__(dim, concentration, validate_args=False)
        self._check_after_torch(validate_args)


class Wishart(TorchLaw, torch.distributions.Wishart, TorchDistributionMixin):  # type: ignore[misc]
    r"""Wishart law: that of a sum of outer squares of normal vectors.

    :param df: how many of them, more than the size of the matrix less one.
    :param covariance_matrix: the covariance of a vector, positive definite.
    :param precision_matrix: its inverse.
    :param scale_tril: its lower Cholesky factor.
    :param validate_args: whether to check parameters and values.

    >>> Wishart(torch.tensor(2.0), torch.eye(2)).log_prob(torch.eye(2))
    tensor(-3.5310)
    """

    def __init__(
        self,
        df: Real,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(df, covariance_matrix, precision_matrix, scale_tril, validate_args=False)
        self._check_after_torch(validate_args)
