"""How a mixture of normal laws flows while the weights of its components change.

A draw ``x`` of a density ``p`` follows a change of its parameter if it moves with a velocity ``v``
that carries the probability along: ``dp/dparameter = -div(p v)``. For the weights, probability has
to go from each component to each other one. Here it goes through the normal laws between them whose
log density is a mean of theirs, ``(1 - t) log p_k + t log p_j`` up to a constant. Since that mean
is nowhere above both, ``p v`` is nowhere large where ``p`` is small, and gradients have a finite
variance whatever the scales are.

Source: Jankowiak and Karaletsos 2019, *Pathwise Derivatives for Multivariate Distributions*,
arXiv:1806.01856, for the equation; the paths are ours.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro.ops.readable import is_readable


class Flow(NamedTuple):
    """Velocities of draws for each pair of components.

    ``velocity`` has shape ``(..., pairs, size)``: how ``x`` moves while the logit of component
    ``upper[pair]`` grows, or that of ``lower[pair]`` falls.
    """

    velocity: Tensor
    upper: Tensor
    lower: Tensor


@lru_cache(maxsize=32)
def _nodes(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return points t between 0 and 1, 1 - t, and log weights of the tanh-sinh rule.

    Points gather at both ends, where densities of very different scales change fastest.

    Source: Takahasi and Mori 1974, *Double Exponential Formulas for Numerical Integration*.
    """
    y = np.linspace(-3.25, 3.25, count)
    inner = math.pi * np.sinh(y)
    log_t, log_rest = -np.logaddexp(0, -inner), -np.logaddexp(0, inner)
    log_weight = log_t + log_rest + np.log(math.pi * np.cosh(y) * (y[1] - y[0]))
    t, rest, weight = (torch.as_tensor(x) for x in (np.exp(log_t), np.exp(log_rest), log_weight))
    return t, rest, weight


def num_nodes(locs: Tensor, scales: Tensor) -> int:
    """Return how many points between components resolve the flow to about ten digits.

    :param locs: the means of components, of shape ``(..., components, size)``.
    :param scales: their standard deviations.
    """
    least, most = scales.aminmax(dim=-2)
    low, high = locs.aminmax(dim=-2)
    apart = torch.linalg.vector_norm((high - low) / least, dim=-1)
    if not is_readable(apart) or not apart.numel():
        return 256
    ratio = (most / least).log().amax(-1)
    count = 4 * apart.max().clamp(max=64.0) + 24 * ratio.max().clamp(max=10.0)
    return 32 + math.ceil(float(count.nan_to_num(0.0)))


def weight_flow(
    value: Tensor, locs: Tensor, scales: Tensor, logits: Tensor, count: int | None = None
) -> Flow:
    """Return how draws of a mixture of normal laws follow its logits.

    :param value: draws, of shape ``(..., size)``.
    :param locs: the means of components, of shape ``(..., components, size)``.
    :param scales: their standard deviations, of this shape too.
    :param logits: the logs of their weights, up to a constant, of shape ``(..., components)``.
    :param count: how many points between components to compute with.

    >>> flow = weight_flow(
    ...     torch.zeros(1), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1), torch.zeros(2)
    ... )
    >>> flow.velocity[0], flow.upper, flow.lower  # (2 Phi(1) - 1) / (4 phi(1))
    (tensor([0.7053]), tensor([1]), tensor([0]))
    """
    dtype = value.dtype
    value, locs, scales, logits = (x.double() for x in (value, locs, scales, logits))
    count = count or num_nodes(locs, scales)
    t, rest, log_node = (x.to(value)[:, None] for x in _nodes(count))
    upper, lower = torch.tril_indices(locs.size(-2), locs.size(-2), -1, device=value.device)
    centre = locs.mean(-2)
    x, locs = value - centre, locs - centre[..., None, :]
    log_weight = logits.log_softmax(-1)
    log_density = (log_weight + component_log_density(x, locs, scales)).logsumexp(-1)

    # natural parameters of the laws between: (..., pairs, nodes, size)
    precision = scales.square().reciprocal()
    tilt = locs * precision
    low, high = precision[..., lower, None, :], precision[..., upper, None, :]
    between = rest * low + t * high
    slope = rest * tilt[..., lower, None, :] + t * tilt[..., upper, None, :]
    mean = slope / between
    stretch = -0.5 * (high - low) / between  # of the scale, relative to it, with t
    drift = (tilt[..., upper, None, :] - tilt[..., lower, None, :]) / between + 2 * stretch * mean

    level = 0.5 * (between.log() - slope * mean).sum(-1) - 0.5 * value.size(-1) * math.log(math.tau)
    level = level + log_node[:, 0] + (log_weight[..., upper] + log_weight[..., lower])[..., None]
    exponent = torch.einsum("...d,...ptd->...pt", x, slope) + level - log_density[..., None, None]
    exponent = exponent - 0.5 * torch.einsum("...d,...ptd->...pt", x.square(), between)
    flux = exponent.exp()
    moved = torch.einsum("...pt,...ptd->...pd", flux, drift - stretch * mean)
    stretched = torch.einsum("...pt,...ptd->...pd", flux, stretch)
    return Flow((moved + stretched * x[..., None, :]).to(dtype), upper, lower)


def component_log_density(value: Tensor, locs: Tensor, scales: Tensor) -> Tensor:
    """Return the log density of draws under each of some normal laws.

    :param value: draws, of shape ``(..., size)``.
    :param locs: the means of components, of shape ``(..., components, size)``.
    :param scales: their standard deviations, of this shape too.

    >>> component_log_density(torch.zeros(1), torch.zeros(2, 1), torch.tensor([[1.0], [2.0]]))
    tensor([-0.9189, -1.6121])
    """
    z = (value[..., None, :] - locs) / scales
    level = scales.log().sum(-1) + 0.5 * value.size(-1) * math.log(math.tau)
    return -0.5 * z.square().sum(-1) - level
