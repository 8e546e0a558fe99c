"""Student's t law of a vector."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.matrices import matvecmul, triangular_solve
from pyro.ops.shapes import broadcast_shape


class MultivariateStudentT(TorchDistribution):
    r"""Student's t law of a vector of size :math:`d`, with density proportional to
    :math:`(1+\|z\|^2/\nu)^{-(\nu+d)/2}`, where :math:`z=L^{-1}(x-\mu)`.

    It is the law of :math:`\mu+Lz/\sqrt{s}` where :math:`z` is standard normal and :math:`s` is a
    gamma variable of shape and rate :math:`\nu/2`.

    :param df: degrees of freedom :math:`\nu`, positive, of the batch shape.
    :param loc: the median :math:`\mu`, along the rightmost dimension.
    :param scale_tril: the scale :math:`L`, lower triangular with a positive diagonal.
    :param validate_args: whether to check parameters and values.

    >>> law = MultivariateStudentT(torch.tensor(3.0), torch.zeros(2), torch.eye(2))
    >>> law.log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor,
        scale_tril: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1 or scale_tril.shape[-2:] != loc.shape[-1:] * 2:
            raise ValueError(
                f"MultivariateStudentT: 'scale_tril' has shape {tuple(scale_tril.shape)} and 'loc' "
                f"{tuple(loc.shape)}, expected (..., size, size) and (..., size)."
            )
        df = torch.as_tensor(df, dtype=loc.dtype, device=loc.device)
        batch_shape, event_shape = self.infer_shapes(df.shape, loc.shape, scale_tril.shape)
        self.df = df.expand(batch_shape)
        self.loc = loc.expand(batch_shape + event_shape)
        self._unbroadcasted_scale_tril = scale_tril
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        df: Shape, loc: Shape, scale_tril: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param df: the shape of the degrees of freedom.
        :param loc: the shape of the median.
        :param scale_tril: the shape of the scale.
        """
        batch_shape = broadcast_shape(df, loc[:-1], scale_tril[:-2])
        return torch.Size(batch_shape), torch.Size(loc[-1:])

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "MultivariateStudentT":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["df"] = self.df.expand(batch_shape)
        held["loc"] = self.loc.expand(batch_shape + self._event_shape)
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably: a normal vector over the root of a gamma variable.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        half = (0.5 * self.df).expand(shape[:-1])
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        ratio = torch._standard_gamma(half) / half
        scaled = noise * ratio.rsqrt()[..., None]
        return self.loc + matvecmul(self._unbroadcasted_scale_tril, scaled)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        factor, size = self._unbroadcasted_scale_tril, self._event_shape[0]
        z = triangular_solve((value - self.loc)[..., None], factor)[..., 0]
        half = 0.5 * self.df
        more = half + 0.5 * size
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        zero = more.lgamma() - half.lgamma() - 0.5 * size * (math.pi * self.df).log() - volume
        return zero - more * torch.log1p(z.square().sum(-1) / self.df)

    @property
    def scale_tril(self) -> Tensor:
        """The scale, of the batch shape."""
        return self._per_event(self._unbroadcasted_scale_tril)

    @property
    def covariance_matrix(self) -> Tensor:
        r"""The scale's square :math:`LL^\top`; :attr:`variance` holds that of the draws."""
        factor = self._unbroadcasted_scale_tril
        return self._per_event(factor @ factor.mT)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of :attr:`covariance_matrix`."""
        return self._per_event(torch.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        """The median where there is a mean, with more than one degree of freedom; else NaN."""
        return self.loc.masked_fill(self.df[..., None] <= 1, math.nan)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry; infinite up to two degrees of freedom, NaN up to one."""
        df = self.df[..., None]
        squares = self._unbroadcasted_scale_tril.square().sum(-1)
        finite = squares * df / (df - 2)
        return finite.masked_fill(df <= 2, math.inf).masked_fill(df <= 1, math.nan)

    def _per_event(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape * 2)
