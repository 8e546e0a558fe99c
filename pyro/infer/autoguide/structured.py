"""A guide in which each site has a law of its own kind, and depends on others as one likes."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro._foundation.errors import site_error
from pyro.distributions.constraints import softplus_positive, unit_lower_cholesky
from pyro.distributions.delta import Delta
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import AutoGuide, full_sized
from pyro.infer.autoguide.coordinates import (
    Coordinates,
    checked_scale,
    coordinates_of,
    elements_that_run,
)
from pyro.infer.dependencies import get_dependencies
from pyro.infer.initialization import init_to_feasible
from pyro.nn.module import PyroModule, PyroParam, pyro_method
from pyro.poutine.handlers import block
from pyro.primitives import sample

_CONDITIONALS = ("delta", "normal", "mvn")


class _Shape(NamedTuple):
    """The shape of a site's coordinates, at the full sizes of its plates."""

    full: torch.Size
    event_dim: int


class AutoStructured(AutoGuide):
    r"""A guide of conditional laws, for each site one, that depend on each other.

    All is in unconstrained coordinates, those of all elements of a site in one vector. With
    :math:`\mu_i` a parameter and :math:`d_i` the deviation from it,

    .. math::

        x_i = T_i(\mu_i + d_i), \quad d_i = \delta_i + \sum_j f_{ij}(d_j) ,

    where :math:`\delta_i` is of the kind that ``conditionals`` says,

    - ``"delta"``: 0, a point;
    - ``"normal"``: :math:`\sigma_i \epsilon`, independent coordinates;
    - ``"mvn"``: :math:`\sigma_i L_i \epsilon`, with :math:`L_i` triangular of unit diagonal, so
      that all coordinates of the site depend on each other;
    - a callable without arguments that returns :math:`\delta_i`, and may sample auxiliary sites;

    and :math:`f_{ij}` is of the kind that ``dependencies`` says: ``"linear"``, a matrix that starts
    at 0, or a callable that takes :math:`d_j` and returns what to add to :math:`d_i`. Callables
    that are modules become parts of the guide. With ``dependencies="linear"`` each site depends
    linearly on those earlier ones that it is tied to in the posterior, by
    :func:`~pyro.infer.dependencies.get_dependencies` or through later sites. With ``"mvn"``
    everywhere the exact posterior of a linear Gaussian model is then among these guides.

    The parameters are ``locs.{site}``, ``scales.{site}``, ``scale_trils.{site}`` and
    ``deps.{site}.{earlier site}.weight``; modules are ``conds.{site}`` and
    ``deps.{site}.{earlier site}``. In subsampled plates all elements are drawn and those that run
    are selected.

    :param model: the model.
    :param conditionals: one kind for all sites, or a dictionary from their names to kinds.
    :param dependencies: ``"linear"``, or a dictionary from names of sites to dictionaries from the
        names of the sites that they depend on to kinds.
    :param init_loc_fn: the strategy for initial values, see :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :param create_plates: makes the plates to use, see
        :class:`~pyro.infer.autoguide.base.AutoGuide`.
    :raises ValueError: where ``init_scale`` is not a positive number, a kind is unknown, sites
        depend on themselves, or on ones that the model does not have.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.LogNormal(x, 1.0))
    >>> guide = AutoStructured(model, conditionals={"x": "delta", "y": "normal"})
    >>> values = guide()
    >>> guide.deps.y.x.weight.shape
    torch.Size([1, 1])

    Source: Webb et al. 2018, *Faithful inversion of generative models for effective amortized
    inference*, arXiv:1712.00287, for which dependencies a posterior has.
    """

    scale_constraint = softplus_positive
    scale_tril_constraint = unit_lower_cholesky

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        conditionals: str | Mapping[str, Any] = "mvn",
        dependencies: str | Mapping[str, Mapping[str, Any]] = "linear",
        init_loc_fn: Callable[..., Any] = init_to_feasible,
        init_scale: float = 0.1,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(model, create_plates=create_plates)
        self.init_loc_fn: Callable[..., Any] | None = init_loc_fn
        self._init_scale = checked_scale(init_scale)
        _check_kinds(conditionals, dependencies)
        self.conditionals: str | Mapping[str, Any] = conditionals
        self.dependencies: str | Mapping[str, Mapping[str, Any]] = dependencies
        self._asked: tuple[Any, Any] = (conditionals, dependencies)

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        names = list(self._cond_indep_stacks)
        conditionals, dependencies = self._asked
        self.conditionals = self._kinds = _kinds_by_site(conditionals, names)
        if isinstance(dependencies, str):
            links = get_dependencies(self.model, args, kwargs)["posterior_dependencies"]
            dependencies = linear_dependencies(names, links)
        self.dependencies = self._rows = dependencies
        self._order = _order_of(names, self._rows)
        self._sites: dict[str, Coordinates] = {}
        self._shapes: dict[str, _Shape] = {}
        self._held: dict[tuple[str, str, str | None], tuple[Any, str]] = {}
        for kind in ("locs", "scales", "scale_trils", "conds", "deps"):
            setattr(self, kind, PyroModule())
        for name, site in self._prototype().iter_stochastic_nodes():
            self._start_site(name, site)
        for name, row in self._rows.items():
            for other, kind in row.items():
                self._start_dependency(name, other, kind)

    def _start_site(self, name: str, site: Any) -> None:
        self._sites[name] = coordinates = coordinates_of(site)
        value = site["value"].detach()
        start = coordinates.of(value)
        event_dim = coordinates.event_dim + start.dim() - value.dim()
        start = full_sized(start, event_dim, self._cond_indep_stacks[name])
        self._shapes[name] = _Shape(start.shape, event_dim)
        loc = start.flatten()
        self._hold("locs", name, PyroParam(loc, constraints.real, 1))
        kind = self._kinds[name]
        if not isinstance(kind, str):
            self._hold("conds", name, kind)
        elif kind != "delta":
            scale = torch.full_like(loc, self._init_scale)
            self._hold("scales", name, PyroParam(scale, self.scale_constraint, 1))
        if kind == "mvn" and len(loc) > 1:
            eye = torch.eye(len(loc), dtype=loc.dtype, device=loc.device)
            self._hold("scale_trils", name, PyroParam(eye, self.scale_tril_constraint, 2))

    def _start_dependency(self, name: str, other: str, kind: Any) -> None:
        if kind == "linear":
            rows, columns = (self._shapes[site].full.numel() for site in (name, other))
            like = self._get("locs", name)
            kind = nn.Linear(columns, rows, bias=False, dtype=like.dtype, device=like.device)
            nn.init.zeros_(kind.weight)
        holder, key = holder_of(self.deps, name, make=True)
        if not isinstance(holder._modules.get(key), PyroModule):
            setattr(holder, key, PyroModule())
        self._hold("deps", other, kind, name, read_attribute(holder, key))

    def _hold(
        self, part: str, name: str, what: Any, of: str | None = None, home: Any = None
    ) -> None:
        """Keep what belongs to a site, and remember where.

        :param part: the attribute of the guide that it goes into.
        :param name: the site's name.
        :param what: a parameter, a module or a function.
        :param of: the site that depends on it, where there is one.
        :param home: the module to put it in, where that is not the attribute itself.
        """
        home = getattr(self, part) if home is None else home
        deep_setattr(home, name, what)
        self._held[part, name, of] = holder_of(home, name)

    def _get(self, part: str, name: str, of: str | None = None) -> Any:
        return read_attribute(*self._held[part, name, of])

    def _deviation(self, name: str) -> Tensor | float:
        """Draw the part of a site's deviation that is its own."""
        kind = self._kinds[name]
        if kind == "delta":
            return 0.0
        if not isinstance(kind, str):
            own: Tensor = self._get("conds", name)()
            return own
        scale = self._get("scales", name)
        law: Any
        if ("scale_trils", name, None) in self._held:
            tril = scale.unsqueeze(-1) * self._get("scale_trils", name)
            law = MultivariateNormal(torch.zeros_like(scale), scale_tril=tril, validate_args=False)
        else:
            law = Normal(torch.zeros_like(scale), scale, validate_args=False).to_event(1)
        drawn: Tensor = sample(f"{name}_aux", law, infer={"is_auxiliary": True})
        return drawn

    def _coordinates(
        self, wanted: Collection[str], deviation: Callable[[str], Tensor | float]
    ) -> dict[str, Tensor]:
        """Return the coordinates of sites and of those that they depend on."""
        needed = {*wanted}
        for name in reversed(self._order):
            if name in needed:
                needed.update(self._rows.get(name, ()))
        deviations: dict[str, Any] = {}
        coordinates = {}
        for name in self._order:
            if name not in needed:
                continue
            moved, loc = deviation(name), self._get("locs", name)
            for other in self._rows.get(name, ()):
                moved = moved + self._get("deps", other, name)(deviations[other])
            deviations[name] = moved if isinstance(moved, Tensor) else torch.zeros_like(loc)
            coordinates[name] = loc + moved
        return coordinates

    def _point(self, name: str, vector: Tensor) -> Delta:
        return self._sites[name].point_at(elements_that_run(vector, *self._shapes[name]))

    @pyro_method
    def get_deltas(self, save_params: Collection[str] | None = None) -> dict[str, Delta]:
        """Draw, and return the laws that are sure of what was drawn, with their densities.

        What was drawn, at auxiliary sites, is scored there; the laws have the factors by which the
        densities change from unconstrained coordinates to values.

        :param save_params: the names of the sites to return; all by default. Sites are not drawn
            that none of these depends on.
        :returns: laws by site name, at the full sizes of plates.
        :raises ValueError: before the first call of the guide, or for a name that is no site's.
        """
        if self.prototype_trace is None:
            raise ValueError("Call the guide with the model's arguments first, to set it up.")
        wanted = self._order if save_params is None else [*save_params]
        _check_names(wanted, self._order)
        coordinates = self._coordinates(wanted, self._deviation)
        return {name: self._point(name, coordinates[name]) for name in wanted}

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Sample every latent site.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name.
        """
        self._prototype(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        coordinates = self._coordinates(self._order, self._deviation)
        return self._sample_sites(
            lambda name: sample(name, self._point(name, coordinates[name])), plates
        )

    @pyro_method
    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the values where no site deviates by itself.

        :param args: the model's arguments, which a guide that has not run yet needs.
        :param kwargs: the model's keyword arguments.
        :returns: the values by site name, at the full sizes of their plates.
        """
        self._prototype(*args, **kwargs)
        with block():
            coordinates = self._coordinates(self._order, lambda name: 0.0)
            points = {name: self._point(name, coordinates[name]) for name in self._order}
        return {name: points[name].v for name in self._cond_indep_stacks}


