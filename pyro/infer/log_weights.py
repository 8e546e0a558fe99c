"""Weights of runs: what they are worth together, and how two traces make one."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro.ops.shapes import sum_rightmost
from pyro.poutine.sites import site_is_latent, site_is_sample, site_is_subsample
from pyro.poutine.trace_struct import SiteFilter, Trace, allow_all_sites


class LogWeightsMixin:
    """What weighted draws tell, for a class that has ``log_weights``: one logarithm a draw.

    >>> class Drawn(LogWeightsMixin):
    ...     log_weights = torch.tensor([1.0, 1.0, 2.0]).log()
    >>> Drawn().get_normalized_weights()
    tensor([0.2500, 0.2500, 0.5000])
    """

    log_weights: Any

    def _log_weights_tensor(self) -> Tensor:
        held = getattr(self, "log_weights", None)
        if isinstance(held, Tensor):
            return held
        if not held:
            raise RuntimeError(f"{type(self).__name__} holds no weights yet: call run() first.")
        return torch.stack([torch.as_tensor(weight) for weight in held])

    def get_log_normalizer(self) -> Tensor:
        r"""Return :math:`\log \frac{1}{N} \sum_i w_i`, an estimate of the log evidence.

        Its exponential is unbiased.
        """
        log_weights = self._log_weights_tensor()
        return log_weights.logsumexp(-1) - math.log(log_weights.size(-1))

    def get_normalized_weights(self, log_scale: bool = False) -> Tensor:
        """Return the weights, divided by their sum.

        :param log_scale: whether to return their logarithms.
        """
        log_weights = self._log_weights_tensor()
        return log_weights.log_softmax(-1) if log_scale else log_weights.softmax(-1)

    def get_ESS(self) -> Tensor:
        r"""Return the effective sample size :math:`(\sum_i w_i)^2 / \sum_i w_i^2`.

        It lies between 1 and the number of draws.

        Source: Kong, Liu and Wong 1994, JASA 89(425), doi:10.1080/01621459.1994.10476469.
        """
        return effective_size(self._log_weights_tensor())


def effective_size(log_weights: Tensor) -> Tensor:
    r"""Return :math:`(\sum_i w_i)^2 / \sum_i w_i^2`.

    :param log_weights: logarithms of weights along the last dimension, up to a constant.

    >>> effective_size(torch.tensor([1.0, 1.0, 0.0]).log())
    tensor(2.)
    """
    return (-(2 * log_weights.log_softmax(-1)).logsumexp(-1)).exp()


def weighed_sites(guide_trace: Trace) -> SiteFilter:
    """Return the filter of a model's sites that the weight of a run is made of.

    What the model draws by itself is drawn from its prior: proposal and target cancel.

    :param guide_trace: the run of the guide that the model follows.
    """
    drawn = guide_trace.nodes
    return lambda name, site: name in drawn or not site_is_latent(site)


def log_weight_terms(model_trace: Trace, guide_trace: Trace) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\log p(x, z)` and :math:`\log q(z)` of a run of the model at a guide's draw.

    :param model_trace: the run of the model.
    :param guide_trace: that of the guide.

    >>> import pyro, pyro.distributions as dist
    >>> def guide():
    ...     pyro.sample("z", dist.Delta(torch.tensor(0.0)))
    >>> guide_trace = pyro.poutine.trace(guide).get_trace()
    >>> log_weight_terms(guide_trace, guide_trace)
    (tensor(0.), tensor(0.))
    """
    gain = model_trace.log_prob_sum(weighed_sites(guide_trace))
    return torch.as_tensor(gain), torch.as_tensor(guide_trace.log_prob_sum())


def particle_log_prob(
    record: Trace, count: int, depth: int, site_filter: SiteFilter = allow_all_sites
) -> Tensor:
    """Return the log density of every particle of a run that holds many, side by side.

    :param record: a run inside a plate of particles, left of all other plates.
    :param count: the number of particles.
    :param depth: how many batch dimensions lie right of theirs.
    :param site_filter: called with a name and a site; sites that it turns down do not count.
    :returns: shape ``(count,)``.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     with pyro.plate("particles", 3, dim=-2), pyro.plate("data", 5):
    ...         pyro.factor("f", torch.tensor(2.0))
    >>> particle_log_prob(pyro.poutine.trace(model).get_trace(), 3, depth=1)
    tensor([10., 10., 10.])
    """
    record.compute_log_prob(site_filter)
    total: Tensor | float = 0.0
    for name, site in record.nodes.items():
        if site_is_sample(site) and not site_is_subsample(site) and site_filter(name, site):
            total = total + sum_rightmost(site["log_prob"], depth)
    return torch.as_tensor(total).expand(count)


def particle_log_weights(
    model_trace: Trace, guide_trace: Trace, count: int, depth: int
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\log p(x, z)` and :math:`\log q(z)` of every particle.

    :param model_trace: the run of the model, inside a plate of particles.
    :param guide_trace: that of the guide.
    :param count: the number of particles.
    :param depth: how many batch dimensions lie right of theirs.
    :returns: two tensors of shape ``(count,)``.
    """
    gain = particle_log_prob(model_trace, count, depth, weighed_sites(guide_trace))
    return gain, particle_log_prob(guide_trace, count, depth)
