"""Learning rates that change over time, for parameters that come and go."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyro._foundation.errors import site_error
from pyro.optim.arguments import Arguments, PerParam, check_accepted
from pyro.optim.optim import PyroOptim


class PyroLRScheduler(PyroOptim):
    """A torch optimiser and a learning rate scheduler for each parameter.

    :param scheduler_constructor: a class of torch learning rate schedulers.
    :param optim_args: a dictionary with the keys ``"optimizer"``, a class of torch optimisers, and
        ``"optim_args"``, its arguments or a function from a parameter's name to them. All other
        keys are arguments of the scheduler. Where a scheduler takes ``schedulers``, these are
        functions from an optimiser to a scheduler.
    :param clip_args: how to clip gradients, as for :class:`~pyro.optim.optim.PyroOptim`.
    :raises TypeError: where a key is missing or unknown.

    >>> import torch
    >>> x = torch.zeros((), requires_grad=True)
    >>> args = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 1.0}, "gamma": 0.5}
    >>> optim = PyroLRScheduler(torch.optim.lr_scheduler.ExponentialLR, args)
    >>> for epoch in range(2):
    ...     x.grad = torch.ones(())
    ...     optim([x])
    ...     optim.step()
    >>> x
    tensor(-1.5000, requires_grad=True)
    """

    def __init__(
        self,
        scheduler_constructor: Callable[..., LRScheduler],
        optim_args: Arguments,
        clip_args: PerParam | None = None,
    ) -> None:
        if not isinstance(optim_args, Mapping) or not {"optimizer", "optim_args"} <= set(
            optim_args
        ):
            raise TypeError(
                "The arguments of a scheduler must be a dictionary with the keys 'optimizer' and "
                f"'optim_args' and the scheduler's own, got {optim_args!r}."
            )
        own = {"optimizer": None, "optim_args": None}
        self.pt_scheduler_constructor = scheduler_constructor
        self.kwargs = {key: value for key, value in optim_args.items() if key not in own}
        check_accepted(scheduler_constructor, self.kwargs, "optimizer")
        super().__init__(optim_args["optimizer"], optim_args["optim_args"], clip_args)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Step the schedulers of all parameters seen so far, once an epoch or as you like.

        :param args: arguments of the ``step`` of every parameter's scheduler, such as a metric.
        :param kwargs: more of them.
        """
        for scheduler in self.optim_objs.values():
            scheduler.step(*args, **kwargs)

    def _make(self, p: Tensor, arguments: Arguments) -> LRScheduler:
        optimizer = super()._make(p, arguments)
        kwargs = dict(self.kwargs)
        if "schedulers" in kwargs:
            kwargs["schedulers"] = [make(optimizer) for make in kwargs["schedulers"]]
        return self.pt_scheduler_constructor(optimizer=optimizer, **kwargs)

    def _optimizer_of(self, made: LRScheduler) -> Optimizer:
        # Optimisers that step together bypass the `step` by which a scheduler learns of it.
        made.optimizer._opt_called = True  # type: ignore[attr-defined]
        return made.optimizer

    def _state_of(self, made: LRScheduler) -> dict[str, Any]:
        return {"scheduler": made.state_dict(), "optimizer": made.optimizer.state_dict()}

    def _load_state(self, made: LRScheduler, state: dict[str, Any]) -> None:
        made.load_state_dict(state["scheduler"])
        made.optimizer.load_state_dict(state["optimizer"])

    def _check_state(self, state: Any, name: str) -> None:
        if not (isinstance(state, Mapping) and {"scheduler", "optimizer"} <= state.keys()):
            raise site_error(name, "there is no state of a scheduler for the parameter")
