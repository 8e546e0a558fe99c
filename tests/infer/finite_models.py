"""Random small models of discrete variables, whose sums are known by brute force."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.ops.indexing import Vindex
from tests.infer.brute_force import Supports

PARALLEL = {"enumerate": "parallel"}
Program = Callable[[], Any]


class Case(NamedTuple):
    """A model and what it is summed over.

    :param model: the model, whose discrete sites ask to be enumerated.
    :param sites: their supports and shapes.
    :param params: the leaves to differentiate by.
    """

    model: Program
    sites: Supports
    params: list[Tensor]


class Tables:
    """Random tables of log weights, all leaves, from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.leaves: list[Tensor] = []

    def __call__(self, *shape: int) -> Tensor:
        leaf = torch.randn(shape, generator=self.generator, dtype=torch.double)
        self.leaves.append(leaf.requires_grad_())
        return leaf


def hmm(seed: int, history: int, steps: int = 4, size: int = 2) -> Case:
    """A hidden Markov model in which a state depends on those of several steps before."""
    tables = Tables(seed)
    transitions = tables(*[size] * (history + 1))
    locs, data = tables(size), torch.linspace(-1, 1, steps, dtype=torch.double)

    def model() -> Any:
        states = [torch.tensor(0)] * history
        for t in pyro.markov(range(steps), history=history):
            law = dist.Categorical(logits=Vindex(transitions)[tuple(states)])
            states = [*states[1:], pyro.sample(f"x_{t}", law, infer=PARALLEL)]
            pyro.sample(f"y_{t}", dist.Normal(locs[states[-1]], 1.0), obs=data[t])
        return states[-1]

    sites = {f"x_{t}": (range(size), ()) for t in range(steps)}
    return Case(model, sites, tables.leaves)


def factorial_hmm(seed: int, steps: int = 3) -> Case:
    """Two chains of states, of which each observation sees both."""
    tables = Tables(seed)
    first, second, locs = tables(2, 2), tables(3, 3), tables(2, 3)
    data = torch.linspace(-1, 1, steps, dtype=torch.double)

    def model() -> Any:
        a, b = torch.tensor(0), torch.tensor(0)
        for t in pyro.markov(range(steps)):
            a = pyro.sample(f"a_{t}", dist.Categorical(logits=first[a]), infer=PARALLEL)
            b = pyro.sample(f"b_{t}", dist.Categorical(logits=second[b]), infer=PARALLEL)
            loc = Vindex(locs)[a, b]
            pyro.sample(f"y_{t}", dist.Normal(loc, 1.0), obs=data[t])
        return a

    sites: dict[str, Any] = {}
    for t in range(steps):
        sites |= {f"a_{t}": (range(2), ()), f"b_{t}": (range(3), ())}
    return Case(model, sites, tables.leaves)


def mixture(seed: int, scale: float = 1.0) -> Case:
    """A switch outside of a plate, and a component of each element inside."""
    tables = Tables(seed)
    outside, inside, locs = tables(2), tables(2, 3), tables(2, 3)
    data = torch.tensor([-1.0, 0.5], dtype=torch.double)

    def model() -> Any:
        with poutine.scale(scale=scale):
            w = pyro.sample("w", dist.Categorical(logits=outside), infer=PARALLEL)
            with pyro.plate("data", 2, dim=-1):
                law = dist.Categorical(logits=inside[w])
                z = pyro.sample("z", law, infer=PARALLEL)
                loc = Vindex(locs)[w, z]
                pyro.sample("x", dist.Normal(loc, 1.0), obs=data)
        return w

    return Case(model, {"w": (range(2), ()), "z": (range(3), (2,))}, tables.leaves)


def crossed(seed: int) -> Case:
    """A variable of rows, and one of cells in rows and columns."""
    tables = Tables(seed)
    rows, cells, locs = tables(2), tables(2), tables(2, 2)
    data = torch.arange(4.0, dtype=torch.double).reshape(2, 2) / 3

    def model() -> Any:
        row_plate, column_plate = pyro.plate("rows", 2, dim=-1), pyro.plate("columns", 2, dim=-2)
        with row_plate:
            r = pyro.sample("r", dist.Categorical(logits=rows), infer=PARALLEL)
        with row_plate, column_plate:
            c = pyro.sample("c", dist.Bernoulli(logits=cells[r]), infer=PARALLEL)
            pyro.sample("x", dist.Normal(Vindex(locs)[r, c.long()], 1.0), obs=data)
        return r

    return Case(model, {"r": (range(2), (2,)), "c": ([0.0, 1.0], (2, 2))}, tables.leaves)


def tied(seed: int, keep_dist: bool) -> Case:
    """Two switches of a model that take one value, each with observations of its own."""
    tables = Tables(seed)
    first, second, locs = tables(3), tables(3), tables(3)
    data = torch.tensor([-1.0, 0.5], dtype=torch.double)

    def model() -> Any:
        a = pyro.sample("a", dist.Categorical(logits=first), infer=PARALLEL)
        pyro.sample("x", dist.Normal(locs[a], 1.0), obs=data[0])
        b = pyro.sample("b", dist.Categorical(logits=second), infer=PARALLEL)
        pyro.sample("y", dist.Normal(locs[b], 2.0), obs=data[1])
        return a

    equalized = poutine.equalize(model, ["a", "b"], keep_dist=keep_dist)
    params = tables.leaves if keep_dist else [first, locs]
    return Case(equalized, {"a": (range(3), ())}, params)


CASES: dict[str, Callable[[int], Case]] = {
    "hmm of history 1": lambda seed: hmm(seed, 1),
    "hmm of history 2": lambda seed: hmm(seed, 2),
    "hmm of history 3": lambda seed: hmm(seed, 3),
    "factorial hmm": factorial_hmm,
    "mixture": mixture,
    "scaled mixture": lambda seed: mixture(seed, 0.5),
    "cells in rows": crossed,
    "tied copies": lambda seed: tied(seed, False),
    "tied, laws kept": lambda seed: tied(seed, True),
}
