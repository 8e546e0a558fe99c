"""The evidence lower bound of guides whose sites are independent, with analytic divergences."""

from typing import Any

import torch
from torch.distributions import kl_divergence

from pyro._foundation.validation import is_validation_enabled
from pyro._foundation.warnings import warn_once
from pyro.infer.elbo import Args, Kwargs, Program
from pyro.infer.jit_elbo import JitELBO
from pyro.infer.trace_elbo import Node, Term, Trace_ELBO
from pyro.ops.masking import scale_and_mask
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace


class TraceMeanField_ELBO(Trace_ELBO):
    r"""Estimates :math:`-E_{q(z)}[\log p(x \mid z)] + \sum_i E_q[\mathrm{KL}(q(z_i)\,\|\,p(z_i))]`.

    This is the loss of :class:`~pyro.infer.trace_elbo.Trace_ELBO` with the divergence of every site
    in closed form where one is registered, which takes its sampling noise away; a site without one
    is estimated from its draw. Each divergence is scaled, masked and summed over plates as its
    site's density would be; where guide and model scale or mask a site differently there is no
    divergence to speak of, and the site is estimated from its draw as well.

    A closed form stands for the expectation over a site's draw, so that the model's law of the site
    may only depend on sites which the guide draws before it. Guides that factorise over sites
    comply, as do those that draw their sites in the model's order.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(1.0, 2.0))
    >>> exact = torch.distributions.kl_divergence(dist.Normal(1.0, 2.0), dist.Normal(0.0, 1.0))
    >>> bool(exact == TraceMeanField_ELBO().loss(model, guide))
    True

    Source: Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, arXiv:1312.6114, appendix B.
    """

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        model_trace, guide_trace = super()._get_trace(model, guide, args, kwargs)
        if is_validation_enabled():
            _check_order(model_trace, guide_trace)
        return model_trace, guide_trace

    def _terms(self, model_trace: Trace, guide_trace: Trace) -> tuple[list[Term], list[Term]]:
        gains, charges = super()._terms(model_trace, guide_trace)
        divergences = {}
        for name, guide_site in guide_trace.nodes.items():
            model_site = model_trace.nodes.get(name)
            if model_site is not None and site_is_latent(model_site) and site_is_latent(guide_site):
                divergence = _divergence(guide_site, model_site)
                if divergence is not None:
                    guide_site["divergence"] = divergence
                    divergences[name] = Term(guide_site, divergence, divergence.sum(), True)
        if not divergences:
            return gains, charges
        return (
            [term for term in gains if term.site["name"] not in divergences],
            [divergences.get(term.site["name"], term) for term in charges],
        )


class JitTraceMeanField_ELBO(JitELBO, TraceMeanField_ELBO):
    """Like :class:`TraceMeanField_ELBO`, compiled.

    From the third step on, no Python of model and guide is run; see
    :class:`~pyro.infer.jit_elbo.JitELBO` for what that asks of them.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> def guide(data):
    ...     pyro.sample("z", dist.Delta(pyro.param("mode", torch.tensor(0.0))))
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), JitTraceMeanField_ELBO())
    >>> losses = [svi.step(torch.tensor(2.0)) for _ in range(100)]
    >>> round(pyro.param("mode").item(), 1)
    1.0
    """


def _divergence(guide_site: Node, model_site: Node) -> torch.Tensor | None:
    """Return the scaled and masked divergence of a site, or None where there is no closed form."""
    scale, mask = guide_site["scale"], guide_site["mask"]
    if not _is_same(scale, model_site["scale"]) or not _is_same(mask, model_site["mask"]):
        return None
    try:
        divergence = kl_divergence(guide_site["fn"], model_site["fn"])
    except NotImplementedError:
        return None
    return scale_and_mask(divergence, scale, mask)


def _is_same(one: Any, other: Any) -> bool:
    tensors = [isinstance(x, torch.Tensor) for x in (one, other)]
    if any(tensors):
        return one is other or (all(tensors) and torch.equal(one, other))
    return bool(one == other)


def _check_order(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn once of a guide that draws shared sites in another order than the model."""
    orders = [
        [name for name, site in one.nodes.items() if site_is_latent(site) and name in other.nodes]
        for one, other in ((model_trace, guide_trace), (guide_trace, model_trace))
    ]
    if orders[0] != orders[1]:
        warn_once(
            ("mean-field order", *orders[1]),
            f"The guide draws its sites in the order {', '.join(orders[1])}, the model in the "
            f"order {', '.join(orders[0])}. TraceMeanField_ELBO is right only if no site's law in "
            "the model depends on a site that the guide draws later. Use the model's order, or "
            "Trace_ELBO.",
            stacklevel=3,
        )
