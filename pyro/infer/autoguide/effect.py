"""Guides that run the model and, site by site, put a posterior in place of the prior."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import AffineTransform, Transform

from pyro._foundation.errors import site_error
from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.constraints import softplus_positive
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.attributes import deep_setattr, holder_of, read_attribute
from pyro.infer.autoguide.base import full_sized
from pyro.infer.autoguide.coordinates import checked_scale
from pyro.infer.autoguide.supports import helpful_support_errors, is_identity
from pyro.infer.initialization import InitMessenger, init_to_feasible, init_to_mean
from pyro.nn.classes import _PyroModuleMeta
from pyro.nn.module import PyroModule, PyroParam, pyro_method
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.handlers import block, trace
from pyro.poutine.runtime import get_plates
from pyro.poutine.sites import prune_subsample_sites

_MEAN = init_to_mean(fallback=init_to_feasible)


class AutoMessengerMeta(_PyroModuleMeta):
    """The class of classes that are effect handlers and Pyro modules at once."""


class AutoMessenger(GuideMessenger, PyroModule, metaclass=AutoMessengerMeta):
    r"""Base of automatic guides that are effect handlers.

    Unlike an :class:`~pyro.infer.autoguide.base.AutoGuide` such a guide has no prototype: it runs
    the model whenever it is called, so that the posterior of a site may depend on its prior and on
    all values drawn before, and the model may have other sites and supports in each run. A subclass
    defines :meth:`~pyro.poutine.guide.GuideMessenger.get_posterior`.

    The guide's value at a site is that of the model's run, observed sites included. Subsamples are
    drawn by the model itself, and so there are no plates to create.

    :param model: the model.
    :param amortized_plates: the names of plates whose elements share their parameters, which
        therefore suit elements that were never seen and take no memory for each.
    :raises TypeError: where the model cannot be called, or the plates are no names.

    >>> import pyro, pyro.distributions as dist
    >>> class Sharper(AutoMessenger):
    ...     def get_posterior(self, name, prior):
    ...         return dist.Normal(prior.mean, prior.stddev / 2)
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(3.0, 1.0))
    ...     return pyro.sample("y", dist.Normal(x, 1.0))
    >>> pyro.poutine.trace(Sharper(model)).get_trace().nodes["x"]["fn"]
    Normal(loc: 3.0, scale: 0.5)
    """

    def __init__(self, model: Callable[..., Any], *, amortized_plates: Iterable[str] = ()) -> None:
        if not callable(model):
            raise TypeError(f"A guide is made from a model, which is callable; got {model!r}.")
        names = (amortized_plates,) if isinstance(amortized_plates, str) else (*amortized_plates,)
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"amortized_plates are names of plates, got {amortized_plates!r}.")
        super().__init__(model)
        self.amortized_plates: tuple[str, ...] = names

    @pyro_method
    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Draw from the guide.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the value of each sample site of the model but plates, by name.
        """
        return super().__call__(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Draw from the guide and return the values alone, in the order of their sites' names.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """
        values = self(*args, **kwargs)
        return tuple(values[name] for name in sorted(values))

    def _full_sized(self, value: Tensor, event_dim: int) -> Tensor:
        """Return a value at the full sizes of the plates around, without the amortised ones."""
        frames = [frame for frame in get_plates() if frame.vectorized]
        shared = [frame for frame in frames if frame.name in self.amortized_plates]
        for frame in shared:
            value = value.mean(frame.dim - event_dim, keepdim=True)
        value = full_sized(value, event_dim, [frame for frame in frames if frame not in shared])
        while shared and value.dim() > event_dim and value.shape[0] == 1:
            value = value[0]
        return value


class _SitewiseMessenger(AutoMessenger):
    """A messenger that keeps for each site parameters in unconstrained coordinates.

    They begin when the site is first met, in the attributes ``locs.{site}`` and so on.
    """

    scale_constraint = softplus_positive

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Callable[..., Any] = _MEAN,
        init_scale: float = 0.1,
        amortized_plates: Iterable[str] = (),
    ) -> None:
        super().__init__(model, amortized_plates=amortized_plates)
        self.init_loc_fn: Callable[..., Any] = init_loc_fn
        self._init_scale = checked_scale(init_scale)
        self._event_dims: dict[str, int] = {}  # of the unconstrained values
        self._holders: dict[str, tuple[Any, ...]] = {}
        self.locs: Any = PyroModule()
        self.scales: Any = PyroModule()

    def _get_params(self, name: str, prior: Any) -> tuple[Tensor, ...]:
        """Return the location and scale of a site, which begin at the first call."""
        holders = self._holders.get(name)
        if holders is None:
            if name not in self._event_dims:
                self._begin(name, prior)
            locs, key = holder_of(self.locs, name)
            holders = self._holders[name] = locs, holder_of(self.scales, name)[0], key
        locs, scales, key = holders
        return read_attribute(locs, key), read_attribute(scales, key)

    @torch.no_grad()
    def _begin(self, name: str, prior: Any) -> None:
        with block():
            value = self.init_loc_fn({"name": name, "fn": prior, "type": "sample", "infer": {}})
        value = prior.sample() if value is None else value.expand(prior.shape())
        transform = _coordinates(name, prior)
        start = value if transform is None else transform.inv(value)
        event_dim = prior.event_dim + start.dim() - value.dim()
        loc = self._full_sized(self._start_loc(name, prior, start), event_dim).clone()
        scale = torch.full_like(loc, self._init_scale)
        deep_setattr(self.locs, name, PyroParam(loc, constraints.real, event_dim))
        deep_setattr(self.scales, name, PyroParam(scale, self.scale_constraint, event_dim))
        self._event_dims[name] = event_dim

    def _start_loc(self, name: str, prior: Any, start: Tensor) -> Tensor:
        """Return the location to begin with, from the unconstrained value to begin at."""
        return start

    def _get_posterior_median(self, name: str, prior: Any) -> Tensor:
        """Return the median of a site, given the values of those before it in this run."""
        transform, (loc, _) = _coordinates(name, prior), self._center_and_scale(name, prior)
        median = loc if transform is None else transform(loc)
        return median.expand(prior.shape()).clone()

    def _center_and_scale(self, name: str, prior: Any) -> tuple[Tensor, Tensor]:
        loc, scale = self._get_params(name, prior)
        return loc, scale

    @pyro_method
    @torch.no_grad()
    def _medians(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        with block():
            at_median = InitMessenger(lambda m: self._get_posterior_median(m["name"], m["fn"]))
            model = at_median(self.model)
            record = prune_subsample_sites(trace(model).get_trace(*args, **kwargs))
        return {name: site["value"] for name, site in record.iter_stochastic_nodes()}


class AutoNormalMessenger(_SitewiseMessenger):
    r"""A guide under which every site is normal in the coordinates that its prior has in this run.

    For a site whose prior has the support :math:`X`, let :math:`T` be the bijection from
    unconstrained numbers onto :math:`X`; the posterior is that of

    .. math:: x = T(\mu + \sigma \epsilon), \quad \epsilon \sim N(0, I) .

    It is :class:`~pyro.infer.autoguide.normal.AutoNormal` for models whose supports depend on other
    sites, and with amortised plates. The parameters are the attributes ``locs.{site}`` and
    ``scales.{site}``.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values, see :mod:`pyro.infer.initialization`.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :param amortized_plates: the names of plates whose elements share their parameters.
    :raises ValueError: where ``init_scale`` is not a positive number; in a run, naming the site,
        where a latent site is discrete.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     bound = pyro.sample("bound", dist.LogNormal(0.0, 1.0))
    ...     with pyro.plate("data", len(data)):
    ...         x = pyro.sample("x", dist.Uniform(0.0, bound))
    ...         pyro.sample("y", dist.Normal(x, 1.0), obs=data)
    >>> guide = AutoNormalMessenger(model, amortized_plates=("data",))
    >>> guide(torch.zeros(5))["x"].shape, guide(torch.zeros(3))["x"].shape
    (torch.Size([5]), torch.Size([3]))
    """

    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the law of a site.

        :param name: the site's name.
        :param prior: its law in the model.
        """
        center, scale = self._center_and_scale(name, prior)
        law = Normal(center, scale, validate_args=False).to_event(self._event_dims[name])
        return _through(law, [_coordinates(name, prior)], prior.event_dim)

    def median(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the medians of the latent sites, those of later ones given those of earlier ones.

        The model runs once; within plates the values are those of the elements that it draws.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: the medians by site name.
        """
        medians: dict[str, Tensor] = self._medians(*args, **kwargs)
        return medians


class AutoHierarchicalNormalMessenger(AutoNormalMessenger):
    r"""A guide under which every site is normal around a point that its prior's mean moves.

    With :math:`m` the mean of the prior in this run, which the values of earlier sites determine,

    .. math:: x = T\bigl(\mu + w\, T^{-1}(m) + \sigma \epsilon\bigr), \quad \epsilon \sim N(0, I) .

    A weight of 0 gives the mean-field :class:`AutoNormalMessenger`; with 1 the guide says how far
    a site is from where its parents put it, as in a model without centring.

    Whether ``weights.{site}`` holds a number for each coordinate or one for the whole site
    is said by the class attribute ``weight_type``: ``"element"``, or ``"scalar"`` in a subclass.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values; the guide starts around them whatever the
        weights are.
    :param init_scale: the initial standard deviation in unconstrained coordinates.
    :param amortized_plates: the names of plates whose elements share their parameters.
    :param init_weight: the initial weight.
    :param hierarchical_sites: the names of the sites that have weights; by default all whose prior
        has a mean.
    :raises ValueError: where ``init_scale`` is not a positive number or the type of weights is
        unknown; in a run, naming the site, where one that was listed has no finite mean.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 10.0))
    ...     pyro.sample("y", dist.Normal(x, 1.0))
    >>> guide = AutoHierarchicalNormalMessenger(model, hierarchical_sites=["y"])
    >>> values = guide()
    >>> guide.weights.y.item(), hasattr(guide.weights, "x")
    (1.0, False)

    Source: Papaspiliopoulos, Roberts and Sköld 2007, *A general framework for the parametrization
    of hierarchical models*, Statistical Science 22(1), for what lies between centred and not.
    """

    weight_type = "element"

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        init_loc_fn: Callable[..., Any] = _MEAN,
        init_scale: float = 0.1,
        amortized_plates: Iterable[str] = (),
        init_weight: float = 1.0,
        hierarchical_sites: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            model,
            init_loc_fn=init_loc_fn,
            init_scale=init_scale,
            amortized_plates=amortized_plates,
        )
        if self.weight_type not in ("element", "scalar"):
            raise ValueError(f"weight_type is 'element' or 'scalar', got {self.weight_type!r}.")
        self._init_weight: float = init_weight
        self._hierarchical_sites = None if hierarchical_sites is None else {*hierarchical_sites}
        self._weighted: dict[str, tuple[Any, str]] = {}
        self.weights: Any = PyroModule()

    def _start_loc(self, name: str, prior: Any, start: Tensor) -> Tensor:
        mean = self._prior_mean(name, prior)
        if mean is None:
            return start
        event_dim = prior.event_dim + start.dim() - len(prior.shape())
        weight = torch.full_like(start, self._init_weight)
        if self.weight_type == "scalar":
            weight, event_dim = weight.new_tensor(self._init_weight), 0
        else:
            weight = self._full_sized(weight, event_dim).clone()
        deep_setattr(self.weights, name, PyroParam(weight, constraints.real, event_dim))
        self._weighted[name] = holder_of(self.weights, name)
        return start - self._init_weight * mean

    def _prior_mean(self, name: str, prior: Any) -> Tensor | None:
        """Return the prior's mean in unconstrained coordinates, None for a site without weight."""
        listed = self._hierarchical_sites
        if listed is not None and name not in listed:
            return None
        try:
            mean = _unconstrained_mean(name, prior)
        except NotImplementedError:
            mean = None
        if mean is not None and bool(mean.isfinite().all()):
            return mean
        if listed is None:
            return None
        raise site_error(
            name,
            f"it is one of the hierarchical sites, but its prior {prior} has no finite mean",
            "Leave it out of hierarchical_sites.",
        )

    def _get_params(self, name: str, prior: Any) -> tuple[Tensor, ...]:
        """Return the location and scale of a site, and its weight where it has one."""
        params = super()._get_params(name, prior)
        if name in self._weighted:
            return (*params, read_attribute(*self._weighted[name]))
        return params

    def _center_and_scale(self, name: str, prior: Any) -> tuple[Tensor, Tensor]:
        loc, scale, *weight = self._get_params(name, prior)
        if weight:
            loc = loc + weight[0] * _unconstrained_mean(name, prior)
        return loc, scale


