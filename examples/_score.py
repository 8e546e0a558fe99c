"""Scores a fitted model: evidence lower bound, log evidence, expected log predictive density."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from _groups import Data
from torch import Tensor

import pyro
from pyro import poutine
from pyro.infer.autoguide import AutoNormal

DRAWS = 2000
MOST_NUMBERS = 20_000_000


class Score(NamedTuple):
    """What is known of a fitted model, in nats, on the standardised scale.

    The optimised parameters are ``shifts`` of the model and ``guide_params``. ``elpd`` is one
    number a row; ``predictive`` is the location and scale of a group in each draw, (draws, 1).
    """

    latent_sites: int
    shifts: int
    guide_params: int
    elbo: float
    elbo_error: float
    log_evidence: float
    elpd: Tensor
    predictive: dict[str, tuple[Tensor, Tensor]]
    converged: bool


def score(model: Callable[[Data], None], guide: AutoNormal, data: Data, settled: bool) -> Score:
    """Score a model with draws from its guide.

    ``log_weight`` is log p(values, latents) - log q(latents) of each draw. Its mean is the ELBO;
    the log of the mean weight is the log evidence (Burda et al. 2016, arXiv:1509.00519). They
    differ by the divergence of the guide from the posterior: of half a nat or more, it is no fit.

    :param settled: whether the optimiser came to rest.
    """
    number = max(100, min(DRAWS, MOST_NUMBERS // sum(map(len, data.groups.values()))))
    with torch.no_grad(), pyro.plate("draws", number, dim=-2):
        guide_trace = poutine.trace(guide).get_trace(data)
        model_trace = poutine.trace(poutine.replay(model, guide_trace)).get_trace(data)
    log_weight = log_prob_of_draws(model_trace) - log_prob_of_draws(guide_trace)
    log_evidence = log_weight.logsumexp(0).item() - math.log(number)
    latents = guide_trace.nodes["_RETURN"]["value"]
    params = dict(pyro.get_param_store().items())
    shifts = torch.stack([value for name, value in params.items() if name.endswith("_shift")])
    means = torch.stack([each.mean() for name, each in latents.items() if name.endswith("_mean")])
    values = {name: model_trace.nodes[f"{name}_values"] for name in data.groups}
    return Score(
        latent_sites=len(latents),
        shifts=len(shifts),
        guide_params=len(params) - len(shifts),
        elbo=log_weight.mean().item(),
        elbo_error=log_weight.std().item() / math.sqrt(number),
        log_evidence=log_evidence + log_integral_over_shifts(shifts, means.view(len(shifts), -1)),
        elpd=pointwise_elpd(torch.cat([site["log_prob"] for site in values.values()], -1)),
        predictive={
            name: (site["fn"].mean[:, :1], site["fn"].stddev[:, :1])
            for name, site in values.items()
        },
        converged=settled and log_evidence - log_weight.mean().item() < 0.5,
    )


def log_prob_of_draws(trace: poutine.Trace) -> Tensor:
    """The log density of each draw: the sum over its sites, and over the rows of each."""
    trace.compute_log_prob()
    terms = [site["log_prob"] for site in trace.nodes.values() if site["type"] == "sample"]
    return torch.stack([term.sum(-1) for term in terms if term.dim() == 2]).sum(0)


def log_integral_over_shifts(shifts: Tensor, means: Tensor) -> float:
    """log of the integral over s of N(s; 0, 1) p(values; s) / p(values; shift), for each shift.

    A model that optimises more parameters fits better by that alone, so each shift is integrated
    out. It is the centre of the Normal(s, 1) prior of k places ``mean + shift``, which many rows
    pin down: the log evidence is a parabola of curvature k about their average, the best shift.

    :param shifts: the optimised shifts.
    :param means: the posterior means of the means that use each shift, of shape (shifts, k).
    """
    k = means.shape[-1]
    short = means.mean(-1)
    best = shifts + short
    log_integral = 0.5 * k * short**2 - 0.5 * math.log1p(k) - 0.5 * k / (1 + k) * best**2
    return log_integral.sum().item()


def pointwise_elpd(log_prob: Tensor) -> Tensor:
    """Expected log predictive density of a new value like each row (WAIC).

    log mean p(value | draw) - variance of log p(value | draw), over the draws.
    Watanabe 2010, JMLR 11:3571; Vehtari, Gelman & Gabry 2017, arXiv:1507.04544.

    :param log_prob: the log density of each row in each draw, of shape (draws, rows).
    """
    return log_prob.logsumexp(0) - math.log(len(log_prob)) - log_prob.var(0)


def total_and_error(pointwise: Tensor) -> tuple[float, float]:
    """The sum over the rows and its standard error."""
    return pointwise.sum().item(), math.sqrt(len(pointwise)) * pointwise.std().item()
