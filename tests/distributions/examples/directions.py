"""Laws of directions in space and of pairs of angles."""

from __future__ import annotations

import math
from typing import Any

import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example, Tensors, WrongParameter, WrongValue
from tests.distributions.integration import circle

T = torch.tensor
NAN = math.nan


def skewed(t: Tensors) -> Any:
    base = dist.VonMises(t([0.5, -1.0]), t([2.0, 0.7])).to_event(1)
    return dist.SineSkewed(base, t([[0.4, -0.5], [0.0, 0.9]]))


EXAMPLES = [
    Example(
        lambda t: dist.SineBivariateVonMises(
            t([0.5, -1.0]), t(0.3), t(2.0), t([0.7, 1.5]), correlation=t([-0.6, 3.0])
        ),
        nodes=circle,
    ),
    Example(
        lambda t: dist.SineBivariateVonMises(
            t(0.5), t(0.3), t(2.0), t(3.0), weighted_correlation=t(0.6)
        ),
        nodes=circle,
    ),
    Example(skewed, nodes=circle),
    Example(lambda t: dist.VonMises3D(t([0.5, -1.0, 2.0]))),
    Example(lambda t: dist.VonMises3D(t([[0.5, -1.0, 2.0], [0.01, 0.02, 0.03]]))),
]

ZERO, TWO = torch.zeros(()), torch.zeros(2)


def plain(**parameters: Any) -> dist.SineBivariateVonMises:
    kept = {"phi_loc": 0.0, "psi_loc": 0.0, "phi_concentration": 1.0, "psi_concentration": 1.0}
    return dist.SineBivariateVonMises(**kept | {"correlation": ZERO} | parameters)


WRONG_PARAMETERS: list[WrongParameter] = [
    ("SineBivariateVonMises", lambda: plain(psi_concentration=-1.0), "psi_concentration", "Great"),
    ("SineBivariateVonMises", lambda: plain(correlation=T(NAN)), "correlation", "Real"),
    (
        "SineSkewed",
        lambda: dist.SineSkewed(dist.VonMises(TWO, 1.0).to_event(1), T([0.8, -0.5])),
        "skewness",
        "Skewness",
    ),
    ("VonMises3D", lambda: dist.VonMises3D(T([0.0, NAN, 1.0])), "concentration", "Real"),
]

WRONG_VALUES: list[WrongValue] = [
    (plain(), T([0.0, NAN]), "Real"),
    (dist.SineSkewed(dist.VonMises(TWO, 1.0).to_event(1), TWO), T([0.0, NAN]), "Real"),
    (dist.VonMises3D(torch.ones(3)), T([1.0, 1.0, 0.0]), "Sphere"),
]
