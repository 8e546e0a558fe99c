"""Optimisers that step together do what they would do one by one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from pyro.optim import joint
from pyro.optim.joint import step_together
from tests.optim.optimisers import (
    EVERY_OPTIMISER,
    SCHEDULE,
    constructor_of,
    fresh_params,
    one_by_one,
    set_gradient,
    trajectory,
)


def _compare(
    make: Callable[[Tensor, int], Optimizer],
    dtype: torch.dtype = torch.float64,
    sparse: bool = False,
) -> list[Optimizer]:
    """Step together and one by one, and ask for the very same numbers."""
    alone, together = fresh_params(dtype), fresh_params(dtype)
    expected = trajectory(alone, one_by_one(alone, make), sparse)
    optimizers = {p: make(p, i) for i, p in enumerate(together)}
    actual = trajectory(
        together, lambda chosen: step_together([optimizers[p] for p in chosen]), sparse
    )
    for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert torch.equal(one, other), f"record {i} differs by {(one - other).abs().max()}"
    return list(optimizers.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", EVERY_OPTIMISER)
def test_every_optimiser_steps_to_the_same_bits(name: str, dtype: torch.dtype) -> None:
    kind, arguments = constructor_of(name), EVERY_OPTIMISER[name]
    _compare(lambda p, i: kind([p], **arguments), dtype, sparse=name == "SparseAdam")


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients_step_to_the_same_bits(name: str) -> None:
    kind = constructor_of(name)
    _compare(lambda p, i: kind([p], lr=0.1), sparse=True)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("mode", ["foreach", "fused", "maximize", "amsgrad"])
def test_a_mode_that_was_asked_for_is_kept(mode: str, value: bool) -> None:
    arguments: dict[str, Any] = {"lr": 0.1, mode: value}
    optimizers = _compare(lambda p, i: Adam([p], **arguments))
    assert [optimizer.param_groups[0][mode] for optimizer in optimizers] == [value] * 4


def test_hyperparameters_of_each_are_kept() -> None:
    optimizers = _compare(lambda p, i: Adam([p], lr=0.1 * (i % 2 + 1), betas=(0.5, 0.9)))
    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.1, 0.2, 0.1, 0.2]


def test_hyperparameters_may_be_tensors_or_lists() -> None:
    _compare(lambda p, i: Adam([p], lr=torch.tensor(0.1)))
    _compare(lambda p, i: Adam([p], lr=0.1, betas=[0.5, 0.9]))  # type: ignore[arg-type]


def test_kinds_may_mix() -> None:
    _compare(lambda p, i: [Adam, SGD][i % 2]([p], lr=0.1))


def test_each_keeps_its_own_state_and_the_common_default_stays() -> None:
    optimizers = _compare(lambda p, i: Adam([p], lr=0.1))
    for optimizer in optimizers:
        (p,) = optimizer.param_groups[0]["params"]
        assert list(optimizer.state) == [p]
        assert optimizer.param_groups[0]["foreach"] is None


def test_a_learning_rate_that_decays_does_so_for_each_by_its_own_steps() -> None:
    kind = constructor_of("ClippedAdam")
    optimizers = _compare(lambda p, i: kind([p], lr=1.0, lrd=0.5))
    steps = [sum(i in indices for indices in SCHEDULE) for i in range(4)]
    assert len(set(steps)) > 1
    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.5**n for n in steps]


def _count_steps(monkeypatch: pytest.MonkeyPatch, kind: type[Optimizer]) -> list[int]:
    sizes: list[int] = []
    step = kind.step

    def counted(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        sizes.append(sum(len(group["params"]) for group in self.param_groups))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(kind, "step", counted)
    return sizes


def _step_all(optimizers: list[Optimizer]) -> None:
    for optimizer in optimizers:
        set_gradient(optimizer.param_groups[0]["params"][0], 0)
    step_together(optimizers)


def test_equals_take_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizers: list[Optimizer] = [SGD([p], lr=0.1) for p in fresh_params()]
    sizes = _count_steps(monkeypatch, SGD)
    _step_all(optimizers)
    assert sizes == [4]
    optimizers[0].param_groups[0]["lr"] = 0.2
    _step_all(optimizers)
    assert sizes == [4, 1, 3]


def test_an_optimiser_of_an_unknown_kind_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Custom(SGD):
        pass

    sizes = _count_steps(monkeypatch, SGD)
    _step_all([Custom([p], lr=0.1) for p in fresh_params()])
    assert sizes == [1, 1, 1, 1]


def test_hooks_of_an_optimiser_run() -> None:
    optimizers: list[Optimizer] = [SGD([p], lr=0.1) for p in fresh_params()]
    seen = []
    optimizers[1].register_step_pre_hook(lambda optimizer, args, kwargs: seen.append(optimizer))
    optimizers[2].register_step_post_hook(lambda optimizer, args, kwargs: seen.append(optimizer))
    _step_all(optimizers)
    assert seen == optimizers[1:3] or seen == optimizers[2:0:-1]


def test_large_parameters_are_left_to_torchs_default(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    step = SGD.step

    def recorded(self: Optimizer, *args: Any) -> Any:
        modes.append(self.param_groups[0]["foreach"])
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(SGD, "step", recorded)
    optimizers: list[Optimizer] = [SGD([p], lr=0.1) for p in fresh_params()]
    _step_all(optimizers)
    monkeypatch.setattr(joint, "_MOST_ELEMENTS_AT_ONCE", 21)
    _step_all(optimizers)
    assert modes == [True, None]


def test_a_state_that_was_loaded_is_used() -> None:
    params = fresh_params()
    optimizers: list[Optimizer] = [Adam([p], lr=0.1) for p in params]
    _step_all(optimizers)
    state = optimizers[0].state_dict()
    state["state"][0]["step"] = torch.tensor(100.0)
    optimizers[0].load_state_dict(state)
    _step_all(optimizers)
    steps = [float(o.state[p]["step"]) for o, p in zip(optimizers, params, strict=True)]
    assert steps == [101.0, 2.0, 2.0, 2.0]


def test_nothing_steps_by_itself() -> None:
    step_together([])
