"""Learning rates that change over time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

import pyro.optim
from pyro.optim.lr_scheduler import PyroLRScheduler
from tests.optim.optimisers import fresh_params, set_gradient, stored_params

SGD: dict[str, Any] = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1, "momentum": 0.5}}
EVERY_SCHEDULER: dict[str, dict[str, Any]] = {
    "ChainedScheduler": {
        "schedulers": [
            lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.5),
            lambda optimizer: lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=2),
        ]
    },
    "ConstantLR": {"factor": 0.5, "total_iters": 2},
    "CosineAnnealingLR": {"T_max": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2},
    "ExponentialLR": {"gamma": 0.5},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.5**epoch},
    "LinearLR": {"total_iters": 3},
    "MultiStepLR": {"milestones": [2, 3]},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.5},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 10},
    "PolynomialLR": {"total_iters": 4},
    "ReduceLROnPlateau": {"patience": 0},
    "SequentialLR": {
        "schedulers": [
            lambda optimizer: lr_scheduler.ConstantLR(optimizer, 0.1),
            lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9),
        ],
        "milestones": [2],
    },
    "StepLR": {"step_size": 2},
}


def _make(name: str) -> PyroLRScheduler:
    made = getattr(pyro.optim, name)({**SGD, **EVERY_SCHEDULER[name]})
    assert isinstance(made, PyroLRScheduler)
    return made


def _metric(name: str) -> tuple[float, ...]:
    return (1.0,) if name == "ReduceLROnPlateau" else ()


def _plain(name: str, p: Tensor) -> tuple[torch.optim.Optimizer, Any]:
    optimizer = torch.optim.SGD([p], **SGD["optim_args"])
    arguments = dict(EVERY_SCHEDULER[name])
    if "schedulers" in arguments:
        arguments["schedulers"] = [make(optimizer) for make in arguments["schedulers"]]
    return optimizer, getattr(lr_scheduler, name)(optimizer=optimizer, **arguments)


@pytest.mark.parametrize("name", EVERY_SCHEDULER)
def test_every_scheduler_steps_as_torchs_does(name: str) -> None:
    alone, together = fresh_params(), fresh_params()
    plain = [_plain(name, p) for p in alone]
    optim = _make(name)
    for epoch in range(6):
        for p, q in zip(alone, together, strict=True):
            set_gradient(p, epoch)
            set_gradient(q, epoch)
        optim(together)
        optim.step(*_metric(name))
        for optimizer, scheduler in plain:
            optimizer.step()
            scheduler.step(*_metric(name))
        for p, q in zip(alone, together, strict=True):
            assert torch.equal(p, q)


def test_a_parameter_that_comes_later_begins_its_own_schedule() -> None:
    early, late, *_ = fresh_params()
    optim = pyro.optim.ExponentialLR({**SGD, "gamma": 0.5})
    for params in ([early], [early, late]):
        for p in params:
            set_gradient(p, 0)
        optim(params)
        optim.step()
    rates = [optim.optim_objs[p].optimizer.param_groups[0]["lr"] for p in (early, late)]
    assert rates == [0.025, 0.05]


@pytest.mark.parametrize(
    "name", sorted(EVERY_SCHEDULER.keys() - {"ChainedScheduler", "SequentialLR"})
)
def test_a_saved_state_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    def run(optim: PyroLRScheduler, epochs: range) -> None:
        for epoch in epochs:
            for p in params:
                set_gradient(p, epoch)
            optim(params)
            optim.step(*_metric(name))

    params = stored_params()
    run(_make(name), range(6))
    expected = [p.detach().clone() for p in params]
    params = stored_params()
    optim = _make(name)
    run(optim, range(3))
    optim.save(tmp_path / "optim.pt")
    resumed = _make(name)
    resumed.load(tmp_path / "optim.pt")
    run(resumed, range(3, 6))
    for p, last in zip(params, expected, strict=True):
        assert torch.equal(p, last)


def test_a_state_holds_the_scheduler_and_the_optimiser() -> None:
    params = stored_params()
    optim = pyro.optim.StepLR({**SGD, "step_size": 1})
    for p in params:
        set_gradient(p, 0)
    optim(params)
    optim.step()
    state = optim.get_state()["a"]
    assert state["scheduler"]["last_epoch"] == 1
    assert list(state["optimizer"]["state"][0]) == ["momentum_buffer"]


def test_arguments_of_the_optimiser_may_depend_on_the_name() -> None:
    rates: Callable[[str], dict[str, float]] = lambda name: {"lr": 0.5 if name == "a" else 0.25}  # noqa: E731
    arguments = {"optimizer": torch.optim.SGD, "optim_args": rates, "gamma": 0.5}
    optim = pyro.optim.ExponentialLR(arguments, {"clip_value": 1.0})
    optim(stored_params())
    assert [s.base_lrs for s in optim.optim_objs.values()] == [[0.5], [0.25], [0.25], [0.25]]
    assert list(arguments) == ["optimizer", "optim_args", "gamma"]


@pytest.mark.parametrize(
    "arguments", [{}, {"optimizer": torch.optim.SGD}, {"optim_args": {"lr": 0.1}}, 0.1]
)
def test_a_missing_key_is_named(arguments: Any) -> None:
    with pytest.raises(TypeError, match="with the keys 'optimizer' and 'optim_args'"):
        pyro.optim.ExponentialLR(arguments)


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="ExponentialLR has no argument 'decay'; it takes 'gamma'"):
        pyro.optim.ExponentialLR({**SGD, "decay": 0.5})
    with pytest.raises(TypeError, match="SGD has no argument 'betas'"):
        pyro.optim.ExponentialLR({**SGD, "optim_args": {"betas": 1}, "gamma": 0.5})


def test_the_state_of_an_optimiser_is_none_of_a_scheduler() -> None:
    optim = pyro.optim.ExponentialLR({**SGD, "gamma": 0.5})
    with pytest.raises(ValueError, match="At site 'a': there is no state of a scheduler"):
        optim.set_state({"a": {"state": {}, "param_groups": []}})
