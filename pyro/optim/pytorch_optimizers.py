"""The optimisers and learning rate schedulers of torch, under their names."""

from types import ModuleType
from typing import Any, Protocol

import torch

from pyro.optim.arguments import Arguments, PerParam
from pyro.optim.lr_scheduler import PyroLRScheduler
from pyro.optim.optim import PyroOptim


class MakesOptim(Protocol):
    """A function that makes an optimiser for parameters that come and go."""

    def __call__(self, optim_args: PerParam, clip_args: PerParam | None = None) -> PyroOptim:
        """Make a :class:`~pyro.optim.optim.PyroOptim`, whose arguments these are."""
        ...


class MakesScheduler(Protocol):
    """A function that makes an optimiser with a learning rate scheduler."""

    def __call__(self, optim_args: Arguments, clip_args: PerParam | None = None) -> PyroLRScheduler:
        """Make a :class:`~pyro.optim.lr_scheduler.PyroLRScheduler`, whose arguments these are."""
        ...


def _optimizer(name: str) -> MakesOptim:
    def make(optim_args: PerParam, clip_args: PerParam | None = None) -> PyroOptim:
        return PyroOptim(_of_torch(torch.optim, name), optim_args, clip_args)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""Make a :class:`~pyro.optim.optim.PyroOptim` of torch's ``{name}``.

    :param optim_args: its arguments, or a function from a parameter's name to them.
    :param clip_args: how to clip gradients, or a function from a parameter's name to that.
    """
    return make


def _scheduler(name: str) -> MakesScheduler:
    def make(optim_args: Arguments, clip_args: PerParam | None = None) -> PyroLRScheduler:
        return PyroLRScheduler(_of_torch(torch.optim.lr_scheduler, name), optim_args, clip_args)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""Make a :class:`~pyro.optim.lr_scheduler.PyroLRScheduler` of ``{name}``.

    :param optim_args: a dictionary with the keys ``"optimizer"`` and ``"optim_args"``, and the
        scheduler's own arguments.
    :param clip_args: how to clip gradients, or a function from a parameter's name to that.
    """
    return make


def _of_torch(module: ModuleType, name: str) -> Any:
    kind = getattr(module, name, None)
    if kind is None:
        raise NotImplementedError(f"torch {torch.__version__} has no {module.__name__}.{name}.")
    return kind


ASGD = _optimizer("ASGD")
Adadelta = _optimizer("Adadelta")
Adafactor = _optimizer("Adafactor")
Adagrad = _optimizer("Adagrad")
Adam = _optimizer("Adam")
AdamW = _optimizer("AdamW")
Adamax = _optimizer("Adamax")
Muon = _optimizer("Muon")
NAdam = _optimizer("NAdam")
RAdam = _optimizer("RAdam")
RMSprop = _optimizer("RMSprop")
Rprop = _optimizer("Rprop")
SGD = _optimizer("SGD")
SparseAdam = _optimizer("SparseAdam")

ChainedScheduler = _scheduler("ChainedScheduler")
ConstantLR = _scheduler("ConstantLR")
CosineAnnealingLR = _scheduler("CosineAnnealingLR")
CosineAnnealingWarmRestarts = _scheduler("CosineAnnealingWarmRestarts")
CyclicLR = _scheduler("CyclicLR")
ExponentialLR = _scheduler("ExponentialLR")
LRScheduler = _scheduler("LRScheduler")
LambdaLR = _scheduler("LambdaLR")
LinearLR = _scheduler("LinearLR")
MultiStepLR = _scheduler("MultiStepLR")
MultiplicativeLR = _scheduler("MultiplicativeLR")
OneCycleLR = _scheduler("OneCycleLR")
PolynomialLR = _scheduler("PolynomialLR")
ReduceLROnPlateau = _scheduler("ReduceLROnPlateau")
SequentialLR = _scheduler("SequentialLR")
StepLR = _scheduler("StepLR")
_LRScheduler = LRScheduler
