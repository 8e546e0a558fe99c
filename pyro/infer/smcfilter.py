"""Sequential Monte Carlo: particles that follow a state as data come in."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pyro.distributions.empirical import Empirical
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.log_weights import effective_size, particle_log_weights, weighed_sites
from pyro.infer.plates import inside_plate
from pyro.ops.shapes import sum_rightmost
from pyro.poutine.handlers import block, replay, trace
from pyro.poutine.sites import site_is_subsample
from pyro.poutine.trace_struct import Trace

PLATE = "particles"


class SMCFailed(ValueError):
    """No particle is left that model and data allow."""


class SMCState(dict[str, Tensor]):
    """What a filter remembers from one step to the next: named tensors, one row a particle.

    The model writes to it, and model and guide read it. It takes part in resampling as a whole.

    :param num_particles: how many particles there are, along the first dimension of each value.

    >>> state = SMCState(num_particles=3)
    >>> state["z"] = torch.zeros(3)
    """

    def __init__(self, num_particles: int) -> None:
        super().__init__()
        self._num_particles = num_particles
        self._log_weights = torch.full((num_particles,), -math.log(num_particles))
        self._locked = False

    def __setitem__(self, key: str, value: Tensor) -> None:
        """Remember a value.

        :param key: its name.
        :param value: a tensor with one row a particle.
        :raises RuntimeError: while the guide runs.
        :raises TypeError: where the value is no tensor.
        :raises ValueError: where its first dimension is not that of the particles.
        """
        if self._locked:
            raise RuntimeError(
                f"The guide may read the SMCState but not write {key!r} to it. Write it in the "
                "model, which runs after the guide at the guide's draws."
            )
        if not isinstance(value, Tensor):
            raise TypeError(
                f"SMCState[{key!r}] must be a tensor with one row a particle, got "
                f"{type(value).__name__}."
            )
        if not value.dim() or len(value) != self._num_particles:
            raise ValueError(
                f"SMCState[{key!r}] has shape {tuple(value.shape)}, expected one row for each of "
                f"{self._num_particles} particles. Use value.expand(...), and check that "
                "max_plate_nesting is the depth of the model's plates."
            )
        super().__setitem__(key, value)

    @contextmanager
    def _read_only(self) -> Iterator[None]:
        self._locked = True
        try:
            yield
        finally:
            self._locked = False

    def _resample(self, chosen: Tensor) -> None:
        """Put copies of chosen particles in the place of all, with equal weights."""
        for name, value in self.items():
            super().__setitem__(name, value.index_select(0, chosen))
        self._log_weights = torch.full_like(self._log_weights, -math.log(self._num_particles))


class SMCFilter:
    r"""Filters :math:`p(z_t \mid x_{1:t})` by weighted particles that are resampled now and then.

    Each step extends every particle by a draw of the guide, multiplies its weight by
    :math:`p(x_t, z_t \mid z_{t-1}) / q(z_t \mid z_{t-1})`, and, where the effective sample size
    falls below a threshold, replaces the particles by draws from among them (systematic
    resampling). :attr:`log_evidence` holds the logarithm of an unbiased estimate of
    :math:`p(x_{1:t})`.

    :param model: an object with methods ``init(state, ...)`` and ``step(state, ...)``, which sample
        and write what they need later to ``state``, an :class:`SMCState`. Sites of different steps
        have names of their own.
    :param guide: an object with the same methods, which reads the state but does not write. What it
        does not draw is drawn by the model; a guide that draws nothing is the bootstrap filter.
    :param num_particles: how many particles there are. They are one more plate, left of the
        model's own.
    :param max_plate_nesting: how many batch dimensions the plates of model and guide take up.
    :param ess_threshold: the share of the particles below which the effective sample size makes
        them be resampled.
    :raises ValueError: where these numbers are out of range.

    >>> import pyro, pyro.distributions as dist
    >>> class Walk:
    ...     def init(self, state):
    ...         self.t = 0
    ...         state["z"] = pyro.sample("z_0", dist.Normal(0.0, 1.0))
    ...     def step(self, state, x):
    ...         self.t += 1
    ...         state["z"] = pyro.sample(f"z_{self.t}", dist.Normal(state["z"], 1.0))
    ...         pyro.sample(f"x_{self.t}", dist.Normal(state["z"], 1.0), obs=x)
    >>> class Bootstrap:
    ...     def init(self, state): ...
    ...     def step(self, state, x): ...
    >>> smc = SMCFilter(Walk(), Bootstrap(), num_particles=2000, max_plate_nesting=0)
    >>> smc.init()
    >>> smc.step(torch.tensor(1.5))
    >>> bool((smc.get_empirical()["z"].mean - 1.0).abs() < 0.15)
    True

    Source: Doucet and Johansen 2009, *A Tutorial on Particle Filtering and Smoothing*; Del Moral
    2004, *Feynman-Kac Formulae*, for unbiasedness.
    """

    def __init__(
        self,
        model: Any,
        guide: Any,
        num_particles: int,
        max_plate_nesting: int,
        *,
        ess_threshold: float = 0.5,
    ) -> None:
        if num_particles < 1:
            raise ValueError(f"num_particles must be a positive integer, got {num_particles}.")
        if not 0 < ess_threshold <= 1:
            raise ValueError(f"ess_threshold must lie above 0 and up to 1, got {ess_threshold}.")
        self.model = model
        self.guide = guide
        self.num_particles = num_particles
        self.max_plate_nesting = max_plate_nesting
        self.ess_threshold = ess_threshold
        self.state = SMCState(num_particles)
        self._log_evidence: Tensor | None = None

    @property
    def log_evidence(self) -> Tensor:
        """The logarithm of an unbiased estimate of the density of the data so far.

        :raises RuntimeError: before :meth:`init`.
        """
        if self._log_evidence is None:
            raise RuntimeError("SMCFilter has no particles yet: call init() first.")
        return self._log_evidence

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Draw the particles' first states, by the ``init`` methods of guide and model.

        :param args: arguments of both, after the state.
        :param kwargs: keyword arguments of both.
        :raises SMCFailed: where model and data allow none of them.
        """
        self.state = SMCState(self.num_particles)
        self._log_evidence = torch.zeros(())
        self._advance(self.guide.init, self.model.init, args, kwargs)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Take the particles one step on, by the ``step`` methods of guide and model.

        :param args: arguments of both, after the state.
        :param kwargs: keyword arguments of both.
        :raises RuntimeError: before :meth:`init`.
        :raises SMCFailed: where model and data allow no particle any more; this names the site.
        """
        self._log_evidence = self.log_evidence
        self._advance(self.guide.step, self.model.step, args, kwargs)

    def _advance(self, propose: Any, extend: Any, args: Any, kwargs: Any) -> None:
        refuse_outer_ties()
        count, depth = self.num_particles, self.max_plate_nesting
        propose, extend = (inside_plate(fn, PLATE, count, -1 - depth) for fn in (propose, extend))
        with block():
            with self.state._read_only():
                guide_trace = trace(propose).get_trace(self.state, *args, **kwargs)
            replayed: Callable[..., Any] = replay(extend, trace=guide_trace)
            model_trace = trace(replayed).get_trace(self.state, *args, **kwargs)
        gain, charge = particle_log_weights(model_trace, guide_trace, count, depth)
        self._weigh(gain - charge, model_trace, guide_trace)

    def _weigh(self, log_ratio: Tensor, model_trace: Trace, guide_trace: Trace) -> None:
        log_weights = self.state._log_weights + log_ratio
        gained = log_weights.logsumexp(0)
        if not bool(gained.isfinite()):
            raise self._failed(model_trace, guide_trace)
        self._log_evidence = self.log_evidence + gained
        log_weights = log_weights - gained
        self.state._log_weights = log_weights
        if effective_size(log_weights) < self.ess_threshold * self.num_particles:
            self.state._resample(systematic_sample(log_weights))

    def _failed(self, model_trace: Trace, guide_trace: Trace) -> SMCFailed:
        """Find the site at which the last particle is lost."""
        log_weights, is_weighed = self.state._log_weights, weighed_sites(guide_trace)
        for name, site in model_trace.nodes.items():
            if "log_prob" in site and not site_is_subsample(site) and is_weighed(name, site):
                log_weights = log_weights + sum_rightmost(site["log_prob"], self.max_plate_nesting)
                if not bool(log_weights.logsumexp(0).isfinite()):
                    break
        return SMCFailed(
            f"At site {name!r}: no particle of {self.num_particles} is left whose density is "
            "finite and positive. Take more particles, a guide that looks at the data, or a model "
            "that rules less out."
        )

    def get_empirical(self) -> dict[str, Empirical]:
        """Return the laws of the state's values under the weighted particles, by name."""
        log_weights = self.state._log_weights
        return {name: Empirical(value, log_weights) for name, value in self.state.items()}


def systematic_sample(log_weights: Tensor) -> Tensor:
    """Return as many indices as there are weights, each in proportion to its weight.

    An index comes up as often as its share of the draws, rounded down or up; one random number
    decides about all.

    :param log_weights: the logarithms of the weights, up to a constant, shape ``(N,)``.

    >>> systematic_sample(torch.tensor([0.5, 0.0, 0.5, 0.0]).log())
    tensor([0, 0, 2, 2])

    Source: Carpenter, Clifford and Fearnhead 1999, IEE Proceedings 146(1).
    """
    count = len(log_weights)
    shares = log_weights.double().softmax(0).cumsum(0)
    ladder = torch.arange(count, dtype=shares.dtype, device=shares.device)
    places = (ladder + torch.rand((), dtype=shares.dtype).to(shares.device)) * (shares[-1] / count)
    return torch.searchsorted(shares, places, right=True).clamp(max=count - 1)
