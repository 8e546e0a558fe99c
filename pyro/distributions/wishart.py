"""Wishart's law of covariance matrices."""

import math
from typing import Any

import torch

from pyro.distributions.gamma import draw_gamma
from pyro.distributions.law import TorchLaw
from pyro.distributions.multivariate import cholesky_factor, one_matrix
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


class Wishart(TorchLaw, torch.distributions.Wishart, TorchDistributionMixin):
    r"""Wishart law: that of a sum of outer squares of normal vectors.

    Its density is

    .. math:: \frac{\det(X)^{(\nu-p-1)/2}\,e^{-\operatorname{tr}(V^{-1}X)/2}}
              {2^{\nu p/2}\det(V)^{\nu/2}\,\Gamma_p(\nu/2)}.

    Support: positive definite matrices. Wishart (1928), doi:10.2307/2331939.

    :param df: how many vectors :math:`\nu`, more than the size :math:`p` of the matrix less one.
    :param covariance_matrix: the covariance :math:`V` of a vector, positive definite.
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
        name, matrix = one_matrix(
            Wishart,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if not isinstance(df, torch.Tensor):
            df = torch.tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch_shape = torch.Size(broadcast_shape(df.shape, matrix.shape[:-2]))
        held = self.__dict__
        held["df"] = df.expand(batch_shape)
        held[name] = matrix.expand(batch_shape + matrix.shape[-2:])
        held["_batch_shape"], held["_event_shape"] = batch_shape, matrix.shape[-2:]
        self._check_parameters(validate_args, {name: matrix, "df": df})
        held["_unbroadcasted_scale_tril"] = cholesky_factor(name, matrix)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(Wishart, _instance))
        held, state = self.__dict__, new.__dict__
        state["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        state["df"] = held["df"].expand(batch_shape)
        for name in ("_event_shape", "_unbroadcasted_scale_tril"):
            state[name] = held[name]
        for name in _MATRICES:
            if name in held:
                state[name] = held[name].expand(*batch_shape, -1, -1)
        return new

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, max_try_correction: int | None = None
    ) -> torch.Tensor:
        """Draw differentiably, by the decomposition of Bartlett (1933).

        :param sample_shape: the shape of independent draws.
        :param max_try_correction: not used: torch draws again what is *not* singular, and warns.
        """
        shape, scale = self._extended_shape(sample_shape), self._unbroadcasted_scale_tril
        row = torch.arange(shape[-1], dtype=scale.dtype, device=scale.device)
        squares = draw_gamma(0.5 * (self.df.unsqueeze(-1) - row), 0.5, shape[:-1])
        noise = torch.randn(shape, dtype=scale.dtype, device=scale.device).tril_(-1)
        factor = scale @ (noise + squares.sqrt().diag_embed())
        return factor @ factor.mT

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        scale, root = self._unbroadcasted_scale_tril, torch.linalg.cholesky_ex(value).L
        size, half = self._event_shape[-1], 0.5 * self.df
        white = torch.linalg.solve_triangular(scale, root, upper=False)
        logs = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        spread = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        level = half * (size * math.log(2)) + torch.mvlgamma(half, size) + self.df * spread
        powers = (self.df - (size + 1)) * logs
        density: torch.Tensor = powers - level - 0.5 * white.square().sum((-2, -1))
        return density
