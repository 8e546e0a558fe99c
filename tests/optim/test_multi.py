"""Optimisers that are handed a loss."""

import pytest
import torch
from torch import Tensor

import pyro.optim
from pyro.optim.multi import (
    MixedMultiOptimizer,
    MultiOptimizer,
    Newton,
    PyroMultiOptimizer,
    TorchMultiOptimizer,
)
from pyro.params.param_store import _PYRO_PARAM_STORE
from tests.helpers import assert_close


def _scalars(*values: float) -> list[Tensor]:
    return [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in values]


def _loss(x: Tensor, y: Tensor) -> Tensor:
    """Neither parameter's derivative is free of the other."""
    return ((x - 2).square() + (y - 3).square() * x).sum()


@pytest.mark.parametrize(
    "optim",
    [
        TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.1}),
        TorchMultiOptimizer(torch.optim.SGD, lambda name: {"lr": 0.1}),
        PyroMultiOptimizer(pyro.optim.SGD({"lr": 0.1})),
    ],
)
def test_an_optimiser_by_gradients(optim: PyroMultiOptimizer) -> None:
    x, y = _scalars(1.0, 1.0)
    for name, p in {"x": x, "y": y}.items():
        _PYRO_PARAM_STORE.bind(name, p)
    optim.step(_loss(x, y), {"x": x, "y": y})
    assert_close(x.item(), 1.0 - 0.1 * (2 * (1 - 2) + (1 - 3) ** 2))
    assert_close(y.item(), 1.0 - 0.1 * 2 * (1 - 3) * 1)
    with pytest.raises(NotImplementedError, match="steps of .*MultiOptimizer are not different"):
        optim.get_step(_loss(x, y), {"x": x, "y": y})


def test_newton_steps_to_the_minimum_of_a_quadratic() -> None:
    x, y = _scalars(0.5, -7.0)
    Newton().step((x - 2).square().sum() + 3 * (y - 5).square().sum(), {"x": x, "y": y})
    assert_close([x.item(), y.item()], [2.0, 5.0])
    assert x.is_leaf and x.requires_grad


def test_newton_steps_within_each_parameters_radius() -> None:
    x, y = _scalars(0.0, 0.0)
    optim = Newton(trust_radii={"x": 0.25})
    optim.step((x - 2).square().sum() + (y - 5).square().sum(), {"x": x, "y": y})
    assert_close([x.item(), y.item()], [0.25, 5.0])


def test_a_step_can_be_differentiated() -> None:
    x, target = _scalars(1.0, 3.0)
    loss = (x - target).square().sum() + (x - target).pow(4).sum()
    updated = Newton().get_step(loss, {"x": x})
    assert x.item() == 1.0
    (slope,) = torch.autograd.grad(updated["x"].sum(), [target])

    def closed_form(u: Tensor) -> Tensor:
        return 1.0 - (2 * (1 - u) + 4 * (1 - u) ** 3) / (2 + 12 * (1 - u) ** 2)

    assert_close(slope, torch.autograd.functional.jacobian(closed_form, target.detach()).view(1))


class TestMixed:
    def test_all_parts_step_from_the_same_point(self) -> None:
        x, y = _scalars(1.0, 1.0)
        parts: list[tuple[list[str], MultiOptimizer]] = [
            (["x"], TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.1})),
            (["y"], Newton()),
        ]
        for order in (parts, parts[::-1]):
            x, y = _scalars(1.0, 1.0)
            MixedMultiOptimizer(order).step(_loss(x, y), {"x": x, "y": y})
            assert_close([x.item(), y.item()], [0.8, 3.0])

    def test_a_part_without_parameters_this_time_waits(self) -> None:
        (x,) = _scalars(1.0)
        sgd = TorchMultiOptimizer(torch.optim.SGD, {"lr": 0.1})
        MixedMultiOptimizer([(["x"], Newton()), (["y"], sgd)]).step((x**2).sum(), {"x": x})
        assert_close(x.item(), 0.0)

    def test_mixtures_nest(self) -> None:
        x, y = _scalars(1.0, 1.0)
        inner = MixedMultiOptimizer([(["x"], Newton())])
        outer = MixedMultiOptimizer([(["x"], inner), (["y"], Newton())])
        outer.step((x - 2).square().sum() + (y - 3).square().sum(), {"x": x, "y": y})
        assert_close([x.item(), y.item()], [2.0, 3.0])

    def test_a_step_can_be_computed_ahead(self) -> None:
        x, y = _scalars(1.0, 1.0)
        optim = MixedMultiOptimizer([(["x"], Newton()), (["y"], Newton())])
        loss = (x - 2).square().sum() + (y - 3).square().sum()
        updated = optim.get_step(loss, {"x": x, "y": y})
        assert_close({k: v.detach() for k, v in updated.items()}, {"x": [2.0], "y": [3.0]})
        assert [x.item(), y.item()] == [1.0, 1.0]

    def test_one_parameter_cannot_have_two_optimisers(self) -> None:
        with pytest.raises(ValueError, match="'x': both Newton and Newton are to optimise"):
            MixedMultiOptimizer([(["x"], Newton()), (["y", "x"], Newton())])

    def test_every_parameter_must_have_an_optimiser(self) -> None:
        x, y = _scalars(1.0, 1.0)
        with pytest.raises(ValueError, match="At site 'y': no part is to optimise the parameter"):
            MixedMultiOptimizer([(["x"], Newton())]).step(_loss(x, y), {"x": x, "y": y})


def test_a_subclass_may_define_either_method() -> None:
    class Halves(MultiOptimizer):
        def get_step(self, loss: Tensor, params: object) -> dict[str, Tensor]:
            return {name: p / 2 for name, p in params.items()}  # type: ignore[attr-defined]

    class Zeroes(MultiOptimizer):
        def step(self, loss: Tensor, params: object) -> None:
            for p in params.values():  # type: ignore[attr-defined]
                p.data.zero_()

    x, y = _scalars(1.0, 1.0)
    MixedMultiOptimizer([(["x"], Halves()), (["y"], Zeroes())]).step(_loss(x, y), {"x": x, "y": y})
    assert [x.item(), y.item()] == [0.5, 0.0]


def test_a_subclass_that_defines_neither_is_told() -> None:
    with pytest.raises(NotImplementedError, match="The steps of MultiOptimizer are not diff"):
        MultiOptimizer().step(torch.zeros(()), {})
