"""Laws that wrap, restrict or extend other laws."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import scipy.stats as st
import torch
from torch import Tensor

import pyro.distributions as dist
from tests.distributions.examples.basic import L3
from tests.distributions.examples.example import Example, Tensors, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan


def thinned(rate: Tensor, x: Tensor) -> Tensor:
    return -rate * x


def older_lkj(eta: Tensor) -> dist.LKJCorrCholesky:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return dist.LKJCorrCholesky(3, eta)


def factor(t: Tensors) -> Tensor:
    return t([[1.2, 0.0], [0.3, 0.8]]).tril()


def two_sides(t: Tensors) -> dist.MaskedMixture:
    return dist.MaskedMixture(
        torch.tensor([True, False, True]),
        dist.Normal(t([0.5, -1.0, 0.0]), t(2.0)),
        dist.HalfNormal(t([1.0, 2.0, 0.5])),
    )


def vectors_of_two_kinds(t: Tensors) -> dist.MaskedMixture:
    return dist.MaskedMixture(
        torch.tensor([[True], [False]]),
        dist.Dirichlet(t([2.0, 1.5, 3.0])),
        dist.MultivariateNormal(t([0.5, -1.0, 2.0]), scale_tril=t(L3).tril()),
    )


def rounded(build: Any) -> Example:
    """An example of a law that scores what its draws were rounded from."""
    return Example(build, pathwise=False, proper=False)


EXAMPLES = [
    Example(
        lambda t: dist.AVFMultivariateNormal(
            t([0.5, -1.0]), factor(t), t([[[0.3, -0.2]], [[1.0, 0.5]]])
        ),
        st.multivariate_normal([0.5, -1.0], [[1.44, 0.36], [0.36, 0.73]]),
        pathwise=False,
    ),
    Example(lambda t: dist.LKJ(3, t([0.7, 2.0])), pathwise=False),
    Example(lambda t: older_lkj(t([0.7, 2.0])), pathwise=False),
    Example(two_sides, proper=False),
    Example(vectors_of_two_kinds, pathwise=False, proper=False),
    Example(
        lambda t: dist.NanMaskedNormal(t([0.5, -1.0]), t([1.0, 2.0])),
        st.norm([0.5, -1.0], [1.0, 2.0]),
    ),
    Example(
        lambda t: dist.NanMaskedMultivariateNormal(t([0.5, -1.0]), scale_tril=factor(t)),
        st.multivariate_normal([0.5, -1.0], [[1.44, 0.36], [0.36, 0.73]]),
    ),
    Example(
        lambda t: dist.OMTMultivariateNormal(t([[0.5, -1.0], [0.0, 2.0]]), factor(t)),
        pathwise=False,
    ),
    Example(
        lambda t: dist.Rejector(
            dist.Exponential(t([1.0, 2.0])), partial(thinned, t(0.5)), t([2 / 3, 0.8]).log()
        ),
        st.expon(scale=[1 / 1.5, 0.4]),
        pathwise=False,
        biased=True,  # without the score of having been accepted
    ),
    rounded(lambda t: dist.RelaxedBernoulliStraightThrough(t(0.7), t([0.3, 0.8]))),
    rounded(lambda t: dist.RelaxedBernoulliStraightThrough(t([0.7]), logits=t([0.3]))),
    rounded(lambda t: dist.RelaxedOneHotCategoricalStraightThrough(t(0.7), t([0.3, 0.7]))),
    rounded(
        lambda t: dist.RelaxedOneHotCategoricalStraightThrough(
            t(0.7), logits=t([[0.2, 0.5, 0.3], [1.0, 0.0, -1.0]])
        )
    ),
    Example(lambda t: dist.StableWithLogProb(t([1.5, 0.8]), t([0.3, -0.6]), t([1.0, 2.0]), t(0.5))),
]

WRONG_PARAMETERS: list[WrongParameter] = [
    (
        "AVFMultivariateNormal",
        lambda: dist.AVFMultivariateNormal(torch.zeros(2), -torch.eye(2), torch.zeros(2, 1, 2)),
        "scale_tril",
        "LowerCholesky",
    ),
    (
        "AVFMultivariateNormal",
        lambda: dist.AVFMultivariateNormal(torch.zeros(1), torch.eye(1), T([[[NAN]], [[1.0]]])),
        "control_var",
        "Real",
    ),
    ("LKJ", lambda: dist.LKJ(3, -1.0), "concentration", "GreaterThan"),
    ("LKJCorrCholesky", lambda: older_lkj(T(-1.0)), "concentration", "GreaterThan"),
    ("NanMaskedNormal", lambda: dist.NanMaskedNormal(0.0, -1.0), "scale", "GreaterThan"),
    ("NanMaskedNormal", lambda: dist.NanMaskedNormal(T([0.0, NAN]), 1.0), "loc", "Real"),
    (
        "NanMaskedMultivariateNormal",
        lambda: dist.NanMaskedMultivariateNormal(torch.zeros(2), -torch.eye(2)),
        "covariance_matrix",
        "PositiveDefinite",
    ),
    (
        "OMTMultivariateNormal",
        lambda: dist.OMTMultivariateNormal(torch.zeros(2), torch.ones(2, 2)),
        "scale_tril",
        "LowerCholesky",
    ),
    (
        "RelaxedBernoulliStraightThrough",
        lambda: dist.RelaxedBernoulliStraightThrough(-1.0, 0.5),
        "temperature",
        "GreaterThan",
    ),
    (
        "RelaxedOneHotCategoricalStraightThrough",
        lambda: dist.RelaxedOneHotCategoricalStraightThrough(T(1.0), T([-1.0, 2.0])),
        "probs",
        "Simplex",
    ),
    ("StableWithLogProb", lambda: dist.StableWithLogProb(2.5, 0.0), "stability", "Interval"),
]

WRONG_VALUES: list[WrongValue] = [
    (dist.ImproperUniform(dist.constraints.positive, (2,), ()), T([1.0, -1.0]), "GreaterThan"),
    (dist.LKJ(2), 2 * torch.eye(2), "CorrMatrix"),
    (
        dist.MaskedMixture(T([True, False]), dist.Normal(0.0, 1.0), dist.LogNormal(0.0, 1.0)),
        T([-1.0, -1.0]),
        "MaskedConstraint",
    ),
    (dist.RelaxedBernoulliStraightThrough(1.0, 0.5), T(1.5), "Interval"),
    (
        dist.RelaxedOneHotCategoricalStraightThrough(1.0, torch.ones(2)),
        T([0.5, 0.6]),
        "Simplex",
    ),
    (dist.Rejector(dist.Exponential(1.0), torch.neg, T(0.5).log()), T(-1.0), "GreaterThanEq"),
    (dist.StableWithLogProb(1.5, 0.0), T(NAN), "Real"),
]

WITHOUT_DENSITY = {"ImproperUniform"}  # but without draws

MADE_OF_OTHERS = {"ImproperUniform", "MaskedMixture", "Rejector"}
