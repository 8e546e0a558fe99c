"""A tighter bound from all combinations of several draws a site."""

import math
from typing import Any

from torch import Tensor, arange, zeros

from pyro.infer.dice import (
    Ordinal,
    draws_factor,
    enumerated_symbol,
    multiplied,
    ordinal_of,
    proposal_log_prob,
)
from pyro.infer.elbo import ParticleLoss
from pyro.infer.enum_factors import ModelFactors, enumerated_sites
from pyro.infer.traceenum_elbo import TraceEnum_ELBO
from pyro.ops.masking import is_identically_zero
from pyro.ops.packed import dims_of, gather, named
from pyro.poutine.sites import site_is_sample
from pyro.poutine.trace_packing import is_packable, pack_site
from pyro.poutine.trace_struct import Trace

Node = dict[str, Any]


class TraceTMC_ELBO(TraceEnum_ELBO):
    r"""Estimates :math:`-E_q\big[\log \frac{1}{K^n} \sum_{k} \frac{p(x, z^{k})}{r(z^{k})}\big]`.

    Each of :math:`n` sites of the guide has :math:`K` draws, and the sum runs over all
    :math:`K^n` combinations :math:`k` of them, by variable elimination at the cost of few. It is an
    unbiased estimate of the evidence, so that the mean of its logarithm is a bound, which tightens
    as :math:`K` grows. A site of the guide takes part by ``infer={"enumerate": "parallel",
    "num_samples": K}``, or all by :func:`~pyro.infer.enum.config_enumerate`. With ``expand=False``
    the draws of a site serve all those of the sites that it depends on, and :math:`r` is the
    mixture of its laws given each; with ``expand=True`` each of these has draws of its own.

    Discrete sites that are enumerated over their support, in model or guide, are summed exactly.
    Gradients are pathwise where draws can be differentiated, else by the score function.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     pyro.sample("x", dist.Bernoulli(0.2 + 0.6 * z), obs=torch.tensor(1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Bernoulli(0.9), infer={"enumerate": "parallel"})
    >>> round(TraceTMC_ELBO().loss(model, guide), 4)  # -log 0.5
    0.6931

    Source: Aitchison 2019, *Tensor Monte Carlo: Particle Methods for the GPU Era*,
    arXiv:1806.08593.
    """

    def _particle_loss(self, model_trace: Trace, guide_trace: Trace) -> ParticleLoss:
        factors = ModelFactors(model_trace, guide_trace, sums_guide=True)
        scores: list[tuple[Ordinal, Tensor]] = []
        letters = set(enumerated_sites(guide_trace))
        for site in guide_trace.nodes.values():
            if not site_is_sample(site) or not is_packable(site):
                continue
            pack_site(site)
            weight = _weight(site)
            if weight is not None:
                factors.add(site, weight)
            score = _score(site, letters)
            if score is not None:
                scores.append((ordinal_of(site, guide_trace.plate_to_symbol), score))
        total = zeros(())
        for ordinal, terms in factors.summed().items():
            factor = draws_factor(scores, ordinal)
            for term in terms:
                total = total + (term if factor is None else multiplied([term, factor])).sum()
        return ParticleLoss(-total, -total)


def _weight(site: Node) -> Tensor | None:
    """What a site of the guide divides the sum by, as a logarithm; None for an exact sum."""
    log_prob: Tensor = site["packed"]["unscaled_log_prob"]
    symbol, count = enumerated_symbol(site), site["infer"].get("num_samples")
    if symbol is None:
        return named(-log_prob, dims_of(log_prob))
    if count is None:
        return None
    proposal = proposal_log_prob(site, log_prob, symbol)
    return named(-proposal - math.log(count), dims_of(proposal))


def _score(site: Node, letters: set[str]) -> Tensor | None:
    """The log density of all draws of a site less its value, where they are not pathwise."""
    if is_identically_zero(site["packed"]["score_parts"].score_function) or site["is_observed"]:
        return None
    log_prob: Tensor = site["packed"]["unscaled_log_prob"]
    symbol, infer = enumerated_symbol(site), site["infer"]
    if symbol is not None:
        if infer.get("num_samples") is None:
            return None
        log_prob = _density_of_draws(site, log_prob, symbol, letters)
    dims = dims_of(log_prob)
    axes = [i for i, letter in enumerate(dims) if letter in letters]
    kept = "".join(letter for letter in dims if letter not in letters)
    total = log_prob.sum(axes) if axes else log_prob
    return named(total - total.detach(), kept)


def _density_of_draws(site: Node, log_prob: Tensor, symbol: str, letters: set[str]) -> Tensor:
    infer = site["infer"]
    if infer.get("expand", False):
        return log_prob
    if infer.get("tmc", "diagonal") == "mixture":
        return proposal_log_prob(site, log_prob, symbol)
    dims = dims_of(log_prob)
    for letter in dims:
        if letter in letters and letter != symbol:
            size = log_prob.shape[dims_of(log_prob).index(letter)]
            number = arange(log_prob.shape[dims_of(log_prob).index(symbol)]) % size
            log_prob = gather(log_prob, named(number, symbol), letter)
    return log_prob
