"""Stable laws by uniform and exponential variables, and by normal ones."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.bounded import Uniform
from pyro.distributions.checking import is_readable
from pyro.distributions.gamma import Exponential
from pyro.distributions.normal import Normal
from pyro.distributions.stable import Stable, skew_excess, stable_from_noise
from pyro.infer.reparam.computed import auxiliary, computed
from pyro.infer.reparam.layers import around, core_of_kind, refuse_datum
from pyro.infer.reparam.reparam import Reparam, ReparamMessage, ReparamResult

_HALF_PI = math.pi / 2


class _Noise(NamedTuple):
    """What a stable variable is computed from."""

    angle: Tensor  # uniform between plus and minus half of pi
    wait: Tensor  # exponential


def _draw_noise(name: str, law: Any, masks: bool = False) -> _Noise:
    def uniform(core: Any) -> Any:
        edge = torch.full_like(core.scale, _HALF_PI)
        return Uniform(-edge, edge)

    def exponential(core: Any) -> Any:
        return Exponential(torch.ones_like(core.scale))

    angle = auxiliary(f"{name}_uniform", around(law, uniform, masks))
    return _Noise(angle, auxiliary(f"{name}_exponential", around(law, exponential, masks)))


class LatentStableReparam(Reparam):
    r"""Compute a latent stable variable from a uniform and an exponential one.

    The auxiliary sites are ``{name}_uniform``, between :math:`\pm\pi/2`, and
    ``{name}_exponential``; the site follows from them by the method of Chambers, Mallows and
    Stuck, :func:`~pyro.distributions.stable.stable_from_noise`.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.Stable`.
    :raises NotImplementedError: that names the site, where it is observed.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Stable(torch.tensor(1.5), 0.3))
    >>> by_noise = pyro.poutine.reparam(model, config={"x": LatentStableReparam()})
    >>> pyro.poutine.trace(by_noise).get_trace().stochastic_nodes
    ['x_uniform', 'x_exponential']

    Source: Chambers, Mallows and Stuck 1976, *A Method for Simulating Stable Random Variables*,
    JASA 71(354).
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_uniform`` and ``{name}_exponential``, and compute the site from them.

        :param msg: the site.
        """
        law = msg["fn"]
        core = core_of_kind(msg, Stable, self)
        refuse_datum(msg, self, "Use StableReparam(), or SymmetricStableReparam() without skew.")
        noise = _draw_noise(msg["name"], law, masks=True)
        standard = stable_from_noise(core.stability, core.skew, *noise)
        return computed(law, core.loc_s0 + core.scale * standard)


class SymmetricStableReparam(Reparam):
    r"""Write a symmetric stable law as a normal law whose variance is drawn.

    With :math:`a` positive and stable with exponent :math:`\alpha/2`, such that
    :math:`E\,e^{-sa}=e^{-s^{\alpha/2}}`,

    .. math:: x \sim \mathrm{Normal}(\mu, \sigma\sqrt{2a}) .

    The auxiliary sites ``{name}_uniform`` and ``{name}_exponential`` give :math:`a` by Kanter's
    formula. The site stays one that is drawn or observed.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.Stable`, or is skew.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Stable(torch.tensor(1.5), 0.0), obs=torch.tensor(2.0))
    >>> as_normal = pyro.poutine.reparam(model, config={"x": SymmetricStableReparam()})
    >>> pyro.poutine.trace(as_normal).get_trace().stochastic_nodes
    ['x_uniform', 'x_exponential']

    Source: Kanter 1975, *Stable Densities under Change of Scale and Total Variation Inequalities*,
    Annals of Probability 3(4); West 1987, *On scale mixtures of normal distributions*,
    Biometrika 74(3).
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw ``{name}_uniform`` and ``{name}_exponential``, and make the site's law normal.

        :param msg: the site.
        """
        law = msg["fn"]
        core = core_of_kind(msg, Stable, self)
        if is_readable(core.skew) and bool((core.skew != 0).any()):
            raise site_error(
                msg["name"],
                f"SymmetricStableReparam is for laws without skew, but skew is {core.skew}",
                "Use StableReparam().",
            )
        noise = _draw_noise(msg["name"], law)
        variance = 2 * positive_stable(core.stability / 2, *noise)
        fn = around(law, lambda core: Normal(core.loc, core.scale * variance.sqrt()))
        return {"fn": fn, "value": msg["value"], "is_observed": bool(msg["is_observed"])}


class StableReparam(Reparam):
    r"""Write a stable law as a normal law whose mean and variance are drawn.

    A stable variable is the sum of two, of which one may be symmetric. Here that has the share
    :math:`(1-\beta^2)/2` of :math:`\sigma^\alpha`, and is normal given its variance, as in
    :class:`SymmetricStableReparam`; the other has skewness :math:`2\beta/(1+\beta^2)`, and is
    computed as in :class:`LatentStableReparam`. All is smooth in the parameters, also where skew is
    0 or the exponent is 1. The auxiliary sites are ``{name}_z_uniform`` and
    ``{name}_z_exponential`` for the skew part, ``{name}_t_uniform`` and ``{name}_t_exponential``
    for the variance. The site stays one that is drawn or observed.

    :raises ValueError: that names the site, where its law is no
        :class:`~pyro.distributions.Stable`, or as skew as can be, so that no part is symmetric.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("x", dist.Stable(torch.tensor(1.5), 0.3), obs=torch.tensor(2.0))
    >>> as_normal = pyro.poutine.reparam(model, config={"x": StableReparam()})
    >>> pyro.poutine.trace(as_normal).get_trace().stochastic_nodes
    ['x_z_uniform', 'x_z_exponential', 'x_t_uniform', 'x_t_exponential']

    Source: Nolan 2020, *Univariate Stable Distributions*, proposition 1.3, for sums.
    """

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Draw the four auxiliary sites, and make the site's law normal.

        :param msg: the site.
        """
        name, law = msg["name"], msg["fn"]
        core = core_of_kind(msg, Stable, self)
        alpha, skew = core.stability, core.skew
        if is_readable(skew) and bool((skew.abs() >= 1).any()):
            raise site_error(
                name,
                f"StableReparam needs a skew between -1 and 1, both excluded, got {skew}",
                "Use LatentStableReparam() where the site is latent; restrict the skew where it "
                "is observed.",
            )
        skew_share, even_share = (1 + skew.square()) / 2, (1 - skew.square()) / 2
        by_skew, by_variance = _draw_noise(f"{name}_z", law), _draw_noise(f"{name}_t", law)
        log_size = skew_share.log() / alpha
        part = log_size.exp() * stable_from_noise(alpha, skew / skew_share, *by_skew)
        # in coordinates in which locations add up, sizes of parts enter them
        moved = part + skew * skew_excess(alpha, log_size)
        spread = even_share ** (1 / alpha) * (2 * positive_stable(alpha / 2, *by_variance)).sqrt()
        fn = around(law, lambda core: Normal(core.loc_s0 + core.scale * moved, core.scale * spread))
        return {"fn": fn, "value": msg["value"], "is_observed": bool(msg["is_observed"])}


def positive_stable(exponent: Tensor, angle: Tensor, wait: Tensor) -> Tensor:
    r"""Return positive variables :math:`a` with :math:`E\,e^{-sa}=e^{-s^\rho}`.

    .. math::

        a = \frac{\sin\rho\phi}{(\sin\phi)^{1/\rho}}
            \Bigl(\frac{\sin(1-\rho)\phi}{w}\Bigr)^{(1-\rho)/\rho}

    :param exponent: the exponent :math:`\rho`, above 0 and at most 1.
    :param angle: uniform variables :math:`\phi-\pi/2`, between :math:`\pm\pi/2`.
    :param wait: exponential variables :math:`w`.

    >>> positive_stable(torch.tensor(1.0), torch.tensor(0.3), torch.tensor(2.0))
    tensor(1.)
    """
    edge = torch.finfo(angle.dtype)
    phi = (angle + _HALF_PI).clamp(_HALF_PI * edge.eps, math.pi * (1 - edge.eps))
    rest = 1 - exponent
    tail = (rest * phi).sin().clamp(min=edge.tiny).log() - wait.clamp(min=edge.tiny).log()
    log = (exponent * phi).sin().log() + (rest * tail - phi.sin().log()) / exponent
    return log.exp()
