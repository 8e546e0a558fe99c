"""Renyi's bounds on the evidence, among them that of importance-weighted autoencoders."""

import math
from collections.abc import Sequence

import torch

from pyro.infer.elbo import ParticleLoss
from pyro.infer.joint_elbo import JointELBO, Run
from pyro.infer.trace_elbo import is_pathwise, sampled_terms


class RenyiELBO(JointELBO):
    r"""Estimates :math:`-L_\alpha = -\frac{1}{1 - \alpha} \log E_q[(p(x, z) / q(z))^{1 - \alpha}]`.

    With :math:`K` particles and weights :math:`w_k = p(x, z_k) / q(z_k)` the estimate is

    .. math:: \hat L = \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k w_k^{1 - \alpha}.

    For ``alpha = 0`` it is the bound of importance-weighted autoencoders; as ``alpha`` goes to 1 it
    becomes the ELBO; for any ``alpha`` it does so with one particle. The plates inside of a
    particle are one draw, so data that are subsampled give another bound.

    The gradient estimate is unbiased for the gradient of :math:`E[\hat L]`. Draws that are not
    differentiable enter by :math:`\nabla \log q(z_k) (\hat L - \hat L_{-k})`, with the estimate
    from the other particles as their baseline.

    :param alpha: the order; not 1.
    :param num_particles: how many draws of the guide make one estimate.
    :param max_plate_nesting: as of :class:`~pyro.infer.elbo.ELBO`.
    :param max_iarange_nesting: an older name of ``max_plate_nesting``.
    :param vectorize_particles: draw all particles at once, in one more plate on the left.
    :param strict_enumeration_warning: as of :class:`~pyro.infer.elbo.ELBO`.
    :raises ValueError: for ``alpha = 1``.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(2.0))
    >>> def exact_posterior():
    ...     pyro.sample("z", dist.Normal(1.0, 0.5**0.5))
    >>> log_evidence = dist.Normal(0.0, 2**0.5).log_prob(torch.tensor(2.0))
    >>> loss = RenyiELBO(alpha=0.5, num_particles=3).loss(model, exact_posterior)
    >>> bool((log_evidence + loss).abs() < 1e-5)
    True

    Source: Li and Turner 2016, *Renyi Divergence Variational Inference*, arXiv:1602.02311; Burda,
    Grosse and Salakhutdinov 2015, *Importance Weighted Autoencoders*, arXiv:1509.00519. The
    baseline is that of Mnih and Rezende 2016, arXiv:1602.06725.
    """

    def __init__(
        self,
        alpha: float = 0,
        num_particles: int = 2,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: float | None = None,
        vectorize_particles: bool = False,
        strict_enumeration_warning: bool = True,
    ) -> None:
        if alpha == 1:
            raise ValueError("The bound of order alpha=1 is the ELBO: use Trace_ELBO().")
        super().__init__(
            num_particles=num_particles,
            max_plate_nesting=max_plate_nesting,
            max_iarange_nesting=max_iarange_nesting,
            vectorize_particles=vectorize_particles,
            strict_enumeration_warning=strict_enumeration_warning,
        )
        self.alpha = alpha

    def _joint_loss(self, runs: Sequence[Run]) -> ParticleLoss:
        models, guides = zip(*runs, strict=True)
        order = 1 - self.alpha
        log_powers = order * (self._log_densities(models) - self._log_densities(guides))
        bound = (log_powers.logsumexp(0) - math.log(self.num_particles)) / order
        charges = [
            [term for term in sampled_terms(guide) if not is_pathwise(term)] for guide in guides
        ]
        if not any(charges):
            return ParticleLoss(-bound, -bound)
        scores = self._by_particle(
            [[term.site["score_parts"].score_function for term in each] for each in charges]
        )
        # The derivative of the bound itself has one score function too many, 1 / K on average.
        signal = bound.detach() - _without_each(log_powers.detach(), order) + 1 / len(scores)
        return ParticleLoss(-bound, -bound - (signal * scores).sum())


def _without_each(log_powers: torch.Tensor, order: float) -> torch.Tensor:
    """Return, for each particle, the bound by the others; 0 where that says nothing."""
    count = len(log_powers)
    if count == 1:
        return torch.zeros_like(log_powers)
    itself = torch.eye(count, dtype=torch.bool)
    others = log_powers.expand(count, count).masked_fill(itself, -math.inf).logsumexp(1)
    bounds = (others - math.log(count - 1)) / order
    return torch.where(bounds.isfinite(), bounds, 0.0)