def linear_dependencies(
    names: Iterable[str], links: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, str]]:
    """Return on which earlier sites each one depends, when those after it are integrated out.

    :param names: the sites, in the order in which they are drawn.
    :param links: to which later sites each is tied, given all others.

    Two sites that both are tied to a later one depend on each other without it:

    >>> linear_dependencies(["a", "b", "c"], {"a": ["c"], "b": ["c"]})
    {'b': {'a': 'linear'}, 'c': {'a': 'linear', 'b': 'linear'}}
    """
    order = {name: i for i, name in enumerate(names)}
    earlier: dict[str, set[str]] = {name: set() for name in order}
    for name, others in links.items():
        for other in others:
            if name in order and other in order and name != other:
                first, second = sorted((name, other), key=order.__getitem__)
                earlier[second].add(first)
    for name in reversed(order):
        tied = sorted(earlier[name], key=order.__getitem__)
        for i, other in enumerate(tied):
            earlier[other].update(tied[:i])
    rows = {name: sorted(tied, key=order.__getitem__) for name, tied in earlier.items()}
    return {name: dict.fromkeys(tied, "linear") for name, tied in rows.items() if tied}


def _check_names(given: Iterable[str], names: Collection[str]) -> None:
    for name in given:
        if name not in names:
            raise site_error(name, "the model has no such latent site", f"It has {[*names]}.")


