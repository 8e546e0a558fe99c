"""Transformed laws by the law before the transform."""

from typing import Any

from torch import Tensor
from torch.distributions import TransformedDistribution
from torch.distributions.transforms import ComposeTransform, Transform

from pyro._foundation.errors import site_error
from pyro.infer.reparam.computed import computed, coordinate
from pyro.infer.reparam.layers import around, core_of_kind, total
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.ops.shapes import sum_rightmost


class TransformReparam(Reparam):
    r"""Draw from the base of a transformed law, and transform the value in the model.

    For :math:`x=f(u)` with :math:`u\sim p` the auxiliary site ``{name}_base`` is :math:`u`. It can
    be reparameterised in turn, say the base of a log-normal law by
    :class:`~pyro.infer.reparam.loc_scale.LocScaleReparam`. An observed site is observed as
    :math:`f^{-1}(x)`, with the factor :math:`1/|\det\partial f/\partial u|` of its density.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.TransformedDistribution`, or where it is observed and the
        transform has no inverse.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.LogNormal(0.0, 1.0))
    >>> by_base = pyro.poutine.reparam(model, config={"x": TransformReparam()})
    >>> pyro.poutine.trace(by_base).get_trace().stochastic_nodes
    ['x_base']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_base``, and compute the site from it.

        :param msg: the site.
        """
        law = msg["fn"]
        core = core_of_kind(msg, TransformedDistribution, self)
        parts = list(core.transforms)
        transform = parts[0] if len(parts) == 1 else ComposeTransform(parts)
        if msg["is_observed"] and not transform.bijective:
            raise site_error(
                msg["name"],
                f"it is observed, and several values of the base lead to one of {core}",
                "Leave observed sites of this law out of the configuration.",
            )
        base, value = coordinate(
            msg, "base", around(law, lambda core: core.base_dist), transform.inv, transform
        )
        if not msg["is_observed"]:
            return computed(law, value)
        return computed(law, value, -total(law, _log_det(transform, base, value, core)))


def _log_det(transform: Transform, base: Tensor, value: Tensor, core: Any) -> Tensor:
    log_det: Tensor = transform.log_abs_det_jacobian(base, value)
    batch_dim = value.dim() - len(core.event_shape)
    return sum_rightmost(log_det, log_det.dim() - batch_dim)
