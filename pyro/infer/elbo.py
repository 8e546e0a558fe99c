"""What all variational objectives share: particles, plates, and the life as a torch module."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

from pyro._foundation.jit import is_capturing
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.nonfinite import warn_of_nan_loss
from pyro.infer.numerics import torch_backward, torch_item
from pyro.infer.plates import guess_max_plate_nesting, inside_plate
from pyro.poutine.trace_struct import Trace

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Program = Callable[..., Any]
PARTICLE_PLATE = "num_particles_vectorized"


class ParticleLoss(NamedTuple):
    """A loss of one particle, and what to differentiate for an unbiased gradient of its mean.

    Where every draw is pathwise differentiable, both are the same object.
    """

    loss: torch.Tensor
    surrogate: torch.Tensor


class ELBOModule(torch.nn.Module):
    """An objective with its model and guide, as a module whose output is the loss.

    :param model: the model; a module's parameters become this module's.
    :param guide: its guide, likewise.
    :param elbo: the objective.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer import Trace_ELBO
    >>> def model():
    ...     pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> loss = Trace_ELBO()(model, model)
    >>> loss()
    tensor(0.)
    """

    def __init__(self, model: Program, guide: Program, elbo: "ELBO") -> None:
        super().__init__()
        self.model = model
        self.guide = guide
        self.elbo = elbo

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return a loss that can be differentiated.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        """
        return self.elbo.differentiable_loss(self.model, self.guide, *args, **kwargs)


