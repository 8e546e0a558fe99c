"""Adam with clipped gradients, against the recurrence written out."""

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.optim.clipped_adam import ClippedAdam
from tests.helpers import assert_close

GRADIENTS = [3.0, -12.0, 0.5, 20.0, 1e-3, -2.0]


def _recurrence(
    gradients: Iterable[float],
    x: float,
    lr: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float = 10.0,
    lrd: float = 1.0,
    centered_variance: bool = False,
) -> float:
    mean = variance = 0.0
    for k, gradient in enumerate(gradients, 1):
        gradient = max(-clip_norm, min(gradient, clip_norm)) + weight_decay * x
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        deviation = gradient - mean if centered_variance else gradient
        variance = betas[1] * variance + (1 - betas[1]) * deviation**2
        size = lr * lrd**k * math.sqrt(1 - betas[1] ** k) / (1 - betas[0] ** k)
        x -= size * mean / (math.sqrt(variance) + eps)
    return x


def _run(optimizer: ClippedAdam, x: Tensor, gradients: Iterable[float]) -> None:
    for gradient in gradients:
        x.grad = torch.full_like(x, gradient)
        optimizer.step()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"betas": (0.5, 0.7), "eps": 0.1},
        {"clip_norm": 1.0},
        {"lrd": 0.9},
        {"weight_decay": 0.5},
        {"centered_variance": True},
        {"centered_variance": True, "weight_decay": 0.5, "lrd": 0.5, "clip_norm": 2.0},
    ],
)
def test_steps_follow_the_recurrence(arguments: dict[str, Any]) -> None:
    x = torch.full((2,), 1.5, dtype=torch.float64, requires_grad=True)
    _run(ClippedAdam([x], lr=0.1, **arguments), x, GRADIENTS)
    expected = _recurrence(GRADIENTS, 1.5, **arguments)
    assert_close(x.detach(), [expected, expected])


def test_without_clipping_and_eps_it_is_adam() -> None:
    x, y = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    ours = ClippedAdam([x], lr=0.1, eps=0.0, clip_norm=math.inf)
    torchs = torch.optim.Adam([y], lr=0.1, eps=0.0)
    for gradient in GRADIENTS:
        x.grad = y.grad = torch.tensor([gradient, 2.0, -gradient], dtype=torch.float64)
        ours.step()
        torchs.step()
        assert_close(x.detach(), y.detach())


def test_gradients_stay_as_they_were() -> None:
    x = torch.zeros(2, requires_grad=True)
    _run(ClippedAdam([x], clip_norm=1.0, weight_decay=0.5), x, [5.0])
    assert_close(x.grad, torch.tensor([5.0, 5.0]))


def test_groups_and_steps_are_counted_apart() -> None:
    x, y, z = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(3))
    optimizer = ClippedAdam([{"params": [x, y]}, {"params": [z], "lr": 0.5}], lr=0.1)
    for gradient in GRADIENTS:
        x.grad, z.grad = torch.full_like(x, gradient), torch.full_like(z, gradient)
        y.grad = None if gradient > 1.0 else torch.full_like(y, gradient)
        optimizer.step()
    assert_close(x.item(), _recurrence(GRADIENTS, 0.0))
    assert_close(y.item(), _recurrence([g for g in GRADIENTS if g <= 1.0], 0.0))
    assert_close(z.item(), _recurrence(GRADIENTS, 0.0, lr=0.5))


def test_a_closure_is_called_with_gradients_on() -> None:
    x = torch.ones(1, requires_grad=True)
    optimizer = ClippedAdam([x], lr=0.1)

    def closure() -> Tensor:
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert_close(x.detach(), torch.tensor([0.9]))
