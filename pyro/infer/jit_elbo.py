"""One adapter that compiles any objective."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.rng import get_rng_state, set_rng_state
from pyro._foundation.warnings import warn_once
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.compile import CompiledFunction, Outcome
from pyro.infer.elbo import ELBO, Program
from pyro.infer.numerics import torch_backward


class JitELBO(ELBO):
    """Compiles the loss and the gradient of the objective that comes next among the bases.

    A compiled objective is a line, ``class JitX_ELBO(JitELBO, X_ELBO)``, and a docstring. All that
    it asks of the objective is an ``_estimate`` whose losses are tensors, and that it keep what it
    remembers of earlier steps in ``_memory``. What is said of
    :class:`~pyro.infer.compile.CompiledFunction` holds: the first step runs model and guide with
    all checks, the second compiles, later ones run no Python of either. Parameters of any later
    state of the store are used; a cleared store starts anew.

    ``jit_options`` may choose a ``"backend"``, see
    :func:`~pyro.ops.graph_compilers.compile_graph`; with ``ignore_jit_warnings`` an
    objective that cannot be compiled runs as it is without saying so. ``loss`` is not compiled.
    """

    _compiled: dict[Any, CompiledFunction]

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, and add one of its gradient to the parameters' ``grad``.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        outcome = self._outcome(model, guide, args, kwargs)
        loss: float = outcome.outputs[0].item()
        if outcome.rows is None:
            torch_backward(outcome.outputs[-1], self.retain_graph)
            return loss
        _add_gradients(outcome.inputs, outcome.rows[-1])
        if math.isnan(loss):
            self._explain_nan(model, guide, args, kwargs)
        return loss

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return a tensor whose value estimates the loss and whose gradient that of the loss.

        It is to be differentiated once, not twice.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        loss, surrogate = self.loss_and_surrogate_loss(model, guide, *args, **kwargs)
        return loss if loss is surrogate else loss.detach() + (surrogate - surrogate.detach())

    def loss_and_surrogate_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return an estimate of the loss, and what to differentiate for that of its gradient.

        :param model: the model.
        :param guide: its guide.
        :param args: arguments of both.
        :param kwargs: keyword arguments of both.
        """
        refuse_outer_ties()
        outputs = self._function(model, guide)(*args, **kwargs)
        return outputs[0], outputs[-1]

    def _outcome(self, model: Program, guide: Program, args: Any, kwargs: Any) -> Outcome:
        refuse_outer_ties()
        return self._function(model, guide).evaluate(args, kwargs)

    def _function(self, model: Program, guide: Program) -> CompiledFunction:
        """Return the compiled estimate of a model and a guide."""
        modes = [getattr(program, "training", None) for program in (model, guide)]
        key = (model, guide, *modes, self.num_particles, self.vectorize_particles)
        known = self.__dict__.setdefault("_compiled", {})
        if key not in known:
            estimate = _Estimate(self, model, guide)
            known[key] = CompiledFunction(
                estimate, self.ignore_jit_warnings, self.jit_options, self._memory
            )
        function: CompiledFunction = known[key]
        return function

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name != "_compiled"}

    def _explain_nan(self, model: Program, guide: Program, args: Any, kwargs: Any) -> None:
        """Run model and guide once more, checked and with names, and leave no trace of that."""
        generators = get_rng_state()
        try:
            with torch.no_grad():
                loss = self.loss(model, guide, *args, **kwargs)
        finally:
            set_rng_state(generators)
        if not math.isnan(loss):
            warn_once(
                "compiled nan loss",
                "The loss is NaN; with the next draws it is not, so that no site can be named. Use "
                "the objective without Jit to find the site.",
                stacklevel=3,
            )


class _Estimate:
    """The loss of an objective, and what to differentiate where that is something else."""

    def __init__(self, elbo: Any, model: Program, guide: Program) -> None:
        self.elbo = elbo
        self.model = model
        self.guide = guide

    def __call__(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        loss, surrogate = self.elbo._estimate(self.model, self.guide, args, kwargs)
        return [loss] if loss is surrogate else [loss.detach(), surrogate]


def _add_gradients(inputs: Sequence[Tensor], row: Sequence[Tensor | None]) -> None:
    """Backpropagate from inputs whose gradients are known."""
    inner, gradients = [], []
    for x, gradient in zip(inputs, row, strict=True):
        if gradient is None:
            continue
        if x.grad_fn is not None:
            inner.append(x)
            gradients.append(gradient)
        elif x.grad is None:
            x.grad = gradient
        else:
            x.grad = x.grad + gradient
    if inner:
        torch.autograd.backward(inner, gradients)
