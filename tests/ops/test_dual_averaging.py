"""Dual averaging against its formulas, and on convex functions."""

import math

import pytest
import torch

from pyro.ops.dual_averaging import DualAveraging
from tests.helpers import assert_close


@pytest.mark.parametrize("options", [{}, {"prox_center": 2.3, "t0": 5, "kappa": 0.6, "gamma": 0.1}])
def test_states_follow_the_formulas(options: dict[str, float]) -> None:
    mu, t0 = options.get("prox_center", 0.0), options.get("t0", 10)
    kappa, gamma = options.get("kappa", 0.75), options.get("gamma", 0.05)
    optimiser = DualAveraging(**options)
    for _ in range(2):
        assert optimiser.get_state() == (mu, mu)
        gradients: list[float] = []
        average = 0.0
        for t, g in enumerate([1.0, -0.5, 0.2, 0.0, -3.0], start=1):
            optimiser.step(g)
            gradients.append(g)
            point = mu - math.sqrt(t) / gamma * sum(gradients) / (t + t0)
            average = t**-kappa * point + (1 - t**-kappa) * average
            assert_close(optimiser.get_state(), (point, average))
        optimiser.reset()


def test_tensors_will_do() -> None:
    optimiser = DualAveraging()
    optimiser.step(torch.tensor(1.0))
    assert_close(optimiser.get_state()[0], torch.tensor(-1 / 11 / 0.05))


@pytest.mark.parametrize("slope", [lambda x: x - 3.0, lambda x: math.copysign(1.0, x - 3.0)])
def test_averages_approach_the_minimum(slope) -> None:  # type: ignore[no-untyped-def]
    optimiser = DualAveraging(prox_center=-1.0)
    distances = []
    for _ in range(4000):
        optimiser.step(slope(optimiser.get_state()[0]))
        distances.append(abs(optimiser.get_state()[1] - 3.0))
    assert distances[-1] < 0.05 < distances[0]
    assert distances[-1] < distances[400]
