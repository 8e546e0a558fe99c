"""Latent sites in the coordinates of a structured guide that was fitted to the posterior."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.normal import Normal
from pyro.infer.autoguide.coordinates import elements_that_run
from pyro.infer.autoguide.structured import AutoStructured
from pyro.infer.reparam.computed import auxiliary, computed, outside_plates
from pyro.infer.reparam.layers import refuse_datum
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.ops.matrices import matvecmul
from pyro.ops.shapes import broadcast_shape, sum_rightmost
from pyro.poutine.handlers import block, condition, mask, reparam


class StructuredReparam(Reparam):
    r"""Sample a posterior in coordinates in which it is nearly normal, site by site.

    A guide that was fitted computes the unconstrained values of each site from standard normal
    vectors :math:`u`, its own and those of the sites that it depends on; :math:`T` leads to values.
    In the coordinates :math:`u` the joint density is

    .. math:: p(x, y)\,\Bigl|\det\frac{\partial x}{\partial u}\Bigr| ,

    which is the closer to a normal one the better the guide fits. The auxiliary site
    ``{name}_aux`` is the vector of a site, before the guide stretches it, and each site has its
    part of the determinant. A site whose conditional is ``"delta"`` has neither; its density is
    that of the value. A callable conditional is taken to return what it sampled, at sites of its
    own that then have no density.

    :param guide: a guide that has run.
    :raises TypeError: where it is no :class:`~pyro.infer.autoguide.AutoStructured`.
    :raises ValueError: when the model runs, where the guide has not; that names the site, where it
        is not one of the guide's.
    :raises NotImplementedError: that names the site, where it is observed.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.LogNormal(x, 1.0))
    >>> guide = AutoStructured(model)
    >>> values = guide()  # here it would be fitted by SVI
    >>> structured = StructuredReparam(guide)
    >>> straight = structured.reparam(model)
    >>> record = pyro.poutine.trace(straight).get_trace()
    >>> record.stochastic_nodes
    ['x_aux', 'y_aux']
    >>> drawn = {name: record.nodes[name]["value"] for name in record.stochastic_nodes}
    >>> sorted(structured.transform_samples(drawn))
    ['x', 'y']

    Source: Hoffman et al. 2019, arXiv:1903.03704, for one vector of all sites.
    """

    def __init__(self, guide: AutoStructured) -> None:
        if not isinstance(guide, AutoStructured):
            raise TypeError(
                f"StructuredReparam takes an AutoStructured, not {type(guide).__name__}. For "
                "guides with one vector for all sites there is NeuTraReparam."
            )
        self.guide = guide
        self._coordinates: dict[str, Tensor] = {}  # of the run that is under way

    def _reparam_config(self, msg: Any) -> "StructuredReparam | None":
        if self.guide.prototype_trace is None:
            raise ValueError(
                "StructuredReparam: the guide has not run yet. Fit it by SVI, or call it once."
            )
        return self if msg["name"] in self.guide._sites else None

    def reparam(self, fn: Callable[..., Any] | None = None) -> Any:
        """Return the model in the new coordinates.

        :param fn: the model; left out, a handler is returned.
        """
        if fn is None:
            return reparam(config=self._reparam_config)
        return reparam(fn, config=self._reparam_config)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw all vectors at the first site of a run, and compute each site from its coordinates.

        :param msg: the site.
        """
        name, law, guide = msg["name"], msg["fn"], self.guide
        remedy = "Reparameterise the model that the guide was made from, by structured.reparam()."
        refuse_datum(msg, self, remedy)
        if self._reparam_config(msg) is None:
            raise site_error(name, "it is no latent site of the guide's model", remedy)
        if name not in self._coordinates:
            own = {f.name for frames in guide._cond_indep_stacks.values() for f in frames}
            with outside_plates(own), mask(mask=False):
                self._coordinates = guide._coordinates(guide._order, self._drawn_deviation)
        point = guide._point(name, self._coordinates.pop(name))
        log_density = law.log_prob(point.v)
        if guide._kinds[name] != "delta":  # which is no random variable to change to another
            log_density = log_density + self._log_stretch(name) - point.log_density
        return computed(law, point.v, log_density)

    def _drawn_deviation(self, name: str) -> Tensor | float:
        def vector(size: Tensor) -> Tensor:
            law = Normal(torch.zeros_like(size), torch.ones_like(size), validate_args=False)
            drawn: Tensor = auxiliary(f"{name}_aux", law.to_event(1))
            return drawn

        return self._deviation(name, vector)

    def _deviation(self, name: str, vector: Callable[[Tensor], Tensor]) -> Tensor | float:
        """Return how far a site is off by itself, given a function that returns its vector."""
        guide = self.guide
        if not self._has_vector(name):
            own: Tensor | float = guide._deviation(name)
            return own
        scale: Tensor = guide._get("scales", name)
        stretched = vector(scale)
        if ("scale_trils", name, None) in guide._held:
            stretched = matvecmul(guide._get("scale_trils", name), stretched)
        return scale * stretched

    def _has_vector(self, name: str) -> bool:
        kind = self.guide._kinds[name]
        return isinstance(kind, str) and kind != "delta"

    def _log_stretch(self, name: str) -> Tensor | float:
        """Return the logarithm of what a site's coordinates are stretched by, for each element."""
        if not self._has_vector(name):
            return 0.0
        shape, event_dim = self.guide._shapes[name]
        logs = elements_that_run(self.guide._get("scales", name).log(), shape, event_dim)
        return sum_rightmost(logs, event_dim)

    def transform_samples(
        self, aux_samples: Mapping[str, Tensor], save_params: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the values of latent sites, for samples of auxiliary ones.

        :param aux_samples: samples by the names of auxiliary sites, with the same dimensions on the
            left of the rightmost one.
        :param save_params: the names of the sites to return; all by default.
        :returns: values by the names of sites, with those dimensions on the left.
        :raises ValueError: that names a site whose auxiliary samples are missing.
        """
        guide, shapes = self.guide, self.guide._shapes
        wanted = guide._order if save_params is None else [*save_params]
        batch = broadcast_shape(*(x.shape[:-1] for x in aux_samples.values()))
        plates = max(len(shape.full) - shape.event_dim for shape in shapes.values())
        room = (torch.Size(batch).numel(), *(1,) * plates)
        rows = {
            name: x.expand(*batch, x.size(-1)).reshape(*room, x.size(-1))
            for name, x in aux_samples.items()
        }

        def deviation(name: str) -> Tensor | float:
            def vector(size: Tensor) -> Tensor:
                if f"{name}_aux" not in rows:
                    raise site_error(
                        name,
                        f"there are no samples of {name + '_aux'!r} among those of {sorted(rows)}",
                        "Pass samples of all auxiliary sites.",
                    )
                return rows[f"{name}_aux"]

            return self._deviation(name, vector)

        with block(), condition(data=rows):
            coordinates = guide._coordinates(wanted, deviation)
        values = {}
        for name in wanted:
            vector = coordinates[name].expand(*room, -1)
            value, shape = guide._point(name, vector).v, shapes[name]
            others = 1 + plates - (len(shape.full) - shape.event_dim)
            values[name] = value.reshape(batch + tuple(value.shape[others:]))
        return values
