"""Laws of series with hidden states."""

from __future__ import annotations

import math
from typing import Any

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, Tensors, WrongParameter, WrongValue

LOC, MATRIX, ROOT = [0.3, -0.5], [[0.5, 0.2], [-0.3, 0.8]], [[1.2, 0.3], [-0.2, 0.9]]
SEEN, SEEN_LOC = [[1.0], [-0.7]], [0.2]
SERIES = [[0.1], [0.4], [-0.3]]
RISING = [[[0.5, 0.2], [0.0, 1.1]], [[0.6, 0.2], [0.0, 1.2]], [[0.7, 0.2], [0.0, 1.3]]]
STATES = [0.2, -0.4]
MOVES = [[0.3, -0.8], [0.1, 0.6]]


def vector(t: Tensors, loc: Any, root: Any) -> Any:
    square = t(root)
    return dist.MultivariateNormal(t(loc), square @ square.mT)


def diagonal(t: Tensors, loc: Any, scale: Any) -> Any:
    return dist.Normal(t(loc), t(scale)).to_event(1)


def full(t: Tensors) -> tuple[Any, ...]:
    return (
        vector(t, LOC, ROOT),
        t(MATRIX),
        vector(t, [0.1, 0.0], ROOT),
        t(SEEN),
        vector(t, SEEN_LOC, [[0.6]]),
    )


def drifting(t: Tensors) -> tuple[Any, ...]:
    """Parameters of a batch of two, that differ from step to step."""
    return (
        diagonal(t, [LOC, STATES], [0.9, 0.6]),
        t(RISING),
        diagonal(t, LOC, [0.5, 0.7]),
        t(SEEN),
        diagonal(t, SERIES, [0.6]),
    )


EXAMPLES = [
    Example(
        lambda t: dist.DiscreteHMM(t(STATES), t(MOVES), dist.Normal(t(LOC), t(0.7)), duration=3)
    ),
    Example(
        lambda t: dist.DiscreteHMM(
            t(STATES), t([MOVES, MOVES]), dist.Bernoulli(logits=t([[LOC, STATES], [STATES, LOC]]))
        )
    ),
    Example(
        lambda t: dist.DiscreteHMM(
            t([STATES, LOC]), t(MOVES), diagonal(t, MATRIX, [0.5, 0.7]), duration=2
        )
    ),
    Example(lambda t: dist.GaussianHMM(*full(t), duration=3)),
    Example(lambda t: dist.GaussianHMM(*drifting(t))),
    Example(
        lambda t: dist.GammaGaussianHMM(dist.Gamma(t(2.5), t(1.5)), *full(t), duration=3),
        pathwise=False,
    ),
    Example(
        lambda t: dist.GammaGaussianHMM(dist.Gamma(t([2.5, 3.0]), t(1.5)), *drifting(t)),
        pathwise=False,
    ),
    Example(
        lambda t: dist.GaussianMRF(
            vector(t, LOC, ROOT),
            diagonal(t, [[0.1, 0.2, -0.3, 0.0]] * 3, [0.5, 0.7, 0.9, 0.8]),
            diagonal(t, [0.1, 0.2, -0.3], [0.5, 0.7, 0.9]),
        )
    ),
    Example(lambda t: dist.LinearHMM(*full(t), duration=3)),
    Example(
        lambda t: dist.LinearHMM(
            *drifting(t)[:4], dist.LogNormal(t(SERIES), t([0.3, 0.5])[:1]).to_event(1)
        )
    ),
    Example(lambda t: dist.IndependentHMM(dist.GaussianHMM(*drifting(t)))),
]

NAN = torch.tensor([[math.nan]])
ONE = dist.Normal(torch.zeros(1), 1.0).to_event(1)
EYE = torch.eye(1)

# law, what builds it wrongly, the parameter, the constraint
WRONG_PARAMETERS: list[WrongParameter] = [
    (
        "DiscreteHMM",
        lambda: dist.DiscreteHMM(NAN[0], EYE, dist.Normal(torch.zeros(1), 1.0)),
        "initial_logits",
        "Real",
    ),
    (
        "DiscreteHMM",
        lambda: dist.DiscreteHMM(EYE[0], NAN, dist.Normal(torch.zeros(1), 1.0)),
        "transition_logits",
        "Real",
    ),
    (
        "GaussianHMM",
        lambda: dist.GaussianHMM(ONE, NAN, ONE, EYE, ONE),
        "transition_matrix",
        "Real",
    ),
    (
        "GammaGaussianHMM",
        lambda: dist.GammaGaussianHMM(dist.Gamma(1.0, 1.0), ONE, NAN, ONE, EYE, ONE),
        "transition_matrix",
        "Real",
    ),
    ("LinearHMM", lambda: dist.LinearHMM(ONE, EYE, ONE, NAN, ONE), "observation_matrix", "Real"),
]

# law, a value outside its support, how the support is called
WRONG_VALUES: list[WrongValue] = [
    (
        dist.DiscreteHMM(EYE[0], EYE, dist.Exponential(torch.ones(1))),
        torch.tensor([1.0, -1.0]),
        "GreaterThan",
    ),
    (dist.GaussianHMM(ONE, EYE, ONE, EYE, ONE), NAN.expand(2, 1), "Real"),
    (
        dist.GammaGaussianHMM(dist.Gamma(1.0, 1.0), ONE, EYE, ONE, EYE, ONE),
        NAN.expand(2, 1),
        "Real",
    ),
    (dist.GaussianMRF(ONE, *[dist.Normal(torch.zeros(2), 1.0).to_event(1)] * 2), NAN, "Real"),
    (
        dist.LinearHMM(ONE, EYE, ONE, EYE, dist.LogNormal(torch.zeros(1), 1.0).to_event(1)),
        -EYE,
        "G",
    ),
    (dist.IndependentHMM(dist.GaussianHMM(ONE, EYE, ONE, EYE, ONE).expand([1])), NAN, "Real"),
]

MADE_OF_OTHERS = {"GaussianMRF", "IndependentHMM"}