class AutoRegressiveMessenger(_SitewiseMessenger):
    r"""A guide under which every site is its prior of this run, moved and scaled.

    With :math:`p` the prior, which the values of earlier sites determine,

    .. math:: x = T\bigl(\mu + \sigma\, T^{-1}(y)\bigr), \quad y \sim p .

    With :math:`\mu = 0` and :math:`\sigma = 1` it is the prior itself. The parameters are the
    attributes ``locs.{site}`` and ``scales.{site}``.

    :param model: the model.
    :param init_loc_fn: the strategy for initial values.
    :param init_scale: the initial factor :math:`\sigma`.
    :param amortized_plates: the names of plates whose elements share their parameters.
    :raises ValueError: where ``init_scale`` is not a positive number; in a run, naming the site,
        where a latent site is discrete.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Gamma(2.0, 1.0))
    >>> guide = AutoRegressiveMessenger(model, init_scale=0.5)
    >>> bool(guide()["x"] > 0)
    True
    """

    def _start_loc(self, name: str, prior: Any, start: Tensor) -> Tensor:
        return (1 - self._init_scale) * start

    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the law of a site.

        :param name: the site's name.
        :param prior: its law in the model.
        """
        loc, scale = self._get_params(name, prior)
        transform = _coordinates(name, prior)
        move = AffineTransform(loc, scale, event_dim=self._event_dims[name])
        inverse = None if transform is None else transform.inv
        return _through(prior, [inverse, move, transform], prior.event_dim)


def _coordinates(name: str, prior: Any) -> Transform | None:
    """Return the map from unconstrained coordinates onto a law's support; None is the identity."""
    with helpful_support_errors({"name": name, "fn": prior}):
        transform: Transform = biject_to(prior.support)
    return None if is_identity(transform) else transform


def _unconstrained_mean(name: str, prior: Any) -> Tensor:
    transform, mean = _coordinates(name, prior), prior.mean
    unconstrained: Tensor = mean if transform is None else transform.inv(mean)
    return unconstrained


def _through(law: Any, transforms: list[Transform | None], event_dim: int) -> Any:
    """Return the law of what transforms make of a draw.

    They remember what they made a draw of, unless the draw has no gradients: its density does.
    """
    steps = [transform for transform in transforms if transform is not None]
    if law.has_rsample:
        steps = [transform.with_cache() for transform in steps]
    image = TransformedDistribution(law, steps, validate_args=False) if steps else law
    return image.to_event(event_dim - image.event_dim)
