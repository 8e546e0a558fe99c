"""Directions by normal vectors."""

from typing import Any

import torch

from pyro.distributions.normal import Normal
from pyro.distributions.projected_normal import ProjectedNormal
from pyro.infer.reparam.computed import auxiliary, computed
from pyro.infer.reparam.layers import around, core_of_kind, refuse_datum
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult
from pyro.ops.matrices import safe_normalize


class ProjectedNormalReparam(Reparam):
    r"""Draw a direction by the normal vector that points in it.

    The auxiliary site ``{name}_normal`` is the vector, which has neither poles nor a boundary, so
    that inference by gradients can go where it likes.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.ProjectedNormal`.
    :raises NotImplementedError: that names the site, where it is observed.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.ProjectedNormal(torch.zeros(3)))
    >>> by_vector = pyro.poutine.reparam(model, config={"x": ProjectedNormalReparam()})
    >>> pyro.poutine.trace(by_vector).get_trace().stochastic_nodes
    ['x_normal']
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_normal``, and compute the site from it.

        :param msg: the site.
        """
        law = msg["fn"]
        core_of_kind(msg, ProjectedNormal, self)
        refuse_datum(msg, self, "Leave it out of the configuration: its density is known.")
        vector = auxiliary(f"{msg['name']}_normal", around(law, _unprojected), msg["value"])
        return computed(law, safe_normalize(vector))


def _unprojected(core: Any) -> Any:
    loc = core.concentration
    return Normal(loc, torch.ones_like(loc)).to_event(1)
