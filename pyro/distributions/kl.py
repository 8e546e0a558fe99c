r"""Divergences :math:`\mathrm{KL}(p\|q)=E_p[\log p-\log q]` that torch does not know.

:func:`torch.distributions.kl_divergence` finds them by the classes of its arguments.
"""

from typing import Any

import torch
from torch.distributions import Distribution, kl_divergence, register_kl

from pyro.distributions.delta import Delta
from pyro.distributions.independent import Independent
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from pyro.ops.masking import Mask, scale_and_mask
from pyro.ops.shapes import broadcast_shape, sum_rightmost


@register_kl(Delta, Distribution)
def _kl_from_sure_value(p: Delta, q: Any) -> torch.Tensor:
    density: torch.Tensor = q.log_prob(p.v)
    return p.log_density - density


def _peel(law: Any) -> tuple[Any, Mask]:
    """Return a law without its mask, and the mask."""
    return (law.base_dist, law._mask) if isinstance(law, MaskedDistribution) else (law, True)


def _same(a: Mask, b: Mask) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a is b or torch.equal(a, b)
    return a is b


@register_kl(MaskedDistribution, MaskedDistribution)
@register_kl(MaskedDistribution, Distribution)
@register_kl(Distribution, MaskedDistribution)
@register_kl(Delta, MaskedDistribution)
@register_kl(MaskedDistribution, ExpandedDistribution)
@register_kl(ExpandedDistribution, MaskedDistribution)
def _kl_masked(p: Any, q: Any) -> torch.Tensor:
    """Return the expectation, over the whole of p, of what the masks leave of the difference.

    With masks m of p and n of q it is ``n * KL(p, q) + (n - m) * entropy(p)``.
    """
    (p, mask_p), (q, mask_q) = _peel(p), _peel(q)
    if mask_p is False and mask_q is False:
        shape = broadcast_shape(p.batch_shape, q.batch_shape)
        return torch.zeros(shape)
    divergence: torch.Tensor = kl_divergence(p, q)
    if _same(mask_p, mask_q):
        return scale_and_mask(divergence, mask=mask_q)
    entropy: torch.Tensor = p.entropy()
    cross = scale_and_mask(divergence + entropy, mask=mask_q)
    return cross - scale_and_mask(entropy, mask=mask_p)


@register_kl(ExpandedDistribution, ExpandedDistribution)
@register_kl(ExpandedDistribution, Distribution)
@register_kl(Distribution, ExpandedDistribution)
@register_kl(Delta, ExpandedDistribution)
def _kl_expanded(p: Any, q: Any) -> torch.Tensor:
    shape = broadcast_shape(p.batch_shape, q.batch_shape)
    bases = (law.base_dist if isinstance(law, ExpandedDistribution) else law for law in (p, q))
    return kl_divergence(*bases).expand(shape)


@register_kl(Independent, Independent)
def _kl_independent(p: Independent, q: Independent) -> torch.Tensor:
    shared = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    return sum_rightmost(kl_divergence(p.to_event(-shared), q.to_event(-shared)), shared)


def _as_multivariate(law: Independent) -> MultivariateNormal:
    base = law.base_dist
    if law.reinterpreted_batch_ndims != 1 or not isinstance(base, torch.distributions.Normal):
        raise NotImplementedError(f"The divergence between {law} and a MultivariateNormal.")
    scale_tril = base.scale.diag_embed()
    return MultivariateNormal(base.loc, scale_tril=scale_tril, validate_args=False)


@register_kl(Independent, MultivariateNormal)
def _kl_diagonal_from_full(p: Independent, q: MultivariateNormal) -> torch.Tensor:
    return kl_divergence(_as_multivariate(p), q)


@register_kl(MultivariateNormal, Independent)
def _kl_full_from_diagonal(p: MultivariateNormal, q: Independent) -> torch.Tensor:
    return kl_divergence(p, _as_multivariate(q))
