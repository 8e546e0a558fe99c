"""Variational inference by a divergence that adapts to the tails of the importance weights."""

from collections.abc import Sequence

import torch

from pyro.infer.checks import check_fully_reparametrized
from pyro.infer.elbo import Args, Kwargs, ParticleLoss, Program
from pyro.infer.joint_elbo import JointELBO, Run
from pyro.poutine.handlers import replay, trace
from pyro.poutine.sites import site_is_sample
from pyro.poutine.trace_struct import Trace


class TraceTailAdaptive_ELBO(JointELBO):
    r"""Estimates :math:`-\sum_k \gamma_k \nabla_z \log \frac{p(x, z_k)}{q(z_k)} \nabla_\phi z_k`.

    This is the gradient by the guide's parameters :math:`\phi` of an f-divergence between guide and
    posterior. Its weights depend on the ranks of :math:`w_k = p(x, z_k) / q(z_k)` among the
    particles alone,

    .. math:: \gamma_k \propto \Big(\frac{1}{K} \#\{j : w_j \ge w_k\}\Big)^\beta,
        \qquad \sum_k \gamma_k = 1,

    so that their moments exist whatever the tails of :math:`w`. With ``tail_adaptive_beta = -1``,
    the default, the guide comes to cover the posterior's mass; with 0 all weights are equal and the
    divergence is that of the ELBO. Parameters of the model get the gradient
    :math:`-\sum_k \gamma_k \nabla_\theta \log p(x, z_k)`.

    The divergence changes with the draws, so it has no value to report; losses are those of
    :class:`~pyro.infer.trace_elbo.Trace_ELBO`. The guide runs twice, the second time at the values
    of the first, to tell the two ways apart in which :math:`\log q` depends on :math:`\phi`; every
    draw of it must be differentiable. Take ten particles or more.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
    >>> def guide():
    ...     loc = pyro.param("loc", torch.tensor(1.0))
    ...     pyro.sample("z", dist.Normal(loc, 0.5**0.5))
    >>> elbo = TraceTailAdaptive_ELBO(num_particles=10, vectorize_particles=True)
    >>> elbo.differentiable_loss(model, guide).backward()
    >>> gradient = pyro.param("loc").unconstrained().grad
    >>> bool(gradient.abs() < 1e-5)  # the guide is exact
    True

    Source: Wang, Liu and Liu 2018, *Variational Inference with Tail-adaptive f-Divergence*,
    arXiv:1810.11943, algorithm 1.
    """

    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        recorded = trace(guide)
        model_trace, guide_trace = super()._get_trace(model, recorded, args, kwargs)
        for site in guide_trace.nodes.values():
            if site_is_sample(site):
                check_fully_reparametrized(site)
        if torch.is_grad_enabled():
            drawn = recorded.trace.copy()
            drawn.detach_()
            again = trace(replay(guide, trace=drawn)).get_trace(*args, **kwargs)
            _cut_from_parameters(guide_trace, again)
        return model_trace, guide_trace

    def _joint_loss(self, runs: Sequence[Run]) -> ParticleLoss:
        models, guides = zip(*runs, strict=True)
        log_weights = self._log_densities(models) - self._log_densities(guides)
        shares = _tail_weights(log_weights.detach(), self.tail_adaptive_beta)
        return ParticleLoss(-log_weights.mean(), -(shares * log_weights).sum())


def _cut_from_parameters(guide_trace: Trace, again: Trace) -> None:
    """Let the densities of a run depend on parameters through its values alone.

    :param guide_trace: the run, scored.
    :param again: the same run at the same values, cut from the graph.
    """
    again.compute_log_prob()
    for name, site in guide_trace.nodes.items():
        if site_is_sample(site):
            direct = again.nodes[name]["log_prob"]
            site["log_prob"] = site["log_prob"] - (direct - direct.detach())


def _tail_weights(log_weights: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the particles' shares, by how many particles weigh no less than each."""
    no_less = (log_weights >= log_weights.unsqueeze(-1)).sum(-1)
    powers = (no_less / len(log_weights)).to(log_weights.dtype) ** beta
    return powers / powers.sum()
