"""A guide that is jointly normal, with the sparsity of the posterior's dependency graph."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.coordinates import elements_that_run
from pyro.infer.autoguide.coupled_normal import (
    CoupledNormal,
    DenseFactor,
    Factor,
    Layout,
    Places,
    SparseFactor,
)
from pyro.infer.autoguide.elimination import Extent, Front, eliminate
from pyro.infer.autoguide.normal import AutoNormal
from pyro.infer.dependencies import get_dependencies
from pyro.infer.initialization import init_to_feasible
from pyro.nn.module import PyroModule, PyroParam
from pyro.primitives import sample

_BACKENDS = {None: "dense", "dense": "dense", "sparse": "sparse", "funsor": "sparse"}


class AutoGaussian(AutoNormal):
    r"""A guide that is jointly normal in unconstrained coordinates, and sparse.

    Let :math:`P` be the precision of all coordinates. Where two sites, or two elements of a plate,
    are independent given all others in the model's posterior, as
    :func:`~pyro.infer.dependencies.get_dependencies` finds, :math:`P` is zero between them. It is
    held by its triangular factor, which has parameters just for what is not zero:

    .. math::

        x = T(u), \quad K \, \frac{u - \mu}{\sigma} = \epsilon, \quad \epsilon \sim N(0, I), \quad
        P = \sigma^{-1} K^T K \sigma^{-1} .

    The order of elimination is found at the first call; what eliminations fill in is not zero. The
    posterior of a linear Gaussian model is of this form, and for a model that is not, this guide
    is a multivariate normal that does not grow with the square of the sizes of plates.

    The parameters are ``locs.{site}``; ``scales.{site}``, the standard deviation of each
    coordinate given those that are eliminated after it; and ``couplings.{site}``, the rows of
    :math:`K` without its diagonal. All begin as in
    :class:`~pyro.infer.autoguide.normal.AutoNormal`, which this guide is with couplings of zero.

    In subsampled plates all elements are drawn and those that run are selected.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values, see :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :param backend: how to compute the same law. ``"dense"``, the default, solves one
        triangular system, at a cost quadratic in the number of coordinates, and is fast for up to
        some hundreds; ``"sparse"``, also called ``"funsor"``, goes site by site, at a cost that is
        linear in the sizes of plates. Neither needs funsor.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.
    :raises ValueError: where ``init_scale`` is not a positive number or the backend is unknown; in
        the first run, naming the site, where a latent site is discrete.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", len(data)):
    ...         x = pyro.sample("x", dist.Normal(mean, 1.0))
    ...         pyro.sample("y", dist.Normal(x, 1.0), obs=data)
    >>> guide = AutoGaussian(model, backend="sparse")
    >>> guide(torch.zeros(1000))["x"].shape, guide.couplings.x.shape
    (torch.Size([1000]), torch.Size([1000, 1, 1]))

    Sources: Tan and Nott 2018, *Gaussian variational approximation with sparse precision matrices*,
    Statistics and Computing 28, arXiv:1605.05622; George and Liu 1981.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Callable[..., Any] = init_to_feasible,
        init_scale: float = 0.1,
        backend: str | None = None,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        if backend not in _BACKENDS:
            raise ValueError(f"backend is 'dense' or 'sparse', got {backend!r}.")
        super().__init__(
            model, init_loc_fn=init_loc_fn, init_scale=init_scale, create_plates=create_plates
        )
        self._backend = _BACKENDS[backend]

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        links = get_dependencies(self.model, args, kwargs)["posterior_dependencies"]
        self._extents = {name: self._extent(name, links) for name in self._cond_indep_stacks}
        neighbours: dict[str, set[str]] = {name: set() for name in self._extents}
        for name, others in links.items():
            for other in others:
                if name in neighbours and other in neighbours:
                    neighbours[name].add(other)
                    neighbours[other].add(name)
        self._layout = Layout(self._extents)
        self._fronts = eliminate(self._extents, neighbours)
        self._places = Places(self._layout, self._fronts) if self._backend == "dense" else None
        self.couplings = PyroModule()
        self._coupled: dict[str, tuple[Any, str]] = {}
        for front in self._fronts:
            self._start_coupling(front)

    def _extent(self, name: str, links: dict[str, dict[str, set[str]]]) -> Extent:
        """Read the size of a site off its parameters, which have that of the whole plates."""
        loc, _ = self._get_loc_and_scale(name)
        cut = loc.dim() - self._event_dims[name]
        sizes = {dim: loc.shape[cut + dim] for dim in range(-cut, 0) if loc.shape[cut + dim] > 1}
        frames = {frame.dim: frame for frame in self._cond_indep_stacks[name]}
        across = links.get(name, {}).get(name, set())
        joint = {d for d in sizes if d not in frames or frames[d].name in across}
        return Extent(sizes, loc.shape[cut:].numel(), frozenset(joint))

    def _start_coupling(self, front: Front) -> None:
        name = front.site
        extent = self._extents[name]
        own = _length(extent, front.joint)
        width = sum(_length(self._extents[near], joint) for near, joint in front.near)
        width += own if own > 1 else 0
        if not width:
            return
        apart = {dim: size for dim, size in extent.sizes.items() if dim not in front.joint}
        batch = [apart.get(dim, 1) for dim in range(min(apart, default=0), 0)]
        loc, _ = self._get_loc_and_scale(name)
        start = loc.detach().new_zeros(*batch, own, width)
        deep_setattr(self.couplings, name, PyroParam(start, constraints.real, 2))
        self._coupled[name] = holder_of(self.couplings, name)

    def _law(self) -> CoupledNormal:
        """Return the joint law of the coordinates of all sites."""
        pairs = [self._get_loc_and_scale(name) for name in self._extents]
        loc = torch.cat([loc.flatten() for loc, _ in pairs])
        scale = torch.cat([scale.flatten() for _, scale in pairs])
        couplings = {name: read_attribute(*held) for name, held in self._coupled.items()}
        factor: Factor
        if self._places is None:
            factor = SparseFactor(self._layout, self._extents, self._fronts, couplings)
        else:
            factor = DenseFactor(self._places, couplings, loc)
        return CoupledNormal(loc, scale, factor, validate_args=False)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        if not self._extents:
            return {}
        name = f"_{self._pyro_name}_latent"
        latent = sample(name, self._law(), infer={"is_auxiliary": True})
        parts = dict(zip(self._extents, latent.split(self._layout.lengths, -1), strict=True))

        def sample_site(name: str) -> Tensor:
            shape = self._get_loc_and_scale(name)[0].shape
            part = elements_that_run(parts[name], shape, self._event_dims[name])
            drawn: Tensor = sample(name, self._coordinates_of(name).point_at(part))
            return drawn

        return self._sample_sites(sample_site, plates)

    @torch.no_grad()
    def quantiles(self, quantiles: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return quantiles of every latent site by itself; those of vectors are by coordinate.

        They take the variances of all coordinates, as many solves as there are coordinates.

        :param quantiles: the levels, between 0 and 1: a list, a tensor or a number.
        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: for each site name a tensor whose leftmost dimension runs over the levels.
        :raises ValueError: where a level is not between 0 and 1.
        """
        self._prototype(*args, **kwargs)
        if not self._extents:
            return {}
        deviations = self._law().stddev.split(self._layout.lengths)
        values = {}
        for name, deviation in zip(self._extents, deviations, strict=True):
            loc, _ = self._get_loc_and_scale(name)
            scale = deviation.reshape(loc.shape)
            values[name] = self._coordinates_of(name).quantiles(loc, scale, quantiles)
        return values


def _length(extent: Extent, joint: tuple[int, ...]) -> int:
    """Return how many coordinates a vector of a site has."""
    return extent.width * prod(extent.sizes[dim] for dim in joint)
