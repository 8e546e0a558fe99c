"""Laws of vectors and matrices."""

from typing import Any

import torch
from torch.distributions import StickBreakingTransform
from torch.distributions.multivariate_normal import _precision_to_scale_tril

from pyro.distributions.independent import Independent
from pyro.distributions.law import TorchLaw
from pyro.distributions.normal import Normal
from pyro.distributions.parameters import Real, one_of
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def _one_matrix(owner: type, **matrices: Any) -> tuple[str, torch.Tensor]:
    """Return the name and value of the one matrix that was given."""
    name, matrix = next(iter(one_of(owner, **matrices).items()))
    if matrix.dim() < 2:
        raise ValueError(
            f"{owner.__name__}: parameter {name!r} must be a matrix, perhaps with batch dimensions "
            f"on its left, but its shape is {tuple(matrix.shape)}."
        )
    return name, matrix


def _cholesky_factor(name: str, matrix: torch.Tensor) -> torch.Tensor:
    if name == "scale_tril":
        return matrix
    factorise = torch.linalg.cholesky if name == "covariance_matrix" else _precision_to_scale_tril
    factor: torch.Tensor = factorise(matrix)
    return factor


class MultivariateNormal(TorchLaw, torch.distributions.MultivariateNormal, TorchDistributionMixin):
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
        name, matrix = _one_matrix(
            MultivariateNormal,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if not loc.dim():
            raise ValueError("MultivariateNormal: parameter 'loc' needs a dimension, the event's.")
        batch_shape = loc.shape[:-1]
        if matrix.shape[:-2] != batch_shape:
            batch_shape = torch.Size(broadcast_shape(batch_shape, matrix.shape[:-2]))
        held = self.__dict__
        held["loc"] = loc.expand(*batch_shape, -1)
        held[name] = matrix.expand(*batch_shape, -1, -1)
        held["_batch_shape"] = batch_shape
        held["_event_shape"] = held["loc"].shape[-1:]
        self._check_parameters(validate_args)
        held["_unbroadcasted_scale_tril"] = _cholesky_factor(name, matrix)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(MultivariateNormal, _instance))
        held, state = self.__dict__, new.__dict__
        state["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        state["loc"] = held["loc"].expand(batch_shape + self._event_shape)
        for name in ("_event_shape", "_unbroadcasted_scale_tril"):
            state[name] = held[name]
        for name in _MATRICES:
            if name in held:
                state[name] = held[name].expand(*batch_shape, -1, -1)
        return new

    @staticmethod
    def infer_shapes(  # type: ignore[override]
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


class LowRankMultivariateNormal(
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
        given = {"loc": loc, "cov_factor": cov_factor, "cov_diag": cov_diag}
        self._check_parameters(validate_args, given)
        self._init_torch(validate_args, loc, cov_factor, cov_diag)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        loc: Shape, cov_factor: Shape, cov_diag: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the mean.
        :param cov_factor: the shape of the tall matrix.
        :param cov_diag: the shape of the diagonal.
        """
        batch_shape = broadcast_shape(loc[:-1], cov_factor[:-2], cov_diag[:-1])
        return torch.Size(batch_shape), torch.Size(broadcast_shape(loc[-1:], cov_diag[-1:]))


class LogisticNormal(TorchLaw, torch.distributions.LogisticNormal, TorchDistributionMixin):
    r"""Law of proportions got from a normal vector by stick breaking.

    :param loc: the means of the vector, one less than there are proportions.
    :param scale: its standard deviations, positive.
    :param validate_args: whether to check parameters and values.

    >>> LogisticNormal(torch.zeros(2), torch.ones(2))().shape
    torch.Size([3])
    """

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        normal = Normal(loc, scale, validate_args=False)
        normal = normal if normal.batch_shape else normal.expand([1])
        self.base_dist = Independent(normal, 1)
        self.transforms = [StickBreakingTransform()]
        self._batch_shape = self.base_dist._batch_shape
        self._event_shape = torch.Size((self.base_dist._event_shape[0] + 1,))
        self._check_parameters(validate_args)

    def _parameter_values(self) -> dict[str, Any]:
        base: Any = self.base_dist
        values: dict[str, Any] = base.base_dist._raw
        return values

    @staticmethod
    def infer_shapes(loc: Shape = (), scale: Shape = ()) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the means.
        :param scale: the shape of the standard deviations.
        """
        shape = broadcast_shape(loc, scale) or (1,)
        return torch.Size(shape[:-1]), torch.Size((shape[-1] + 1,))


class LKJCholesky(TorchLaw, torch.distributions.LKJCholesky, TorchDistributionMixin):
    r"""Law of the Cholesky factor of a correlation matrix, density :math:`\propto\det^{\eta-1}`.

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
        self._check_parameters(validate_args, {"concentration": concentration})
        self._init_torch(validate_args, dim, concentration)


class Wishart(TorchLaw, torch.distributions.Wishart, TorchDistributionMixin):
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
        name, matrix = _one_matrix(
            Wishart,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        self._event_shape = matrix.shape[-2:]
        self._check_parameters(validate_args, {name: matrix, "df": df})
        self._init_torch(validate_args, df, covariance_matrix, precision_matrix, scale_tril)

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, max_try_correction: int | None = None
    ) -> torch.Tensor:
        """Draw differentiably, by the decomposition of Bartlett (1933).

        :param sample_shape: the shape of independent draws.
        :param max_try_correction: not used: torch draws again what is *not* singular, and warns.
        """
        draw: torch.Tensor = self._bartlett_sampling(torch.Size(sample_shape))
        return draw
