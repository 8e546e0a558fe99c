"""Mixtures of normal laws with differentiable draws."""

from __future__ import annotations

import math

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

T = torch.tensor
NAN = math.nan

LOCS = [[0.5, -1.0], [1.2, 0.3], [-0.4, 0.1]]
SCALES = [[0.8, 1.0], [1.3, 0.7], [0.9, 1.1]]
LOGITS = [0.2, -0.5, 1.0]

# Draws follow the law, not what makes them at a fixed seed.
EXAMPLES = [
    Example(lambda t: dist.MixtureOfDiagNormals(t(LOCS), t(SCALES), t(LOGITS)), pathwise=False),
    Example(
        lambda t: dist.MixtureOfDiagNormals(t([LOCS, LOCS[::-1]]), t(SCALES), t(LOGITS)),
        pathwise=False,
    ),
    Example(
        lambda t: dist.MixtureOfDiagNormalsSharedCovariance(t(LOCS), t([0.8, 1.0]), t(LOGITS)),
        pathwise=False,
    ),
    Example(
        lambda t: dist.MixtureOfDiagNormalsSharedCovariance(t(LOCS), t(SCALES), t(LOGITS)),
        pathwise=False,
    ),
    Example(
        lambda t: dist.GaussianScaleMixture(t([0.5, 1.0]), t(LOGITS), t([0.5, 1.0, 2.0])),
        pathwise=False,
    ),
    Example(
        lambda t: dist.GaussianScaleMixture(t([0.5]), t([LOGITS, LOGITS]), t([0.5, 1.0, 2.0])),
        pathwise=False,
    ),
]

TWO, FOUR = torch.ones(2), torch.ones(2, 2)

WRONG_PARAMETERS: list[WrongParameter] = [
    (
        "MixtureOfDiagNormals",
        lambda: dist.MixtureOfDiagNormals(FOUR, T([[1.0, 2.0], [1.0, -1.0]]), TWO),
        "coord_scale",
        "GreaterThan",
    ),
    (
        "MixtureOfDiagNormals",
        lambda: dist.MixtureOfDiagNormals(FOUR, FOUR, T([0.0, NAN])),
        "component_logits",
        "Real",
    ),
    (
        "MixtureOfDiagNormalsSharedCovariance",
        lambda: dist.MixtureOfDiagNormalsSharedCovariance(FOUR * NAN, TWO, TWO),
        "locs",
        "Real",
    ),
    (
        "GaussianScaleMixture",
        lambda: dist.GaussianScaleMixture(TWO, TWO, T([1.0, 0.0])),
        "component_scale",
        "GreaterThan",
    ),
]

WRONG_VALUES: list[WrongValue] = [
    (dist.MixtureOfDiagNormals(FOUR, FOUR, TWO), T([0.0, NAN]), "Real"),
    (dist.MixtureOfDiagNormalsSharedCovariance(FOUR, TWO, TWO), T([0.0, NAN]), "Real"),
    (dist.GaussianScaleMixture(TWO, TWO, TWO), T([0.0, NAN]), "Real"),
]
