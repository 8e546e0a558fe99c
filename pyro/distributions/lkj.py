"""Laws of correlation matrices."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform

import pyro.distributions.constraints as constraints
from pyro._foundation.warnings import warn_deprecated
from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.multivariate import LKJCholesky
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import Shape
from pyro.distributions.transforms.cholesky import CorrMatrixCholeskyTransform


class LKJ(TransformedDistribution):
    r"""Law of a correlation matrix, density :math:`\propto(\det R)^{\eta-1}`.

    The density is with respect to the entries below the diagonal.

    :param dim: the size of the matrix, at least 2.
    :param concentration: :math:`\eta`, positive; at 1 all correlation matrices are alike, above it
        weak correlations are likelier.
    :param validate_args: whether to check parameters and values.

    For two variables the correlation is uniform at 1:

    >>> LKJ(2, 1.0).log_prob(torch.eye(2)).exp()
    tensor(0.5000)

    Source: Lewandowski, Kurowicka and Joe 2009, *Generating random correlation matrices based on
    vines and extended onion method*, doi:10.1016/j.jmva.2009.04.008.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_matrix

    def __init__(
        self, dim: int, concentration: Real = 1.0, validate_args: bool | None = None
    ) -> None:
        self._check_parameters(validate_args, {"concentration": concentration})
        self.base_dist = LKJCholesky(dim, concentration, validate_args=False)
        self._batch_shape = self.base_dist.batch_shape
        self._event_shape = self.base_dist.event_shape

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The product of the factor and its transpose."""
        return [CorrMatrixCholeskyTransform().inv]

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(LKJ, _instance))
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        new._batch_shape, new._event_shape = new.base_dist.batch_shape, self._event_shape
        return new

    @property
    def dim(self) -> int:
        """The size of the matrix."""
        size: int = self.event_shape[-1]
        return size

    @property
    def concentration(self) -> Tensor:
        r"""The parameter :math:`\eta`."""
        base: Any = self.base_dist
        eta: Tensor = base.concentration
        return eta

    @property
    def mean(self) -> Tensor:
        """The identity: no correlation."""
        eta = self.concentration
        eye = torch.eye(self.dim, dtype=eta.dtype, device=eta.device)
        return eye.expand(self.batch_shape + self.event_shape)


class LKJCorrCholesky(LKJCholesky):
    r"""An older name of :class:`~pyro.distributions.LKJCholesky`, with other names of parameters.

    The density of :math:`R=LL^\top` is proportional to :math:`\det(R)^{\eta-1}`.

    :param d: the size of the matrix, at least 2.
    :param eta: the concentration, positive.
    :param validate_args: whether to check parameters and values.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True):
    ...     warnings.simplefilter("always")
    ...     law = LKJCorrCholesky(2, 1.0)
    >>> law.event_shape
    torch.Size([2, 2])
    """

    def __init__(self, d: int, eta: Real, validate_args: bool | None = None) -> None:
        warn_deprecated("LKJCorrCholesky(d, eta)", "LKJCholesky(dim, concentration)")
        super().__init__(d, eta, validate_args)
