"""The evidence lower bound, estimated from runs of guide and model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from pyro._foundation.validation import is_validation_enabled
from pyro.infer.checks import check_if_enumerated
from pyro.infer.elbo import ELBO, Args, Kwargs, ParticleLoss, Program
from pyro.infer.enum import get_importance_trace
from pyro.infer.jit_elbo import JitELBO
from pyro.infer.rao_blackwell import MultiFrameTensor, Stack
from pyro.ops.masking import is_identically_zero
from pyro.poutine.sites import site_is_sample
from pyro.poutine.trace_struct import Trace

Node = dict[str, Any]


Cost = tuple[Stack, torch.Tensor]


class Term(NamedTuple):
    """What a site adds to the bound: element by element, and summed.

    An analytic term is already an expectation over the site's own draw.
    """

    site: Node
    value: torch.Tensor
    total: torch.Tensor
    is_analytic: bool = False


class Trace_ELBO(ELBO):
    r"""Estimates :math:`-\mathrm{ELBO} = -E_{q(z)}[\log p(x, z) - \log q(z)]` by draws of ``q``.

    The gradient estimate is unbiased and has two parts. Where draws are differentiable functions
    of the parameters, it goes through them (pathwise; Kingma and Welling 2014, arXiv:1312.6114).
    A draw :math:`z_i` that is not contributes
    :math:`\nabla \log q(z_i) \, \sum_{j \in D(i)} c_j`, the score function times the terms
    :math:`c_j` of the bound that :math:`z_i` may have influenced: all but those in other elements
    of a plate around it, be the plate vectorised or sequential (Ranganath, Gerrish and Blei 2014,
    arXiv:1401.0118).

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
    >>> def exact_posterior():
    ...     pyro.sample("z", dist.Normal(1.0, 0.5**0.5))
    >>> log_evidence = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(2.0))
    >>> loss = Trace_ELBO(num_particles=3).loss(model, exact_posterior)
    >>> bool((log_evidence + loss).abs() < 1e-5)
    True
    """

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        model_trace, guide_trace = get_importance_trace(
            "flat", self.max_plate_nesting, model, guide, args, kwargs
        )
        if is_validation_enabled():
            check_if_enumerated(guide_trace)
        return model_trace, guide_trace

    def _terms(self, model_trace: Trace, guide_trace: Trace) -> tuple[list[Term], list[Term]]:
        """Return the terms that add to the bound, and those that are taken from it."""
        return sampled_terms(model_trace), sampled_terms(guide_trace)

    def _particle_loss(self, model_trace: Trace, guide_trace: Trace) -> ParticleLoss:
        gains, charges = self._terms(model_trace, guide_trace)
        loss = total_of(charges) - total_of(gains)
        if all(is_pathwise(term) for term in charges):
            return ParticleLoss(loss, loss)
        costs = MultiFrameTensor(*costs_of(gains, charges))
        return ParticleLoss(loss, surrogate_loss(gains, charges, lambda term: costs))


class JitTrace_ELBO(JitELBO, Trace_ELBO):
    """Like :class:`Trace_ELBO`, compiled.

    From the third step on, no Python of model and guide is run; see
    :class:`~pyro.infer.jit_elbo.JitELBO` for what that asks of them.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> def guide(data):
    ...     pyro.sample("z", dist.Delta(pyro.param("mode", torch.tensor(0.0))))
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), JitTrace_ELBO())
    >>> losses = [svi.step(torch.tensor(2.0)) for _ in range(100)]
    >>> round(pyro.param("mode").item(), 1)
    1.0
    """


def sampled_terms(trace: Trace) -> list[Term]:
    """Return the log density of every site of a scored run, at the value that was drawn.

    :param trace: the run.
    """
    return [
        Term(site, site["log_prob"], site["log_prob_sum"])
        for site in trace.nodes.values()
        if site_is_sample(site)
    ]


def is_pathwise(term: Term) -> bool:
    """Tell whether the gradient of a guide's term needs no score function.

    :param term: a term of the guide.
    """
    return is_identically_zero(term.site["score_parts"].score_function)


def total_of(terms: list[Term]) -> torch.Tensor:
    """Return the sum of terms.

    :param terms: the terms; of none the sum is 0.
    """
    if not terms:
        return torch.zeros(())
    total = terms[0].total
    for term in terms[1:]:
        total = total + term.total
    return total


def costs_of(gains: list[Term], charges: list[Term]) -> list[Cost]:
    """Return what each term adds to the loss, with the plates that it stands in.

    :param gains: the terms that add to the bound.
    :param charges: the terms that are taken from it.
    """
    return [
        *((term.site["cond_indep_stack"], term.value.detach()) for term in charges),
        *((term.site["cond_indep_stack"], -term.value.detach()) for term in gains),
    ]


def surrogate_loss(
    gains: list[Term],
    charges: list[Term],
    answers_for: Callable[[Term], MultiFrameTensor],
    steady: Callable[[Term, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return what to differentiate where some draws of the guide need the score function.

    :param gains: the terms that add to the bound.
    :param charges: the terms that are taken from it.
    :param answers_for: the costs that the draw of a term may have influenced.
    :param steady: takes a term and what its draw answers for, and returns that less a baseline.
    """
    surrogate = -total_of(gains)
    for term in charges:
        _, score_function, entropy_term = term.site["score_parts"]
        if is_identically_zero(score_function):
            surrogate = surrogate + term.total
            continue
        cost = torch.as_tensor(answers_for(term).sum_to(term.site["cond_indep_stack"]))
        if term.is_analytic:  # an expectation over the draw does not depend on the draw
            cost = cost - term.value.detach()
        if steady is not None:
            cost = steady(term, cost)
        own = term.total if term.is_analytic else torch.as_tensor(entropy_term).sum()
        surrogate = surrogate + own + (score_function * cost).sum()
    return surrogate
