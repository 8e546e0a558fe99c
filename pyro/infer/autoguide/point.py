"""Guides that put all mass on a point."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.delta import Delta
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import AutoGuide, full_sized
from pyro.infer.autoguide.supports import checked_levels, helpful_support_errors
from pyro.infer.initialization import init_to_median
from pyro.nn.module import PyroParam
from pyro.primitives import sample


class AutoDelta(AutoGuide):
    """A guide for maximum a posteriori estimates: one point for each latent site.

    The point is a parameter, an attribute of the guide that is named as the site and lives on the
    site's support. With it, maximising the ELBO maximises the joint density of the model, in the
    coordinates that the model is written in.

    :param model: the model.
    :param init_loc_fn: the strategy for the initial points, see :mod:`pyro.infer.initialization`.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.
    :raises ValueError: in the first run, naming the site, where a latent site is discrete or its
        name is one that guides use for themselves.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer.initialization import init_to_mean
    >>> def model():
    ...     pyro.sample("rate", dist.Exponential(2.0))
    >>> guide = AutoDelta(model, init_loc_fn=init_to_mean)
    >>> guide.median()
    {'rate': tensor(0.5000)}
    """

    def __init__(
        self,
        model: Callable[..., Any],
        init_loc_fn: Callable[..., Any] = init_to_median,
        *,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        self.init_loc_fn = init_loc_fn
        self._event_dims: dict[str, int] = {}
        self._holders: dict[str, tuple[Any, str]] = {}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        for name, site in self._prototype().iter_stochastic_nodes():
            self._check_name(name)
            event_dim = site["fn"].event_dim
            start = full_sized(site["value"].detach(), event_dim, self._cond_indep_stacks[name])
            self._event_dims[name] = event_dim
            with helpful_support_errors(site):
                deep_setattr(self, name, PyroParam(start, site["fn"].support, event_dim))

    def _check_name(self, name: str) -> None:
        first = name.split(".")[0]
        if hasattr(type(self), first) or first in vars(self):
            raise site_error(
                name,
                f"the guide would keep its point as an attribute {first!r}, which it needs itself",
                "Rename the site.",
            )

    def _point(self, name: str) -> Tensor:
        if name not in self._holders:
            self._holders[name] = holder_of(self, name)
        point: Tensor = read_attribute(*self._holders[name])
        return point

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site, at its point.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        return self._sample_sites(self._sample_site, self._create_plates(*args, **kwargs))

    def _sample_site(self, name: str) -> Tensor:
        event_dim = self._event_dims[name]
        law = Delta(self._point(name), event_dim=event_dim, validate_args=False)
        drawn: Tensor = sample(name, law)
        return drawn

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the points.

        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: the points by site name, at the full sizes of their plates.
        """
        self._prototype(*args, **kwargs)
        return {name: self._point(name).clone() for name in self._event_dims}

    def quantiles(self, quantiles: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the points once for each level, as all quantiles of a point are the point.

        :param quantiles: the levels, between 0 and 1: a list, a tensor or a number.
        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: for each site name a tensor whose leftmost dimension runs over the levels.
        """
        points = self.median(*args, **kwargs)
        return {
            name: point.expand(checked_levels(quantiles, point).shape + point.shape)
            for name, point in points.items()
        }
