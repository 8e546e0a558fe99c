"""What guides share that draw all latent values at once, as one unconstrained vector."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.compound import TransformedDistribution
from pyro.infer.autoguide.base import AutoGuide
from pyro.infer.autoguide.coordinates import Coordinates, coordinates_of
from pyro.infer.initialization import init_to_median
from pyro.primitives import sample


class _Part(NamedTuple):
    """The part of the vector that belongs to a site; none of it changes between runs."""

    coordinates: Coordinates
    shape: torch.Size  # of the unconstrained values
    batch_dim: int
    dtype: torch.dtype

    def cut(self, entries: Tensor) -> Tensor:
        """Give a site's entries of the vector, or of a batch of vectors, the site's shape."""
        shape: tuple[int, ...] = self.shape
        batch = entries.shape[:-1]
        if batch:  # whose rightmost dimensions, those of the site's plates, have size 1
            shape = batch[: max(0, len(batch) - self.batch_dim)] + self.shape
        return entries.reshape(shape).to(self.dtype)


class AutoContinuous(AutoGuide):
    r"""Base of the guides with one law for all latent values together.

    The values of all sites, in unconstrained coordinates and in the order of the model, make one
    vector :math:`u` of ``latent_dim`` numbers; it is drawn at the auxiliary site
    ``_{name of the guide}_latent``. With :math:`T` the bijections of
    :func:`torch.distributions.biject_to` onto the supports of the sites, one beside the other,

    .. math:: x = T(u), \quad \log q(x) = \log q(u) - \log |\det \partial T / \partial u| .

    A subclass makes its parameters in ``_setup_prototype``, where ``_init_loc()`` is the vector of
    the initial values, and defines :meth:`get_posterior`, the law of :math:`u`; or
    :meth:`get_base_dist` and :meth:`get_transform`, which give one. Where it defines
    ``_loc_scale(*args, **kwargs)``, the means and standard deviations of the entries of a normal
    :math:`u`, it has medians and quantiles.

    No latent site may be in a plate that is subsampled: the vector has no part for elements that
    were not drawn.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values of the sites, see
        :mod:`pyro.infer.initialization`.
    :raises ValueError: in the first run, naming the site, where a latent site is discrete.
    :raises NotImplementedError: in the first run, naming site and plate, where a latent site is in
        a plate that is subsampled.

    >>> import pyro, pyro.distributions as dist
    >>> class AutoStudent(AutoContinuous):
    ...     def _setup_prototype(self, *args, **kwargs):
    ...         super()._setup_prototype(*args, **kwargs)
    ...         self.loc = torch.nn.Parameter(self._init_loc())
    ...     def get_posterior(self, *args, **kwargs):
    ...         return dist.StudentT(5.0, self.loc, 0.1).to_event(1)
    >>> def model():
    ...     pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...     pyro.sample("rate", dist.LogNormal(0.0, 1.0))
    >>> guide = AutoStudent(model)
    >>> sorted(guide()), guide.latent_dim
    (['rate', 'x'], 3)

    Source: Kucukelbir et al. 2017, *Automatic Differentiation Variational Inference*, JMLR 18(14).
    """

    def __init__(
        self, model: Callable[..., Any], init_loc_fn: Callable[..., Any] | None = init_to_median
    ) -> None:
        super().__init__(model)
        self.init_loc_fn = init_loc_fn
        self.latent_dim = 0
        self._parts: dict[str, _Part] = {}
        self._sizes: list[int] = []

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self._parts = {}
        for name, site in self._prototype().iter_stochastic_nodes():
            self._refuse_subsamples(name)
            coordinates, value = coordinates_of(site), site["value"].detach()
            shape = coordinates.of(value).shape
            batch_dim = value.dim() - site["fn"].event_dim
            self._parts[name] = _Part(coordinates, shape, batch_dim, value.dtype)
        self._sizes = [part.shape.numel() for part in self._parts.values()]
        self.latent_dim = sum(self._sizes)

    def _refuse_subsamples(self, name: str) -> None:
        for frame in self._cond_indep_stacks[name]:
            if frame.full_size not in (None, frame.size):
                kind = type(self).__name__
                raise site_error(
                    name,
                    f"plate {frame.name!r} draws {frame.size} of its {frame.full_size} elements, "
                    f"and {kind} has one vector for the values of all sites at once, whichever "
                    "are drawn",
                    "Use AutoNormal or AutoDelta, which subsample their parameters; for this site "
                    "alone, join both kinds: guide = AutoGuideList(model), "
                    f"guide.append({kind}(poutine.block(model, hide=[{name!r}]))), "
                    f"guide.append(AutoNormal(poutine.block(model, expose=[{name!r}]))).",
                    NotImplementedError,
                )

    def _init_loc(self) -> Tensor:
        """Return the vector of the initial values."""
        nodes = self._prototype().nodes
        entries = [
            part.coordinates.of(nodes[name]["value"].detach()).reshape(-1)
            for name, part in self._parts.items()
        ]
        return torch.cat(entries) if entries else torch.zeros(0)

    def get_base_dist(self) -> Any:
        """Return the law whose draws :meth:`get_transform` maps to the unconstrained vector.

        :raises NotImplementedError: where the kind of guide has none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no get_base_dist().")

    def get_transform(self, *args: Any, **kwargs: Any) -> Any:
        """Return the map from draws of :meth:`get_base_dist` to the unconstrained vector.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :raises NotImplementedError: where the kind of guide has none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no get_transform().")

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the law of the unconstrained vector, for a guide that has run.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        return TransformedDistribution(
            self.get_base_dist(), self.get_transform(*args, **kwargs), validate_args=False
        )

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of the entries of the unconstrained vector."""
        raise NotImplementedError(
            f"{type(self).__name__} has no medians and quantiles in closed form. Take them from "
            "draws: Predictive(model, guide=guide, num_samples=1000)()[site].median(0).values"
        )

    def sample_latent(self, *args: Any, **kwargs: Any) -> Tensor:
        """Draw the unconstrained vector.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the vector, shape ``(latent_dim,)``.
        """
        self._prototype(*args, **kwargs)
        law = self.get_posterior(*args, **kwargs)
        name = f"_{self._pyro_name}_latent"
        latent: Tensor = sample(name, law, infer={"is_auxiliary": True})
        return latent

    def _unpacked(self, latent: Tensor) -> dict[str, Tensor]:
        """Take a vector, or a batch of them, apart into unconstrained values by site name."""
        entries = latent.split_with_sizes(self._sizes, -1)
        return {
            name: part.cut(own)
            for (name, part), own in zip(self._parts.items(), entries, strict=True)
        }

    def _unpack_latent(self, latent: Tensor) -> Iterator[tuple[Any, Tensor]]:
        """Give pairs of a site of the prototype and its unconstrained value.

        :param latent: the unconstrained vector.
        """
        nodes = self._prototype().nodes
        for name, value in self._unpacked(latent).items():
            yield nodes[name], value

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        if not self._parts:
            return {}
        values = self._unpacked(self.sample_latent(*args, **kwargs))

        def sample_site(name: str) -> Tensor:
            drawn: Tensor = sample(name, self._parts[name].coordinates.point_at(values[name]))
            return drawn

        return self._sample_sites(sample_site, self._create_plates(*args, **kwargs))

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the median of every latent site; for vectors with constraints, ``T(loc)``.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the medians by site name.
        :raises NotImplementedError: where the kind of guide has none in closed form.
        """
        self._prototype(*args, **kwargs)
        if not self._parts:
            return {}
        loc, _ = self._loc_scale(*args, **kwargs)
        return {
            name: self._parts[name].coordinates.value_at(value)
            for name, value in self._unpacked(loc.clone()).items()
        }

    @torch.no_grad()
    def quantiles(self, quantiles: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return quantiles of every latent site; those of vectors are by unconstrained coordinate.

        :param quantiles: the levels, between 0 and 1: a list, a tensor or a number.
        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: for each site name a tensor whose leftmost dimension runs over the levels.
        :raises ValueError: where a level is not between 0 and 1.
        :raises NotImplementedError: where the kind of guide has none in closed form.
        """
        self._prototype(*args, **kwargs)
        if not self._parts:
            return {}
        locs, scales = map(self._unpacked, self._loc_scale(*args, **kwargs))
        return {
            name: part.coordinates.quantiles(locs[name], scales[name], quantiles)
            for name, part in self._parts.items()
        }