class ELBO(ABC):
    """Base of the objectives: estimates of ``-E_q[log p(x, z) - log q(z)]`` and its gradient.

    A subclass says how to run model and guide (``_get_trace``) and what one run is worth
    (``_particle_loss``); the mean over particles, gradients and checks are here.

    :param num_particles: how many draws of the guide to average over.
    :param max_plate_nesting: how many batch dimensions the plates of model and guide take up; found
        by a run of both where it is needed and not given.
    :param max_iarange_nesting: an older name of ``max_plate_nesting``.
    :param vectorize_particles: draw all particles at once, in one more plate on the left.
    :param strict_enumeration_warning: for objectives that enumerate, whether to warn when there is
        nothing to enumerate.
    :param ignore_jit_warnings: for compiled objectives, whether to silence the tracer.
    :param jit_options: for compiled objectives, options of the compiler.
    :param retain_graph: keep the graph after the backward pass; by default it is freed.
    :param tail_adaptive_beta: for the tail-adaptive objective, its exponent.
    :raises ValueError: for fewer than one particle.

    Source: Blei, Kucukelbir and McAuliffe 2017, *Variational Inference: A Review for
    Statisticians*, arXiv:1601.00670.
    """

    def __init__(
        self,
        num_particles: int = 1,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: float | None = None,
        vectorize_particles: bool = False,
        strict_enumeration_warning: bool = True,
        ignore_jit_warnings: bool = False,
        jit_options: dict[str, Any] | None = None,
        retain_graph: bool | None = None,
        tail_adaptive_beta: float = -1.0,
    ) -> None:
        if num_particles < 1:
            raise ValueError(f"num_particles must be a positive integer, got {num_particles}.")
        if max_iarange_nesting is not None:
            warnings.warn(
                "max_iarange_nesting is the older name of max_plate_nesting; use that.",
                DeprecationWarning,
                stacklevel=2,
            )
            max_plate_nesting = max_iarange_nesting
        self.num_particles = num_particles
        self.vectorize_particles = vectorize_particles
        self.max_plate_nesting = max_plate_nesting + self._batches_particles
        self.strict_enumeration_warning = strict_enumeration_warning
        self.ignore_jit_warnings = ignore_jit_warnings
        self.jit_options = jit_options
        self.retain_graph = retain_graph
        self.tail_adaptive_beta = tail_adaptive_beta

    @property
    def _memory(self) -> dict[str, torch.Tensor]:
        """What steps read and replace, one dictionary of tensors for as long as the objective."""
        return {}

    def __call__(self, model: Program, guide: Program) -> ELBOModule:
        """Return the objective of this model and guide as a torch module.

        :param model: the model.
        :param guide: its guide.
        """
        return ELBOModule(model, guide, self)

    @property
    def _batches_particles(self) -> bool:
        return self.vectorize_particles and self.num_particles > 1

    def _guess_max_plate_nesting(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> None:
        """Set ``max_plate_nesting`` by one run of guide and model; the particles' plate counts."""
        guess = guess_max_plate_nesting(model, guide, args, kwargs)
        self.max_plate_nesting = guess + self._batches_particles

    @abstractmethod
    def _get_trace(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> tuple[Trace, Trace]:
        """Return a scored run of the model and the run of the guide that it follows."""

    def _get_traces(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[Trace, Trace]]:
        """Run guide and model once a particle, or once for all where particles are a plate."""
        for one_model, one_guide in self._particles(model, guide, args, kwargs):
            yield self._get_trace(one_model, one_guide, args, kwargs)

    def _particles(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[Program, Program]]:
        """Yield model and guide once a particle, or once inside the plate of all particles."""
        refuse_outer_ties()
        if not self._batches_particles:
            for _ in range(self.num_particles):
                yield model, guide
            return
        if self.max_plate_nesting == math.inf:
            self._guess_max_plate_nesting(model, guide, args, kwargs)
        model, guide = (
            inside_plate(fn, PARTICLE_PLATE, self.num_particles, -int(self.max_plate_nesting))
            for fn in (model, guide)
        )
        yield model, guide

    def _particle_loss(self, model_trace: Trace, guide_trace: Trace) -> ParticleLoss:
        """Return the loss of one scored run, summed over the particles where they are a plate.

        A subclass that has its own ``loss``, ``loss_and_grads`` and ``differentiable_loss`` needs
        none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no _particle_loss().")

    def _particle_losses(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[float, ParticleLoss]]:
        """Yield every particle's loss, as a number and as tensors to differentiate."""
        for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
            particle = self._particle_loss(model_trace, guide_trace)
            yield self._as_number(particle, (guide_trace, model_trace)), particle

    def _as_number(self, particle: ParticleLoss, traces: Iterable[Trace]) -> float:
        """Return what a particle adds to the loss, with a warning where that is NaN.

        Zero while a graph is captured, for numbers must not be looked at then.
        """
        if is_capturing():
            return 0.0
        loss = torch_item(particle.loss) / self.num_particles
        warn_of_nan_loss(loss, traces)
        return loss

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        return sum(loss for loss, _ in self._particle_losses(model, guide, args, kwargs))

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, and add one of its gradient to the parameters' ``grad``.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        total = 0.0
        for loss, particle in self._particle_losses(model, guide, args, kwargs):
            torch_backward(self._share(particle.surrogate), self.retain_graph)
            total += loss
        return total

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return a tensor whose value estimates the loss and whose gradient that of the loss.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        loss, surrogate = self._estimate(model, guide, args, kwargs)
        if loss is surrogate:
            return loss
        return loss.detach() + (surrogate - surrogate.detach())

    def _estimate(self, model: Program, guide: Program, args: Args, kwargs: Kwargs) -> ParticleLoss:
        """Return the mean of the particles' losses."""
        loss = surrogate = torch.zeros(())
        for _, particle in self._particle_losses(model, guide, args, kwargs):
            is_one = loss is surrogate and particle.loss is particle.surrogate
            loss = loss + self._share(particle.loss)
            surrogate = loss if is_one else surrogate + self._share(particle.surrogate)
        return ParticleLoss(loss, surrogate)

    def _share(self, loss: torch.Tensor) -> torch.Tensor:
        """Return what a particle contributes to the mean."""
        return loss if self.num_particles == 1 else loss / self.num_particles
