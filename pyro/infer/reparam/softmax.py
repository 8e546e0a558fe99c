"""Relaxed categorical laws by independent uniform variables."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro.distributions.bounded import Uniform
from pyro.distributions.categorical import RelaxedOneHotCategorical
from pyro.infer.reparam.computed import auxiliary, computed
from pyro.infer.reparam.layers import around, core_of_kind, refuse_datum
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult


class GumbelSoftmaxReparam(Reparam):
    r"""Draw from a relaxed categorical law by uniform variables.

    .. math::

        u_k \sim \mathrm{Uniform}(0, 1), \quad
        x = \mathrm{softmax}\bigl((\lambda - \log(-\log u)) / T\bigr)

    with the logits :math:`\lambda` and the temperature :math:`T`. The auxiliary site
    ``{name}_uniform`` is :math:`u`, whose posterior is simpler than one on the simplex.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.RelaxedOneHotCategorical`.
    :raises NotImplementedError: that names the site, where it is observed.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.RelaxedOneHotCategorical(torch.tensor(0.5), torch.ones(3)))
    >>> by_uniform = pyro.poutine.reparam(model, config={"x": GumbelSoftmaxReparam()})
    >>> pyro.poutine.trace(by_uniform).get_trace().stochastic_nodes
    ['x_uniform']

    Source: Maddison, Mnih and Teh 2017, *The Concrete Distribution*, ICLR, arXiv:1611.00712; Jang,
    Gu and Poole 2017, arXiv:1611.01144.
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_uniform``, and compute the site from it.

        :param msg: the site.
        """
        law, value = msg["fn"], msg["value"]
        core = core_of_kind(msg, RelaxedOneHotCategorical, self)
        refuse_datum(msg, self, "Leave it out of the configuration: its density is known.")
        temperature, logits = core.temperature, core.logits
        start = None if value is None else _uniform_of(temperature * value.log() - logits)
        u = auxiliary(f"{msg['name']}_uniform", around(law, _uniform), start)
        edge = torch.finfo(u.dtype)
        gumbel = -(-u.clamp(edge.tiny, 1 - edge.eps / 2).log()).log()
        return computed(law, ((logits + gumbel) / temperature).softmax(-1))


def _uniform(core: Any) -> Any:
    zeros = torch.zeros_like(core.logits)
    return Uniform(zeros, torch.ones_like(zeros)).to_event(1)


def _uniform_of(gumbel: Tensor) -> Tensor:
    """Return uniform variables for Gumbel ones that are known up to a common term.

    That term is chosen where the density of the Gumbel variables is largest.
    """
    common = (-gumbel).logsumexp(-1, keepdim=True) - math.log(gumbel.size(-1))
    return (-(-(gumbel + common)).exp()).exp()