def _check_kinds(
    conditionals: str | Mapping[str, Any],
    dependencies: str | Mapping[str, Mapping[str, Any]],
) -> None:
    kinds = [conditionals] if isinstance(conditionals, str) else conditionals.values()
    for kind in kinds:
        if kind not in _CONDITIONALS and (isinstance(kind, str) or not callable(kind)):
            raise ValueError(
                f"A conditional is 'delta', 'normal', 'mvn' or a callable, got {kind!r}."
            )
    rows = [] if isinstance(dependencies, str) else dependencies.values()
    kinds = (
        [dependencies] if isinstance(dependencies, str) else [k for r in rows for k in r.values()]
    )
    for kind in kinds:
        if kind != "linear" and (isinstance(kind, str) or not callable(kind)):
            raise ValueError(f"A dependency is 'linear' or a callable, got {kind!r}.")


def _kinds_by_site(conditionals: str | Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    if isinstance(conditionals, str):
        return dict.fromkeys(names, conditionals)
    for name in names:
        if name not in conditionals:
            raise site_error(
                name,
                "it has no conditional",
                "Give conditionals an entry for each latent site: 'delta', 'normal' or 'mvn'.",
            )
    return {name: conditionals[name] for name in names}


def _order_of(names: list[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the sites so that each comes after those that it depends on."""
    for name, row in rows.items():
        _check_names((name, *row), names)
    order: list[str] = []
    while len(order) < len(names):
        ready = (n for n in names if n not in order and all(o in order for o in rows.get(n, ())))
        following = next(ready, None)
        if following is None:
            stuck = [name for name in names if name not in order]
            raise ValueError(f"The dependencies of {stuck} go round in circles. Leave one out.")
        order.append(following)
    return order
