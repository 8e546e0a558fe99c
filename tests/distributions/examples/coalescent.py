"""Laws of the times at which lineages meet."""

from __future__ import annotations

import math

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan

EXAMPLES = [
    Example(lambda t: dist.CoalescentTimes(t([0.5, 0.0, 1.2]), t(0.7))),
    Example(lambda t: dist.CoalescentTimes(t([0.5, 0.0, 1.2, 1.4]), t([0.7, 2.0]))),
    Example(lambda t: dist.CoalescentTimesWithRate(t([3.5, 1.3, 2.2]), t([0.7, 2.0, 0.4]))),
    Example(
        lambda t: dist.CoalescentTimesWithRate(t([3.5, 1.3]), t([[0.7, 2.0, 0.4], [1.0, 0.1, 3.0]]))
    ),
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
