"""Guides that are normal in unconstrained coordinates, site by site."""

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform

from pyro.distributions.constraints import softplus_positive
from pyro.distributions.delta import Delta
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import AutoGuide, full_sized
from pyro.infer.autoguide.supports import (
    checked_levels,
    helpful_support_errors,
    is_identity,
    levels_in_coordinates,
)
from pyro.infer.initialization import init_to_feasible
from pyro.nn.module import PyroModule, PyroParam
from pyro.ops.shapes import sum_rightmost
from pyro.primitives import sample


class _LatentSite(NamedTuple):
    """What a run has to know of a site; none of it changes between runs."""

    name: str
    auxiliary: str
    event_dim: int  # of the value
    transform: Transform | None  # from unconstrained coordinates to the value; None: the identity


class AutoNormal(AutoGuide):
    r"""A guide under which all latent sites are independent and normal, up to constraints.

    For a site with support :math:`X`, let :math:`T` be the bijection of
    :func:`torch.distributions.biject_to` from unconstrained numbers onto :math:`X`. Then

    .. math::

        x = T(u), \quad u \sim N(\mu, \operatorname{diag} \sigma^2), \quad
        \log q(x) = \log N(u; \mu, \sigma) - \log |\det \partial T / \partial u| .

    The parameters are the attributes ``locs.{site}`` and ``scales.{site}``; :math:`u` is drawn at
    the auxiliary site ``{site}_unconstrained``.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.
    :raises ValueError: where ``init_scale`` is not a positive number; in the first run, naming the
        site, where a latent site is discrete.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("rate", dist.LogNormal(0.0, 1.0))
    >>> guide = AutoNormal(model)
    >>> list(guide())
    ['rate']
    >>> guide.median()["rate"], round(guide.scales.rate.item(), 4)
    (tensor(1.), 0.1)

    Source: Kucukelbir et al. 2017, *Automatic Differentiation Variational Inference*, JMLR 18(14).
    """

    scale_constraint = softplus_positive

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Callable[..., Any] = init_to_feasible,
        init_scale: float = 0.1,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        if not (isinstance(init_scale, Real) and init_scale > 0):
            raise ValueError(f"init_scale must be a positive number, got {init_scale!r}.")
        super().__init__(model, create_plates=create_plates)
        self.init_loc_fn = init_loc_fn
        self._init_scale: float = float(init_scale)
        self._event_dims: dict[str, int] = {}  # of the unconstrained values
        self._latent_sites: dict[str, _LatentSite] = {}
        self._holders: dict[str, tuple[Any, Any, str]] = {}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        for memo in (self._event_dims, self._latent_sites, self._holders):
            memo.clear()
        self.locs = PyroModule()
        self.scales = PyroModule()
        for name, site in self._prototype().iter_stochastic_nodes():
            transform, value = self._latent_site(name).transform, site["value"].detach()
            start = value if transform is None else transform.inv(value)
            event_dim = site["fn"].event_dim + start.dim() - value.dim()
            loc = full_sized(start, event_dim, self._cond_indep_stacks[name])
            scale = torch.full_like(loc, self._init_scale)
            self._event_dims[name] = event_dim
            deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
            deep_setattr(self.scales, name, PyroParam(scale, self.scale_constraint, event_dim))

    def _latent_site(self, name: str) -> _LatentSite:
        if name not in self._latent_sites:
            site = self.prototype_trace.nodes[name]
            with helpful_support_errors(site):
                transform = biject_to(site["fn"].support)
            self._latent_sites[name] = _LatentSite(
                name,
                f"{name}_unconstrained",
                site["fn"].event_dim,
                None if is_identity(transform) else transform,
            )
        return self._latent_sites[name]

    def _get_loc_and_scale(self, name: str) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of a site in unconstrained coordinates."""
        if name not in self._holders:
            locs, key = holder_of(self.locs, name)
            self._holders[name] = locs, holder_of(self.scales, name)[0], key
        locs, scales, key = self._holders[name]
        return read_attribute(locs, key), read_attribute(scales, key)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        return self._sample_sites(self._sample_site, self._create_plates(*args, **kwargs))

    def _sample_site(self, name: str) -> Tensor:
        site = self._latent_site(name)
        loc, scale = self._get_loc_and_scale(name)
        law = Normal(loc, scale, validate_args=False).to_event(self._event_dims[name])
        unconstrained: Tensor = sample(site.auxiliary, law, infer={"is_auxiliary": True})
        value = unconstrained
        log_density: Tensor | float = 0.0
        if site.transform is not None:
            value = site.transform(unconstrained)
            log_det = site.transform.log_abs_det_jacobian(unconstrained, value)
            batch_dim = value.dim() - site.event_dim
            log_density = -sum_rightmost(log_det, log_det.dim() - batch_dim)
        point = Delta(value, log_density, event_dim=site.event_dim, validate_args=False)
        drawn: Tensor = sample(name, point)
        return drawn

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of every latent site; for vectors with constraints, ``T(loc)``.

        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: the medians by site name, at the full sizes of their plates.
        """
        self._prototype(*args, **kwargs)
        medians = {}
        for name in self._cond_indep_stacks:
            transform, (loc, _) = self._latent_site(name).transform, self._get_loc_and_scale(name)
            medians[name] = loc.clone() if transform is None else transform(loc)
        return medians

    @torch.no_grad()
    def quantiles(self, quantiles: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return quantiles of every latent site; those of vectors are by unconstrained coordinate.

        :param quantiles: the levels, between 0 and 1: a list, a tensor or a number.
        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: for each site name a tensor whose leftmost dimension runs over the levels.
        :raises ValueError: where a level is not between 0 and 1.

        >>> import pyro, pyro.distributions as dist
        >>> guide = AutoNormal(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)), init_scale=1.0)
        >>> guide.quantiles([0.5, 0.975])["x"]
        tensor([0.0000, 1.9600])
        """
        self._prototype(*args, **kwargs)
        values = {}
        for name in self._cond_indep_stacks:
            loc, scale = self._get_loc_and_scale(name)
            levels = checked_levels(quantiles, loc).reshape((-1,) + (1,) * loc.dim())
            transform = self._latent_site(name).transform
            levels = levels_in_coordinates(transform, levels)
            unconstrained = Normal(loc, scale, validate_args=False).icdf(levels)
            values[name] = unconstrained if transform is None else transform(unconstrained)
        return values
