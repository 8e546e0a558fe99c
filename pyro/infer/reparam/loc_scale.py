"""Less or more of a location and scale taken out of a law."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro._foundation.errors import site_error
from pyro.distributions.stable import Stable
from pyro.infer.reparam.computed import computed, coordinate
from pyro.infer.reparam.layers import around, core_of, total
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.primitives import param


def is_location_scale(law: Any) -> bool:
    r"""Tell whether a law is that of :math:`\mu+\sigma z`, with a ``loc`` and a ``scale``.

    :param law: the law; what ``to_event``, ``mask`` and expansion put around it does not matter.

    >>> from pyro.distributions.normal import LogNormal, Normal
    >>> is_location_scale(Normal(0.0, 1.0)), is_location_scale(LogNormal(0.0, 1.0))
    (True, False)
    """
    core = core_of(law)
    try:
        declared, support = core.arg_constraints, core.support
    except NotImplementedError:
        return False
    # on a half line or an interval, location and scale would move the ends too
    return {"loc", "scale"} <= declared.keys() and support is constraints.real


class LocScaleReparam(Reparam):
    r"""Decentre a law with a location and a scale, wholly or in part.

    For :math:`x\sim p(\mu,\sigma)` and a degree :math:`c` of being centred,

    .. math::

        u \sim p(c\,\mu, \sigma^c), \quad x = \mu + \sigma^{1-c}\,(u - c\,\mu) .

    The auxiliary site ``{name}_decentered`` is :math:`u`. With ``centered=0`` its law has location
    0 and scale 1; with ``centered=1`` nothing changes. Where :math:`c` is a parameter, it is found
    along with those of a guide; the posterior is the same for each, its shape is not. An observed
    site is observed in the new coordinate, with the factor :math:`\sigma^{c-1}` of its density.

    :param centered: the degree :math:`c`, between 0 and 1, a number or a tensor that broadcasts
        with the site's value; None makes it the parameter ``{name}_centered`` of the event's shape.
    :param shape_params: the names of the law's other parameters; None finds them.
    :raises ValueError: where ``centered`` is not between 0 and 1; that names the site, where its
        law has no location and scale.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     top = pyro.sample("top", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(top, 0.1))
    >>> decentred = pyro.poutine.reparam(model, config={"x": LocScaleReparam(centered=0)})
    >>> pyro.poutine.trace(decentred).get_trace().stochastic_nodes
    ['top', 'x_decentered']

    Source: Gorinova, Moore and Hoffman 2020, *Automatic Reparameterisation of Probabilistic
    Programs*, ICML, arXiv:1906.03028.
    """

    def __init__(
        self, centered: float | Tensor | None = None, shape_params: Sequence[str] | None = None
    ) -> None:
        if centered is not None:
            degree = torch.as_tensor(centered)
            if not bool(((degree >= 0) & (degree <= 1)).all()):
                raise ValueError(f"LocScaleReparam: centered is {centered}, expected 0 to 1.")
        self.centered = centered
        self.shape_params = None if shape_params is None else list(shape_params)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_decentered``, and compute the site from it.

        :param msg: the site.
        """
        law, degree = msg["fn"], self._degree(msg)
        if isinstance(degree, int | float) and degree == 1:
            return {"fn": law, "value": msg["value"], "is_observed": bool(msg["is_observed"])}
        core = core_of(law)
        loc = core.loc_s0 if isinstance(core, Stable) else core.loc
        scale = core.scale
        start, stretch = degree * loc, scale ** (1 - degree)
        names = core.arg_constraints if self.shape_params is None else self.shape_params
        shape = {name: getattr(core, name) for name in names if name not in ("loc", "scale")}

        def less_centred(core: Any) -> Any:
            return type(core)(loc=start, scale=scale**degree, **shape)

        _, value = coordinate(
            msg,
            "decentered",
            around(law, less_centred),
            lambda x: start + (x - loc) / stretch,
            lambda u: loc + stretch * (u - start),
        )
        lacking = -total(law, stretch.log()) if msg["is_observed"] else 0.0
        return computed(law, value, lacking)

    def _degree(self, msg: ReparamMessage) -> Any:
        name, law = msg["name"], msg["fn"]
        if not is_location_scale(law):
            raise site_error(
                name,
                f"LocScaleReparam takes laws over all real numbers with a loc and a scale, not "
                f"{core_of(law)}",
                "For a law that is a transformed one use TransformReparam() first; AutoReparam() "
                "does so.",
            )
        if self.centered is not None:
            return self.centered
        loc, shape = core_of(law).loc, law.event_shape
        return param(
            f"{name}_centered", lambda: loc.new_full(shape, 0.5), constraints.unit_interval
        )
