"""What several tests of optimisers share: every torch optimiser, and steps to compare."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

import pyro.optim
from pyro.optim.optim import PyroOptim
from pyro.params.param_store import _PYRO_PARAM_STORE

# Arguments that put as much of each optimiser to work as can be.
EVERY_OPTIMISER: dict[str, dict[str, Any]] = {
    "ASGD": {"lr": 0.1, "t0": 2.0, "weight_decay": 0.01},
    "Adadelta": {"lr": 0.5, "weight_decay": 0.01},
    "Adafactor": {"lr": 0.1},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "AdagradRMSProp": {"eta": 0.5, "t": 0.3},
    "Adam": {"lr": 0.1, "amsgrad": True, "weight_decay": 0.01},
    "AdamW": {"lr": 0.1},
    "Adamax": {"lr": 0.1},
    "ClippedAdam": {"lr": 0.1, "lrd": 0.9, "clip_norm": 1.0, "weight_decay": 0.01},
    "DCTAdam": {"lr": 0.1, "lrd": 0.9, "clip_norm": 1.0},
    "Muon": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
    "RAdam": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.5, "centered": True},
    "Rprop": {"lr": 0.1},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "SparseAdam": {"lr": 0.1},
}
NAMES = ["a", "b", "net$$$c", "d"]
SHAPES = [(2, 3), (3, 2), (1, 4), (2, 3)]
SCHEDULE = [[0, 1, 2, 3], [0, 2], [1], [3, 2, 1], [], [0, 1, 2, 3], [0, 1, 2, 3], [2, 0]]
Step = Callable[[list[Tensor]], None]


def constructor_of(name: str) -> Callable[..., Optimizer]:
    """The class that a factory of :mod:`pyro.optim` makes optimisers of."""
    made: PyroOptim = getattr(pyro.optim, name)(EVERY_OPTIMISER[name])
    return made.pt_optim_constructor


def fresh_params(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Four leaves, the same each time, that are in no store."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in SHAPES
    ]


def stored_params(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """The same as parameters of the store, under the names of ``NAMES``."""
    for name, leaf in zip(NAMES, fresh_params(dtype), strict=True):
        _PYRO_PARAM_STORE.bind(name, leaf)
    return [_PYRO_PARAM_STORE.unconstrained(name) for name in NAMES]


def set_gradient(p: Tensor, step: int, sparse: bool = False) -> None:
    """A gradient that depends on where the parameter is and on the step."""
    gradient = torch.sin(3.0 * p.detach() + step)
    p.grad = gradient.to_sparse(1) if sparse else gradient


def trajectory(
    params: Sequence[Tensor],
    step: Step,
    sparse: bool = False,
    schedule: Sequence[Sequence[int]] = SCHEDULE,
) -> list[Tensor]:
    """Step the parameters that a schedule names, and record all of them each time."""
    record = []
    for i, indices in enumerate(schedule):
        for p in params:
            set_gradient(p, i, sparse)
        step([params[k] for k in indices])
        record += [p.detach().clone() for p in params]
    return record


def one_by_one(params: Sequence[Tensor], make: Callable[[Tensor, int], Optimizer]) -> Step:
    """The plain way: an optimiser of torch for each parameter, stepped on its own."""
    optimizers = {p: make(p, i) for i, p in enumerate(params)}

    def step(chosen: list[Tensor]) -> None:
        for p in chosen:
            optimizers[p].step()

    return step
