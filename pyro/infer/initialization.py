"""Where inference starts: a value for each latent site.

A strategy takes a site, a message that has a law and no value yet, and gives the value to start
from. Called without a site it gives itself with its options filled in, which is what guides and
kernels take: ``AutoNormal(model, init_loc_fn=init_to_median(num_samples=31))``.

Values are found in unconstrained coordinates :math:`u`, with :math:`x = T(u)` and :math:`T` the
:func:`torch.distributions.transform_to` of the law's support, so that they lie inside the support.
A site without such coordinates, a discrete one for example, keeps a draw of its law.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import transform_to
from torch.distributions.transforms import Transform

from pyro._foundation.errors import site_error
from pyro._foundation.validation import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import site_is_subsample

Site = Mapping[str, Any]
Strategy = Callable[..., Any]


def _draw(site: Site, sample_shape: tuple[int, ...] = ()) -> Tensor:
    draw: Tensor = site["fn"].sample(torch.Size(sample_shape))
    return draw.detach()


def _coordinates(site: Site) -> Transform | None:
    """Return the map from unconstrained coordinates onto the support, where there is one."""
    try:
        coordinates: Transform = transform_to(site["fn"].support)
    except NotImplementedError:
        return None
    return coordinates


def _lies_inside(site: Site, value: Tensor) -> bool:
    inside = site["fn"].support.check(value)
    return bool(inside.all()) and bool(value.isfinite().all())


def init_to_feasible(site: Site | None = None) -> Any:
    """Start at ``T(0)``, a point of the support whatever the law's parameters are.

    :param site: the site.
    :returns: the value, or the strategy where no site is given.

    >>> import pyro.distributions as dist
    >>> init_to_feasible({"fn": dist.Uniform(1.0, 3.0)})
    tensor(2.)
    """
    if site is None:
        return init_to_feasible
    draw, coordinates = _draw(site), _coordinates(site)
    if coordinates is None:
        return draw
    return coordinates(draw.new_zeros(coordinates.inverse_shape(draw.shape)))


def init_to_uniform(site: Site | None = None, radius: float = 2.0) -> Any:
    """Start at a random point, uniform in a cube of unconstrained coordinates around 0.

    :param site: the site.
    :param radius: half the length of the cube's edges.
    :returns: the value, or the strategy where no site is given.

    >>> import pyro.distributions as dist
    >>> bool(init_to_uniform({"fn": dist.HalfNormal(1.0)}, radius=0.1) < 1.2)
    True

    Source: Carpenter et al. 2017, *Stan*, Journal of Statistical Software 76(1), section 2.8.
    """
    if site is None:
        return functools.partial(init_to_uniform, radius=radius)
    draw, coordinates = _draw(site), _coordinates(site)
    if coordinates is None:
        return draw
    cube = draw.new_empty(coordinates.inverse_shape(draw.shape)).uniform_(-radius, radius)
    return coordinates(cube)


def init_to_sample(site: Site | None = None) -> Any:
    """Start at a draw of the law.

    :param site: the site.
    :returns: the value, or the strategy where no site is given.

    >>> import pyro.distributions as dist
    >>> init_to_sample({"fn": dist.Delta(torch.tensor(3.0))})
    tensor(3.)
    """
    return init_to_sample if site is None else _draw(site)


def init_to_median(
    site: Site | None = None, num_samples: int = 15, *, fallback: Strategy = init_to_feasible
) -> Any:
    """Start near the law's median: at the median of some draws.

    Medians are taken coordinate by coordinate, unconstrained. They are random, so that sites with
    one law start apart, as the components of a mixture must.

    :param site: the site.
    :param num_samples: how many draws; an odd number.
    :param fallback: the strategy for sites where the median is not finite.
    :returns: the value, or the strategy where no site is given.
    :raises ValueError: where ``num_samples`` is not positive.

    >>> import pyro.distributions as dist
    >>> bool(abs(init_to_median({"fn": dist.Normal(0.0, 1.0)}, num_samples=10001)) < 0.1)
    True
    """
    if num_samples < 1:
        raise ValueError(f"init_to_median() needs at least one sample, got {num_samples}.")
    if site is None:
        return functools.partial(init_to_median, num_samples=num_samples, fallback=fallback)
    coordinates = _coordinates(site)
    if coordinates is None:
        return fallback(site)
    median = coordinates(coordinates.inv(_draw(site, (num_samples,))).median(dim=0).values)
    return median if _lies_inside(site, median) else fallback(site)


def init_to_mean(site: Site | None = None, *, fallback: Strategy = init_to_median) -> Any:
    """Start at the law's mean.

    :param site: the site.
    :param fallback: the strategy for laws that have no finite mean inside their support.
    :returns: the value, or the strategy where no site is given.

    >>> import pyro.distributions as dist
    >>> init_to_mean({"fn": dist.Gamma(3.0, 2.0)})
    tensor(1.5000)
    """
    if site is None:
        return functools.partial(init_to_mean, fallback=fallback)
    try:
        mean = site["fn"].mean.detach()
    except NotImplementedError:
        return fallback(site)
    return mean if _lies_inside(site, mean) else fallback(site)


def init_to_value(
    site: Site | None = None,
    values: Mapping[str, Any] = {},
    *,
    fallback: Strategy | None = init_to_uniform,
) -> Any:
    """Start at given values.

    :param site: the site.
    :param values: values by the names of sites.
    :param fallback: the strategy for other sites; None leaves these to their laws.
    :returns: the value, or the strategy where no site is given.

    >>> init_to_value({"name": "x"}, values={"x": 3.0})
    tensor(3.)
    """
    if site is None:
        return functools.partial(init_to_value, values=values, fallback=fallback)
    if site["name"] in values:
        return torch.as_tensor(values[site["name"]])
    return None if fallback is None else fallback(site)


class _OneStrategyARun:
    """Asks for a strategy whenever a run of the model begins, which a name seen before tells."""

    def __init__(self, generate: Callable[[], Strategy]) -> None:
        self.generate = generate
        self.strategy: Strategy | None = None
        self.seen: set[str] = set()

    def __call__(self, site: Site) -> Any:
        if self.strategy is None or site["name"] in self.seen:
            self.strategy = self.generate()
            self.seen.clear()
        self.seen.add(site["name"])
        return self.strategy(site)


def init_to_generated(
    site: Site | None = None, generate: Callable[[], Strategy] = lambda: init_to_uniform
) -> Any:
    """Start as a strategy says that is made anew for each run of the model.

    :param site: the site.
    :param generate: makes the strategy, for example one with random values for several sites.
    :returns: the value, or the strategy where no site is given.

    >>> def generate():
    ...     start = torch.randn(())
    ...     return init_to_value(values={"x": start, "y": start})
    >>> strategy = init_to_generated(generate=generate)
    >>> bool(strategy({"name": "x"}) == strategy({"name": "y"}))
    True
    """
    strategy = _OneStrategyARun(generate)
    return strategy if site is None else strategy(site)


class InitMessenger(Messenger):
    """Give each latent site the value that a strategy has for it.

    Sites that have a value already, observed and replayed ones for example, keep it.

    :param init_fn: the strategy: takes the site, gives its value, or None to let it draw.
    :raises ValueError: that names the site, where the value's shape is not the law's.
    :raises TypeError: that names the site, where the value is no tensor.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     return pyro.sample("x", dist.Exponential(2.0))
    >>> InitMessenger(init_to_mean)(model)()
    tensor(0.5000)
    """

    def __init__(self, init_fn: Strategy) -> None:
        super().__init__()
        self.init_fn = init_fn

    def _pyro_sample(self, msg: Message) -> None:
        if msg["done"] or msg["is_observed"] or msg["value"] is not None or site_is_subsample(msg):
            return
        value = self.init_fn(msg)
        if value is None:
            return
        if is_validation_enabled():
            _check_value(msg, value)
        msg["value"] = value
        msg["done"] = True


def _check_value(msg: Message, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise site_error(
            msg["name"], f"the initial value is {value!r}, expected a tensor", kind=TypeError
        )
    expected = msg["fn"].shape()
    if value.shape != expected:
        raise site_error(
            msg["name"],
            f"the initial value has shape {tuple(value.shape)}, expected {tuple(expected)}, the "
            "shape of the law inside its plates",
            "Expand the value; in a subsampled plate it is that of the elements which are drawn.",
        )
