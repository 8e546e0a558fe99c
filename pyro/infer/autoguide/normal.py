"""Guides that are normal in unconstrained coordinates, site by site."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.constraints import softplus_positive
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import AutoGuide, full_sized
from pyro.infer.autoguide.coordinates import Coordinates, checked_scale, coordinates_of
from pyro.infer.initialization import init_to_feasible
from pyro.nn.module import PyroModule, PyroParam
from pyro.primitives import sample


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
        super().__init__(model, create_plates=create_plates)
        self.init_loc_fn = init_loc_fn
        self._init_scale = checked_scale(init_scale)
        self._event_dims: dict[str, int] = {}  # of the unconstrained values
        self._coordinates: dict[str, Coordinates] = {}
        self._holders: dict[str, tuple[Any, Any, str]] = {}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        for memo in (self._event_dims, self._coordinates, self._holders):
            memo.clear()
        self.locs = PyroModule()
        self.scales = PyroModule()
        for name, site in self._prototype().iter_stochastic_nodes():
            value = site["value"].detach()
            start = self._coordinates_of(name).of(value)
            event_dim = site["fn"].event_dim + start.dim() - value.dim()
            loc = full_sized(start, event_dim, self._cond_indep_stacks[name])
            scale = torch.full_like(loc, self._init_scale)
            self._event_dims[name] = event_dim
            deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
            deep_setattr(self.scales, name, PyroParam(scale, self.scale_constraint, event_dim))

    def _coordinates_of(self, name: str) -> Coordinates:
        if name not in self._coordinates:
            self._coordinates[name] = coordinates_of(self.prototype_trace.nodes[name])
        return self._coordinates[name]

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
        loc, scale = self._get_loc_and_scale(name)
        law = Normal(loc, scale, validate_args=False).to_event(self._event_dims[name])
        auxiliary = f"{name}_unconstrained"
        unconstrained: Tensor = sample(auxiliary, law, infer={"is_auxiliary": True})
        point = self._coordinates_of(name).point_at(unconstrained)
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
        return {
            name: self._coordinates_of(name).value_at(self._get_loc_and_scale(name)[0].clone())
            for name in self._cond_indep_stacks
        }

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
        return {
            name: self._coordinates_of(name).quantiles(*self._get_loc_and_scale(name), quantiles)
            for name in self._cond_indep_stacks
        }
