"""Importance sampling: weighted runs that stand for the posterior, and how far to trust them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.warnings import warn_once
from pyro.infer.abstract_infer import TracePosterior
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.elbo import PARTICLE_PLATE, Args, Kwargs, Program
from pyro.infer.log_weights import LogWeightsMixin, log_weight_terms, particle_log_weights
from pyro.infer.plates import guess_max_plate_nesting, inside_plate
from pyro.ops.scores import fit_generalized_pareto
from pyro.poutine.handlers import block, replay, trace
from pyro.poutine.sites import site_is_latent
from pyro.poutine.trace_struct import Trace

__all__ = ["Importance", "LogWeightsMixin", "psis_diagnostic", "vectorized_importance_weights"]

Weighed = tuple[Tensor, Trace, Trace]


class Importance(TracePosterior, LogWeightsMixin):
    r"""Runs of a model at draws :math:`z \sim q` of a guide, weighed by :math:`p(x, z) / q(z)`.

    After :meth:`run`, the object draws runs in proportion to their weights;
    :meth:`get_log_normalizer` estimates the log evidence and :meth:`get_ESS` tells how many draws
    of the posterior they are worth.

    :param model: the model, whose observed sites hold the data.
    :param guide: the guide; by default the model's prior. What it does not draw is drawn by the
        model, and does not weigh.
    :param num_samples: how many runs to collect; 10 where it is left out, with a warning.
    :raises ValueError: for fewer than one sample.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5))
    ...     pyro.sample("x", dist.Bernoulli(0.8 * z + 0.2 * (1 - z)), obs=torch.tensor(1.0))
    >>> posterior = Importance(model, num_samples=1000).run()
    >>> bool((posterior.get_log_normalizer().exp() - 0.5).abs() < 0.05)
    True

    Source: Robert and Casella 2004, *Monte Carlo Statistical Methods*, section 3.3.
    """

    log_weights: Any

    def __init__(
        self, model: Program, guide: Program | None = None, num_samples: int | None = None
    ) -> None:
        super().__init__()
        if num_samples is None:
            num_samples = 10
            warn_once(
                "Importance", "Importance takes 10 samples; pass num_samples to take more or fewer."
            )
        if num_samples < 1:
            raise ValueError(f"num_samples must be a positive integer, got {num_samples}.")
        self.num_samples = num_samples
        self.model = model
        self._is_prior = guide is None
        self.guide = _prior(model) if guide is None else guide

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Trace, Tensor]]:
        refuse_outer_ties()
        run = _weigh_prior if self._is_prior else partial(_weigh, guide=self.guide)
        for _ in range(self.num_samples):
            yield run(self.model, args, kwargs)


def _prior(model: Program) -> Program:
    return block(model, expose_fn=site_is_latent)


def _weigh_prior(model: Program, args: Args, kwargs: Kwargs) -> tuple[Trace, Tensor]:
    """Run a model at a draw of its prior, which cancels from the weight."""
    record = trace(model).get_trace(*args, **kwargs)
    return record, torch.as_tensor(record.log_prob_sum(lambda name, site: not site_is_latent(site)))


def _weigh(model: Program, args: Args, kwargs: Kwargs, guide: Program) -> tuple[Trace, Tensor]:
    guide_trace = trace(guide).get_trace(*args, **kwargs)
    model_trace = trace(replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
    gain, charge = log_weight_terms(model_trace, guide_trace)
    return model_trace, gain - charge


def vectorized_importance_weights(
    model: Program, guide: Program, *args: Any, **kwargs: Any
) -> Weighed:
    r"""Return :math:`\log p(x, z) - \log q(z)` of many draws of a guide, made at once.

    Model and guide run once each, inside one more plate on the left, for which they must be
    vectorised.

    :param model: the model.
    :param guide: its guide.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both, and the options ``num_samples``, how many draws to
        make (1); ``max_plate_nesting``, how many batch dimensions the plates take up (found by a
        run of both); ``normalized``, whether to divide the weights by their sum (False).
    :returns: the log weights, shape ``(num_samples,)``; the trace of the model; that of the guide.
    :raises ValueError: for fewer than one sample.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(0.5, 1.0))
    >>> log_weights, _, _ = vectorized_importance_weights(model, guide, num_samples=5)
    >>> log_weights.shape
    torch.Size([5])
    """
    num_samples = kwargs.pop("num_samples", 1)
    depth = kwargs.pop("max_plate_nesting", None)
    normalized = kwargs.pop("normalized", False)
    if num_samples < 1:
        raise ValueError(f"num_samples must be a positive integer, got {num_samples}.")
    refuse_outer_ties()
    if depth is None:
        depth = guess_max_plate_nesting(model, guide, args, kwargs)
    weighed = _weigh_at_once(model, guide, num_samples, depth, args, kwargs)
    return (weighed[0].log_softmax(0), *weighed[1:]) if normalized else weighed


def _weigh_at_once(
    model: Program, guide: Program, count: int, depth: int, args: Args, kwargs: Kwargs
) -> Weighed:
    plate = PARTICLE_PLATE, count, -1 - depth
    guide_trace = trace(inside_plate(guide, *plate)).get_trace(*args, **kwargs)
    replayed = replay(inside_plate(model, *plate), trace=guide_trace)
    model_trace = trace(replayed).get_trace(*args, **kwargs)
    gain, charge = particle_log_weights(model_trace, guide_trace, count, depth)
    return gain - charge, model_trace, guide_trace


@torch.no_grad()
def psis_diagnostic(model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
    r"""Return :math:`\hat k`, the shape of the tail of the importance weights of a guide.

    Below 0.5 the guide is close to the posterior, from 0.7 it is not: the weights have no finite
    variance that draws could show. A guide that is too narrow shows so.

    :param model: the model.
    :param guide: its guide.
    :param args: arguments of both.
    :param kwargs: keyword arguments of both, and the options ``num_particles``, how many draws to
        make (1000); ``max_simultaneous_particles``, how many of them at once (all);
        ``max_plate_nesting``, how many batch dimensions the plates take up (found by a run of
        both); ``vectorized``, whether to make draws at once at all (True).
    :raises ValueError: where there are too few draws to see a tail, or weights are not finite.

    >>> import pyro, pyro.distributions as dist
    >>> def model():
    ...     pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> def narrow():
    ...     pyro.sample("z", dist.Normal(0.0, 0.2))
    >>> psis_diagnostic(model, narrow) > 0.7
    True

    Source: Vehtari et al. 2024, *Pareto Smoothed Importance Sampling*, arXiv:1507.02646; Yao et al.
    2018, *Yes, but Did It Work?*, arXiv:1802.02538.
    """
    count = kwargs.pop("num_particles", 1000)
    at_once = kwargs.pop("max_simultaneous_particles", count)
    depth = kwargs.pop("max_plate_nesting", None)
    refuse_outer_ties()
    if kwargs.pop("vectorized", True):
        if depth is None:
            depth = guess_max_plate_nesting(model, guide, args, kwargs)
        sizes = [min(at_once, count - done) for done in range(0, count, at_once)]
        parts = [_weigh_at_once(model, guide, size, depth, args, kwargs)[0] for size in sizes]
    else:
        parts = [_weigh(model, args, kwargs, guide)[1].reshape(1) for _ in range(count)]
    return tail_shape(torch.cat(parts))


def tail_shape(log_weights: Tensor) -> float:
    """Return the shape of a generalised Pareto law fitted to the largest of some weights.

    These are a fifth of them, or three times their square root, whichever is less.

    :param log_weights: the logarithms of the weights, up to a constant.
    :raises ValueError: for fewer than 25 weights, and where one is not finite.

    >>> tail_shape(torch.zeros(100))  # all alike: no tail
    -inf
    """
    count = len(log_weights)
    if count < 25 or not bool(log_weights.isfinite().all()):
        raise ValueError(
            f"The tail of {count} weights of range {log_weights.min()} to {log_weights.max()} "
            "cannot be fitted: that takes 25 finite ones. Raise num_particles, and see that the "
            "guide draws nothing that the model rules out."
        )
    tail = min(count // 5, int(3 * count**0.5))
    top = log_weights.double().topk(tail + 1).values
    weights = (top - top[0]).exp()
    exceedances = weights[:-1] - weights[-1]
    exceedances = exceedances[exceedances > 0]
    return fit_generalized_pareto(exceedances)[0] if len(exceedances) >= 5 else -float("inf")
