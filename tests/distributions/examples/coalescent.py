"""Laws of the times at which lineages meet."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan


def constant(rate: Tensor, *leaf_times: float) -> Any:
    """Leaves are no parameters to differentiate by: the support moves with them."""
    return dist.CoalescentTimes(torch.tensor(leaf_times, dtype=rate.dtype), rate)


def changing(rate_grid: Tensor, *leaf_times: float) -> Any:
    leaves = torch.tensor(leaf_times, dtype=rate_grid.dtype)
    return dist.CoalescentTimesWithRate(leaves, rate_grid)


# Densities have kinks where leaves come in and rates change.
EXAMPLES = [
    Example(lambda t: constant(t(0.7), 0.0, 0.0, 0.0)),
    Example(lambda t: constant(t([0.7, 2.0]), 0.5, 0.0, 1.2, 1.2)),
    Example(lambda t: changing(t([0.7, 2.0, 0.4]), 3.5, 1.3)),
    Example(lambda t: changing(t([[0.7, 2.0, 0.4], [1.0, 0.1, 3.0]]), 3.5, 1.3, 2.2, 0.4)),
]

WRONG_PARAMETERS: list[WrongParameter] = [
    ("CoalescentTimes", lambda: dist.CoalescentTimes(torch.zeros(3), -1.0), "rate", "GreaterThan"),
    ("CoalescentTimes", lambda: dist.CoalescentTimes(T([0.0, NAN])), "leaf_times", "Real"),
    (
        "CoalescentTimesWithRate",
        lambda: dist.CoalescentTimesWithRate(torch.zeros(3), T([1.0, 0.0])),
        "rate_grid",
        "GreaterThan",
    ),
]

LEAVES = T([0.0, 1.0, 2.0])
SUPPORT = "CoalescentTimesConstraint"

WRONG_VALUES: list[WrongValue] = [
    (dist.CoalescentTimes(LEAVES), T([0.5, -1.0]), SUPPORT),
    (dist.CoalescentTimes(LEAVES), T([-1.0, NAN]), SUPPORT),
    (dist.CoalescentTimesWithRate(LEAVES, torch.ones(2)), T([0.5, 0.7]), SUPPORT),
]
