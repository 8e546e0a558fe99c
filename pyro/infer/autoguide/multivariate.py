"""Guides that are normal in unconstrained coordinates, with all sites in one vector."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform

from pyro.distributions.constraints import softplus_positive, unit_lower_cholesky
from pyro.distributions.multivariate import LowRankMultivariateNormal, MultivariateNormal
from pyro.distributions.normal import Normal
from pyro.distributions.transforms.lower_cholesky_affine import LowerCholeskyAffine
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.infer.autoguide.coordinates import checked_scale
from pyro.infer.initialization import init_to_median
from pyro.nn.module import PyroParam


class _AutoMultivariate(AutoContinuous):
    """A normal law of the whole vector, which has a mean ``loc`` and a ``scale``."""

    scale_constraint = softplus_positive
    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Callable[..., Any] = init_to_median,
        init_scale: float = 0.1,
    ) -> None:
        super().__init__(model, init_loc_fn)
        self._init_scale = checked_scale(init_scale)

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        if self.latent_dim:
            self._make_parameters(self._init_loc(), self._init_scale)

    def _make_parameters(self, loc: Tensor, scale: float) -> None:
        self.loc = nn.Parameter(loc)
        scales = torch.full_like(loc, scale)
        self.scale = PyroParam(scales, self.scale_constraint)  # type: ignore[assignment]

    def get_base_dist(self) -> Any:
        """Return white noise."""
        zeros = torch.zeros_like(self.loc)
        return Normal(zeros, torch.ones_like(zeros), validate_args=False).to_event(1)


class AutoDiagonalNormal(_AutoMultivariate):
    r"""A guide under which all unconstrained numbers are independent and normal.

    .. math:: x = T(u), \quad u \sim N(\mu, \operatorname{diag} \sigma^2) .

    The family is that of :class:`~pyro.infer.autoguide.normal.AutoNormal`; this guide has two
    parameters ``loc`` and ``scale`` for all sites, vectors of ``latent_dim`` numbers. See
    :class:`~pyro.infer.autoguide.continuous.AutoContinuous` for :math:`T`.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :raises ValueError: where ``init_scale`` is not a positive number.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...     pyro.sample("rate", dist.LogNormal(0.0, 1.0))
    >>> guide = AutoDiagonalNormal(model)
    >>> sorted(guide()), guide.scale.detach()
    (['rate', 'x'], tensor([0.1000, 0.1000, 0.1000]))
    """

    def get_transform(self, *args: Any, **kwargs: Any) -> AffineTransform:
        """Return the map from white noise to the unconstrained vector.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return AffineTransform(self.loc, self.scale, event_dim=1)

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the law of the unconstrained vector, for a guide that has run.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return Normal(self.loc, self.scale, validate_args=False).to_event(1)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, self.scale


class AutoMultivariateNormal(_AutoMultivariate):
    r"""A guide under which the unconstrained numbers are normal, with any correlations.

    .. math:: x = T(u), \quad
        u \sim N(\mu, \Sigma), \quad \Sigma = (\operatorname{diag}(\sigma) L)
        (\operatorname{diag}(\sigma) L)^\top ,

    where :math:`L` is lower triangular with ones on its diagonal. The parameters are ``loc``,
    ``scale`` and ``scale_tril``: :math:`\mu`, :math:`\sigma` and :math:`L`. See
    :class:`~pyro.infer.autoguide.continuous.AutoContinuous` for :math:`T`.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :raises ValueError: where ``init_scale`` is not a positive number.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.Normal(x, 1.0))
    >>> guide = AutoMultivariateNormal(model)
    >>> sorted(guide()), guide.get_posterior().covariance_matrix.shape
    (['x', 'y'], torch.Size([2, 2]))
    """

    scale_tril_constraint = unit_lower_cholesky
    scale_tril: Tensor

    def _make_parameters(self, loc: Tensor, scale: float) -> None:
        super()._make_parameters(loc, scale)
        ones = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
        self.scale_tril = PyroParam(ones, self.scale_tril_constraint)  # type: ignore[assignment]

    def _factor(self) -> Tensor:
        """Return the lower Cholesky factor of the covariance."""
        return self.scale.unsqueeze(-1) * self.scale_tril

    def get_transform(self, *args: Any, **kwargs: Any) -> LowerCholeskyAffine:
        """Return the map from white noise to the unconstrained vector.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return LowerCholeskyAffine(self.loc, self._factor())

    def get_posterior(self, *args: Any, **kwargs: Any) -> MultivariateNormal:
        """Return the law of the unconstrained vector, for a guide that has run.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return MultivariateNormal(self.loc, scale_tril=self._factor(), validate_args=False)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, torch.linalg.vector_norm(self._factor(), dim=-1)


class AutoLowRankMultivariateNormal(_AutoMultivariate):
    r"""A guide under which the unconstrained numbers are normal, correlated through few factors.

    .. math:: x = T(u), \quad u \sim N(\mu, \Sigma), \quad
        \Sigma = \operatorname{diag}(\sigma) (W W^\top + I) \operatorname{diag}(\sigma) ,

    with :math:`W` of ``rank`` columns. The parameters are ``loc``, ``scale`` and ``cov_factor``:
    :math:`\mu`, :math:`\sigma` and :math:`W`. A draw and its density cost time and memory linear in
    ``latent_dim``. See :class:`~pyro.infer.autoguide.continuous.AutoContinuous` for :math:`T`.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates, about; the
        factors begin at random.
    :param rank: the number of columns; the square root of ``latent_dim``, rounded, if None.
    :raises ValueError: where ``init_scale`` is not a positive number, or ``rank`` no positive whole
        one.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(9), 1.0).to_event(1))
    >>> guide = AutoLowRankMultivariateNormal(model)
    >>> list(guide()), guide.cov_factor.shape
    (['x'], torch.Size([9, 3]))

    Source: Ong, Nott and Smith 2018, *Gaussian Variational Approximation with a Factor Covariance
    Structure*, Journal of Computational and Graphical Statistics 27(3), arXiv:1701.03208.
    """

    cov_factor: Tensor

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Callable[..., Any] = init_to_median,
        init_scale: float = 0.1,
        rank: int | None = None,
    ) -> None:
        if rank is not None and not (isinstance(rank, int) and rank > 0):
            raise ValueError(f"rank must be a positive whole number, got {rank!r}.")
        super().__init__(model, init_loc_fn, init_scale)
        self.rank = rank

    def _make_parameters(self, loc: Tensor, scale: float) -> None:
        # Factors and diagonal begin with half of the variance each.
        super()._make_parameters(loc, scale * math.sqrt(0.5))
        if self.rank is None:
            self.rank = round(math.sqrt(len(loc)))
        factor = torch.randn_like(loc.unsqueeze(-1).expand(-1, self.rank))
        self.cov_factor = nn.Parameter(factor / math.sqrt(self.rank))

    def get_posterior(self, *args: Any, **kwargs: Any) -> LowRankMultivariateNormal:
        """Return the law of the unconstrained vector, for a guide that has run.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        loc, scale = self.loc, self.scale
        factor = scale.unsqueeze(-1) * self.cov_factor
        return LowRankMultivariateNormal(loc, factor, scale.square(), validate_args=False)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.loc, self.scale * (1 + self.cov_factor.square().sum(-1)).sqrt()
