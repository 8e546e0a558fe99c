"""Stochastic variational inference: gradient steps on an objective."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from pyro._foundation.progress import progress
from pyro._foundation.warnings import warn_once
from pyro.infer.abstract_infer import TracePosterior
from pyro.infer.checks import refuse_outer_ties
from pyro.infer.elbo import ELBO, Program
from pyro.infer.leaves import LeavesRead
from pyro.infer.numerics import torch_backward, torch_item, zero_grads
from pyro.optim.optim import PyroOptim
from pyro.poutine.handlers import block, replay, trace
from pyro.poutine.trace_struct import Trace

Loss = Callable[..., Any]


class SVI(TracePosterior):
    r"""Minimises a loss :math:`L(\phi)` by steps on estimates of :math:`\nabla_\phi L`.

    Every step runs guide and model, and updates all the parameters that either of them read.

    :param model: the model, whose observed sites hold the data.
    :param guide: the guide, which draws the model's other sites.
    :param optim: the optimiser, a wrapper from :mod:`pyro.optim`.
    :param loss: an :class:`~pyro.infer.elbo.ELBO`, or a function of model, guide and their
        arguments that returns a differentiable loss; several objectives are combined in such a
        function.
    :param loss_and_grads: a function like ``loss`` that also adds gradients to the parameters'
        ``grad``; by default it is made from ``loss``.
    :param num_samples: how many runs :meth:`run` collects.
    :param num_steps: how many steps :meth:`run` takes before.
    :param kwargs: passed on to :class:`~pyro.infer.abstract_infer.TracePosterior`.
    :raises ValueError: where ``optim`` is no PyroOptim.
    :raises TypeError: where ``loss`` is neither an ELBO nor callable.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer import Trace_ELBO
    >>> def model(data):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", len(data)):
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> def guide(data):
    ...     pyro.sample("z", dist.Delta(pyro.param("mode", torch.tensor(0.0))))
    >>> svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO())
    >>> losses = [svi.step(torch.tensor([2.0, 4.0])) for _ in range(150)]
    >>> round(pyro.param("mode").item(), 1)
    2.0

    Source: Hoffman et al. 2013, *Stochastic Variational Inference*, JMLR 14(4).
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        optim: PyroOptim,
        loss: ELBO | Loss,
        loss_and_grads: Loss | None = None,
        num_samples: int = 0,
        num_steps: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(optim, PyroOptim):
            raise ValueError(
                f"SVI needs an optimiser from pyro.optim, got {type(optim).__name__}. It makes one "
                "torch optimiser for each parameter as it appears: pyro.optim.Adam({'lr': 0.01})."
            )
        self.model = model
        self.guide = guide
        self.optim = optim
        self.num_samples = num_samples
        self.num_steps = num_steps
        self.loss: Loss
        self.loss_and_grads: Loss
        if isinstance(loss, ELBO):
            self.loss = loss.loss
            self.loss_and_grads = loss_and_grads or loss.loss_and_grads
        elif callable(loss):
            self.loss = loss
            self.loss_and_grads = loss_and_grads or _Backpropagated(loss)
        else:
            raise TypeError(
                f"loss must be an ELBO such as Trace_ELBO() or a function, got {loss!r}."
            )

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Take one gradient step.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        :returns: the estimate of the loss before the step, as a number; a tuple of numbers where
            the loss gives a tuple.
        :raises ValueError: whatever model, guide and their checks raise; the parameters are then
            as before the step.
        """
        refuse_outer_ties()
        read = LeavesRead()
        try:
            with read:
                loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
            self.optim(read.leaves.values())
        finally:
            zero_grads(read.leaves.values())
        return _as_number(loss)

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Return an estimate of the loss without a step.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        :returns: a number, or a tuple of numbers where the loss gives a tuple.
        """
        refuse_outer_ties()
        with torch.no_grad():
            return _as_number(self.loss(self.model, self.guide, *args, **kwargs))

    def run(self, *args: Any, **kwargs: Any) -> "SVI":
        """Take ``num_steps`` steps, then collect ``num_samples`` runs of the fitted posterior.

        What takes longer than a second shows a bar with the latest loss, on a terminal. New code
        calls :meth:`step` in a loop and :class:`~pyro.infer.predictive.Predictive`.

        :param args: arguments of model and guide.
        :param kwargs: keyword arguments of model and guide.
        :returns: this object.
        """
        warn_once(
            "SVI.run",
            "SVI.run() is deprecated: call SVI.step() in a loop, and Predictive for draws.",
            FutureWarning,
        )
        with block():
            losses = (self.step(*args, **kwargs) for _ in range(self.num_steps))
            for _ in progress(losses, "SVI", self.num_steps, _loss_note):
                pass
        super().run(*args, **kwargs)
        return self

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Trace, float]]:
        for _ in range(self.num_samples):
            with torch.no_grad():
                drawn = trace(self.guide).get_trace(*args, **kwargs)
                record = trace(replay(self.model, trace=drawn)).get_trace(*args, **kwargs)
            yield record, 0.0


class _Backpropagated:
    """A loss that is backpropagated each time it is evaluated."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value = self.loss(*args, **kwargs)
        torch_backward(value)
        return value


def _as_number(loss: Any) -> Any:
    if isinstance(loss, tuple):
        return tuple(map(torch_item, loss))
    return torch_item(loss)


def _loss_note(loss: Any) -> str:
    return "loss " + " ".join(
        f"{each:.4g}" for each in (loss if isinstance(loss, tuple) else [loss])
    )
