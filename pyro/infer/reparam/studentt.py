"""Student's t law as a normal one whose precision is drawn."""

from typing import Any

from pyro.distributions.gamma import Gamma
from pyro.distributions.heavy_tailed import StudentT
from pyro.distributions.normal import Normal
from pyro.infer.reparam.computed import auxiliary
from pyro.infer.reparam.layers import around, core_of_kind
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult


class StudentTReparam(Reparam):
    r"""Write Student's t law as a normal law whose precision is drawn from a gamma law.

    .. math::

        g \sim \mathrm{Gamma}(\nu/2, \nu/2), \quad x \sim \mathrm{Normal}(\mu, \sigma/\sqrt g) .

    The auxiliary site ``{name}_gamma`` is :math:`g`. The site stays one that is drawn or observed,
    and is conjugate to other normal laws.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.StudentT`.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.StudentT(3.0, 0.0, 1.0))
    >>> as_normal = pyro.poutine.reparam(model, config={"x": StudentTReparam()})
    >>> pyro.poutine.trace(as_normal).get_trace().stochastic_nodes
    ['x_gamma', 'x']

    Source: Andrews and Mallows 1974, *Scale Mixtures of Normal Distributions*, JRSS B 36(1).
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_gamma``, and make the site's law normal.

        :param msg: the site.
        """
        law = msg["fn"]
        core_of_kind(msg, StudentT, self)
        gamma = auxiliary(f"{msg['name']}_gamma", around(law, _precision, masks=False))
        fn = around(law, lambda core: Normal(core.loc, core.scale * gamma.rsqrt()))
        return {"fn": fn, "value": msg["value"], "is_observed": bool(msg["is_observed"])}


def _precision(core: Any) -> Gamma:
    half = core.df / 2
    return Gamma(half, half)
