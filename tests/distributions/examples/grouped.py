"""Normal observations in groups."""

from __future__ import annotations

import math

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
GROUPS = T([0, 1, 1, 2])

EXAMPLES = [
    Example(
        lambda t: dist.GroupedNormalNormal(
            t([0.5, -1.0, 2.0]), t([0.5, 1.0, 2.0]), t([1.0, 0.4, 0.7, 2.0]), GROUPS
        )
    ),
    Example(
        lambda t: dist.GroupedNormalNormal(
            t([[0.5, -1.0, 2.0], [0.0, 1.0, 0.3]]), t([0.7]), t(0.4), GROUPS
        )
    ),
]

ONES = torch.ones(3)

WRONG_PARAMETERS: list[WrongParameter] = [
    (
        "GroupedNormalNormal",
        lambda: dist.GroupedNormalNormal(ONES, -ONES, T(1.0), GROUPS),
        "prior_scale",
        "GreaterThan",
    ),
    (
        "GroupedNormalNormal",
        lambda: dist.GroupedNormalNormal(ONES, ONES, T(0.0), GROUPS),
        "obs_scale",
        "GreaterThan",
    ),
]

WRONG_VALUES: list[WrongValue] = [
    (dist.GroupedNormalNormal(ONES, ONES, T(1.0), GROUPS), T([0.0, math.nan, 1.0, 2.0]), "Real"),
]
