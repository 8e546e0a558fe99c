"""Laws of vectors and matrices."""

import math
from typing import Any

import torch
from torch.distributions.lowrank_multivariate_normal import _batch_capacitance_tril
from torch.distributions.multivariate_normal import _batch_mahalanobis, _precision_to_scale_tril

from pyro.distributions.law import TorchLaw
from pyro.distributions.parameters import (
    HoldingLaw,
    Parameter,
    Real,
    as_operand,
    blank,
    constant,
    one_of,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape

_LOG_TURN = math.log(2 * math.pi)
_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def one_matrix(owner: type, **matrices: Any) -> tuple[str, torch.Tensor]:
    """Return the name and value of the one matrix that was given.

    :param owner: the law's class, for errors.
    :param matrices: alternative parameters by name, None where not given.
    :raises ValueError: where none, several, or no matrix was given.
    """
    name, matrix = next(iter(one_of(owner, **matrices).items()))
    if matrix.dim() < 2:
        raise ValueError(
            f"{owner.__name__}: parameter {name!r} must be a matrix, perhaps with batch dimensions "
            f"on its left, but its shape is {tuple(matrix.shape)}."
        )
    return name, matrix


def cholesky_factor(name: str, matrix: torch.Tensor) -> torch.Tensor:
    """Return the lower Cholesky factor of a covariance.

    :param name: as what it was given, one of the parameters of :class:`MultivariateNormal`.
    :param matrix: what was given.
    """
    if name == "scale_tril":
        return matrix
    factorise = torch.linalg.cholesky if name == "covariance_matrix" else _precision_to_scale_tril
    factor: torch.Tensor = factorise(matrix)
    return factor


class MultivariateNormal(TorchLaw, torch.distributions.MultivariateNormal, TorchDistributionMixin):
    r"""Normal law of a vector, given its covariance in one of three ways.

    Its density is :math:`e^{-(x-\mu)^\top\Sigma^{-1}(x-\mu)/2}/\sqrt{\det(2\pi\Sigma)}`.

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
        name, matrix = one_matrix(
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
        held["_unbroadcasted_scale_tril"] = cholesky_factor(name, matrix)

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

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        factor = self._unbroadcasted_scale_tril
        away = value - self.loc
        if factor.dim() > 2 or away.dtype is not factor.dtype:
            squares = _batch_mahalanobis(factor.to(away.dtype), away)
        else:  # one factor for all
            rows = away.reshape(-1, away.shape[-1])
            white = torch.linalg.solve_triangular(factor, rows.mT, upper=False)
            squares = white.square().sum(0).reshape(away.shape[:-1])
        level = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        level = level + constant(0.5 * _LOG_TURN * self._event_shape[0], level)
        return torch.add(level, squares, alpha=0.5).neg()

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


_OF_LOW_RANK = ("_event_shape", "_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag")


def _size_of_low_rank(loc: torch.Tensor, cov_factor: torch.Tensor, cov_diag: torch.Tensor) -> int:
    """Return the size of a vector, on which the parameters must agree."""
    if loc.dim() and cov_factor.dim() > 1 and cov_diag.dim():
        size = max(loc.shape[-1], cov_diag.shape[-1])
        if cov_factor.shape[-2] == size and {loc.shape[-1], cov_diag.shape[-1]} <= {1, size}:
            return size
    raise ValueError(
        f"LowRankMultivariateNormal: 'loc', 'cov_factor' and 'cov_diag' must have shapes (..., n), "
        f"(..., n, rank) and (..., n), but have {tuple(loc.shape)}, {tuple(cov_factor.shape)} and "
        f"{tuple(cov_diag.shape)}."
    )


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
        size = _size_of_low_rank(loc, cov_factor, cov_diag)
        batch_shape = loc.shape[:-1]
        if not (batch_shape == cov_diag.shape[:-1] == cov_factor.shape[:-2]):
            shapes = batch_shape, cov_diag.shape[:-1], cov_factor.shape[:-2]
            batch_shape = torch.Size(broadcast_shape(*shapes))
        held = self.__dict__
        held["_batch_shape"], held["_event_shape"] = batch_shape, torch.Size((size,))
        held["_unbroadcasted_cov_factor"], held["_unbroadcasted_cov_diag"] = cov_factor, cov_diag
        vectors = batch_shape + held["_event_shape"]
        held["loc"], held["cov_diag"] = loc.expand(vectors), cov_diag.expand(vectors)
        held["cov_factor"] = cov_factor.expand(vectors + cov_factor.shape[-1:])
        self._check_parameters(validate_args)

    @property
    def _capacitance_tril(self) -> torch.Tensor:
        """The Cholesky factor of :math:`1+W^\\top D^{-1}W`, kept from its first use on."""
        held = self.__dict__
        if "_capacitance" not in held:
            with torch.enable_grad():  # it outlives the draw, made without gradients, that asks
                held["_capacitance"] = _batch_capacitance_tril(
                    self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
                )
        factor: torch.Tensor = held["_capacitance"]
        return factor

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(LowRankMultivariateNormal, _instance))
        held, state = self.__dict__, new.__dict__
        for name in _OF_LOW_RANK:
            state[name] = held[name]
        if "_capacitance" in held:
            state["_capacitance"] = held["_capacitance"]
        state["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        vectors = batch_shape + held["_event_shape"]
        state["loc"] = held["loc"].expand(vectors)
        state["cov_diag"] = held["cov_diag"].expand(vectors)
        state["cov_factor"] = held["cov_factor"].expand(vectors + held["cov_factor"].shape[-1:])
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape, like = self._extended_shape(sample_shape), self.loc
        factor = self._unbroadcasted_cov_factor
        common = blank(shape[:-1] + factor.shape[-1:], like).normal_()
        own = blank(shape, like).normal_()
        mean = like + (factor @ common.unsqueeze(-1)).squeeze(-1)
        return torch.addcmul(mean, self._unbroadcasted_cov_diag.sqrt(), own)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, by the identities of Woodbury and Sylvester.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        factor, diag = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        inner = self._capacitance_tril
        away = value - self.loc
        scaled = away / diag
        explained = torch.linalg.solve_triangular(
            inner, (scaled.unsqueeze(-2) @ factor).mT, upper=False
        )
        squares = (scaled * away).sum(-1) - explained.square().sum((-2, -1))
        level = inner.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        level = torch.add(level, diag.log().sum(-1) + squares, alpha=0.5)
        return -(level + constant(0.5 * _LOG_TURN * self._event_shape[0], level))

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


class LKJCholesky(HoldingLaw, torch.distributions.LKJCholesky, TorchDistributionMixin):
    r"""Law of the Cholesky factor of a correlation matrix, density :math:`\propto\det^{\eta-1}`.

    Lewandowski, Kurowicka and Joe (2009), doi:10.1016/j.jmva.2009.04.008.

    :param dim: the size of the matrix, at least 2.
    :param concentration: :math:`\eta`, positive; at 1 all correlation matrices are alike.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the matrix would have no correlation.

    >>> LKJCholesky(2, 1.0).log_prob(torch.eye(2))
    tensor(-0.6931)
    """

    concentration: Any = Parameter()
    _settings = ("dim",)

    def __init__(
        self, dim: int, concentration: Real = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(f"LKJCholesky: 'dim' must be at least 2, but it is {dim}.")
        self._hold(LKJCholesky, concentration=concentration)
        self.dim = dim
        self._event_shape = torch.Size((dim, dim))
        self._check_parameters(validate_args)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients, row by row: a direction, and how far to go (the onion method).

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        share = torch._sample_dirichlet(self._beta_parameters().expand(shape[:-1] + (2,)))[..., :1]
        direction = torch.randn(shape, dtype=share.dtype, device=share.device).tril_(-1)
        length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        tiny = torch.finfo(share.dtype).tiny
        draw = direction.mul_(share.sqrt()).div_(length.clamp_(min=tiny))
        left = 1 - share.squeeze(-1)
        left[..., 0] = 1.0  # the first row is all diagonal
        draw.diagonal(dim1=-2, dim2=-1).copy_(left.clamp_(min=tiny).sqrt_())
        return draw

    def _beta_parameters(self) -> torch.Tensor:
        """Return those of the squared length of each row; the first row has none."""
        given = self._given_as("concentration")
        before = [max(k - 1, 0) / 2 for k in range(self.dim)]
        if isinstance(given, float):
            top = given + self.dim / 2 - 1
            both = [(k + 0.5, top - k) for k in before]
            return torch.tensor(both, dtype=self._dtype, device=self._device)
        steps = given.new_tensor(before)
        rest = (given.detach() + (self.dim / 2 - 1)).unsqueeze(-1) - steps
        return torch.stack([(steps + 0.5).expand_as(rest), rest], -1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        concentration = self._operand("concentration", value)
        logs = value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()
        powers = torch.arange(self.dim - 2, -1, -1, dtype=logs.dtype, device=logs.device)
        twice = 2 * concentration - 2
        powers = powers + as_operand(twice, logs).unsqueeze(-1)
        total = (powers * logs).sum(-1)
        return self._over_batch(total - _lkj_constant(self.dim, concentration, logs))


def _lkj_constant(dim: int, concentration: Real, like: torch.Tensor) -> torch.Tensor:
    """Return the log of the integral of the density of an LKJ law before it is normalised.

    :param dim: the size of the matrix.
    :param concentration: the exponent of the determinant plus 1.
    :param like: the tensor that the result shall meet.
    """
    level = dim * (dim - 1) / 4 * math.log(math.pi)
    top = concentration + 0.5 * (dim - 1)
    if isinstance(top, float) and concentration > 0.0:
        parts = [math.lgamma(top - 0.5 * k) for k in range(1, dim)]
        return constant(level + sum(parts) - (dim - 1) * math.lgamma(top), like)
    top = as_operand(top, like)
    below = top.unsqueeze(-1) - torch.arange(1, dim, dtype=top.dtype, device=top.device) / 2
    return level + torch.lgamma(below).sum(-1) - (dim - 1) * torch.lgamma(top)
