"""All latent sites in the coordinates of a flow that was fitted to the posterior."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.infer.autoguide.coordinates import coordinates_of
from pyro.infer.reparam.computed import auxiliary, computed, outside_plates
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.poutine.handlers import reparam
from pyro.primitives import factor


class NeuTraReparam(Reparam):
    r"""Sample a posterior in coordinates in which it is nearly normal.

    A guide that was fitted maps standard normal vectors :math:`u` by its transform :math:`f` to the
    unconstrained values of all latent sites, and these by :math:`T` to the values,
    :math:`x=T(f(u))`. In the coordinates :math:`u` the joint density is

    .. math:: p(x, y)\,\Bigl|\det\frac{\partial T(f(u))}{\partial u}\Bigr| ,

    which is the closer to a normal one the better the guide fits. The auxiliary site
    ``{first site}_shared_latent`` is :math:`u`; the factor ``{first site}_shared_latent_log_det``
    holds the determinant of :math:`f`, and each site that of its part of :math:`T`.

    :param guide: a guide that has run, of a kind that has a transform, as
        :class:`~pyro.infer.autoguide.AutoMultivariateNormal` and
        :class:`~pyro.infer.autoguide.AutoNormalizingFlow` have.
    :raises TypeError: where it is no :class:`~pyro.infer.autoguide.AutoContinuous`.
    :raises ValueError: when the model runs, where the guide has not; that names the site, where it
        is not one of the guide's, or is observed.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer.autoguide import AutoMultivariateNormal
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.LogNormal(x, 1.0))
    >>> guide = AutoMultivariateNormal(model)
    >>> values = guide()  # here it would be fitted by SVI
    >>> neutra = NeuTraReparam(guide)
    >>> straight = neutra.reparam(model)
    >>> record = pyro.poutine.trace(straight).get_trace()
    >>> record.stochastic_nodes
    ['x_shared_latent']
    >>> sorted(neutra.transform_sample(record.nodes["x_shared_latent"]["value"]))
    ['x', 'y']

    Source: Hoffman et al. 2019, arXiv:1903.03704.
    """

    def __init__(self, guide: AutoContinuous) -> None:
        if not isinstance(guide, AutoContinuous):
            raise TypeError(
                "NeuTraReparam takes a guide with one vector for all sites, such as "
                f"AutoMultivariateNormal or AutoIAFNormal, not {type(guide).__name__}."
            )
        self.guide = guide
        self._values: dict[str, Tensor] = {}  # unconstrained, of the run that is under way

    def _reparam_config(self, msg: Any) -> "NeuTraReparam | None":
        prototype = self.guide.prototype_trace
        if prototype is None:
            raise ValueError(
                "NeuTraReparam: the guide has not run yet. Fit it by SVI, or call it once."
            )
        is_its = msg["name"] in prototype and prototype.nodes[msg["name"]]["type"] == "sample"
        return self if is_its else None

    def reparam(self, fn: Callable[..., Any] | None = None) -> Any:
        """Return the model in the new coordinates.

        :param fn: the model; left out, a handler is returned.
        """
        if fn is None:
            return reparam(config=self._reparam_config)
        return reparam(fn, config=self._reparam_config)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw the vector at the first site of a run, and compute each site from its part.

        :param msg: the site.
        """
        name, law = msg["name"], msg["fn"]
        if self._reparam_config(msg) is None or msg["is_observed"]:
            raise site_error(
                name,
                "it is observed, or no latent site of the guide's model",
                "Reparameterise the model that the guide was made from, by neutra.reparam(model).",
            )
        if name not in self._values:
            self._values = self._draw(name)
        unconstrained = self._values.pop(name)
        point = coordinates_of(msg).point_at(unconstrained)
        return computed(law, point.v, law.log_prob(point.v) - point.log_density)

    def _draw(self, name: str) -> dict[str, Tensor]:
        guide = self.guide
        args, kwargs = self.args_kwargs or ((), {})
        transform = guide.get_transform(*args, **kwargs)
        own = {f.name for frames in guide._cond_indep_stacks.values() for f in frames}
        with outside_plates(own):
            aux = f"{name}_shared_latent"
            latent = auxiliary(aux, guide.get_base_dist().mask(False))
            moved = transform(latent)
            log_det = transform.log_abs_det_jacobian(latent, moved)
            factor(f"{aux}_log_det", log_det)
        return guide._unpacked(moved)

    def transform_sample(self, latent: Tensor) -> dict[str, Tensor]:
        """Return the values of all latent sites, for samples of the vector.

        :param latent: of shape ``(..., latent_dim)``.
        :returns: values by the names of sites, with what stands on the left of the vector's
            dimension on the left.
        """
        guide = self.guide
        moved = guide.get_transform()(latent)
        batch = moved.shape[:-1]
        ones = (1,) * max(part.batch_dim for part in guide._parts.values())
        rows = moved.reshape((-1, *ones, moved.size(-1)))  # with room for the plates
        values = {}
        for site, unconstrained in guide._unpack_latent(rows):
            value = coordinates_of(site).value_at(unconstrained)
            values[site["name"]] = value.reshape(batch + site["value"].shape)
        return values
