"""Laws that wrap, restrict or extend other laws."""

from __future__ import annotations

from functools import partial

import scipy.stats as st
from torch import Tensor

import pyro.distributions as dist
from tests.distributions.examples.example import Example, WrongParameter, WrongValue


def thinned(rate: Tensor, x: Tensor) -> Tensor:
    return -rate * x


EXAMPLES = [
    Example(
        lambda t: dist.Rejector(
            dist.Exponential(t([1.0, 2.0])), partial(thinned, t(0.5)), t([2 / 3, 0.8]).log()
        ),
        st.expon(scale=[1 / 1.5, 0.4]),
        pathwise=False,
    ),
]

WRONG_PARAMETERS: list[WrongParameter] = []

WRONG_VALUES: list[WrongValue] = []

MADE_OF_OTHERS = {"Rejector"}
