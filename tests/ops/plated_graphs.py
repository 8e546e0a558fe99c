"""Small plated factor graphs, at random, and their sums over all assignments one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

Assignment = dict[tuple[str, ...], int]


class Graph(NamedTuple):
    """A factor graph; ``inputs`` are the letters of its factors, ``plates`` letters too."""

    inputs: list[str]
    plates: str
    sizes: dict[str, int]

    def factors(self, seed: int) -> list[Tensor]:
        """Draws logarithms of factors, in float64."""
        generator = torch.Generator().manual_seed(seed)
        shapes = [[self.sizes[x] for x in dims] for dims in self.inputs]
        return [torch.randn(shape, generator=generator, dtype=torch.double) for shape in shapes]

    def ordinal(self, variable: str) -> str:
        """Names the plates that all factors of a variable have in common."""
        own = [set(dims) & set(self.plates) for dims in self.inputs if variable in dims]
        return "".join(sorted(set.intersection(*own)))

    @property
    def variables(self) -> str:
        return "".join(x for x in self.sizes if x not in self.plates)


def random_graph(seed: int) -> Graph:
    """Draws a tractable graph: variables in a tree of plates, each factor along one branch.

    Plates are i, i and j within it, i and k within it, or m; variables are two or three long.
    """
    draw = random.Random(seed)
    branches = [["", "i", "ij"], ["", "i", "ik"], ["", "m"]]
    sizes = {"i": 2, "j": 2, "k": 2, "m": 3}
    home: dict[str, str] = {}
    for variable in "abcd"[: draw.randint(2, 4)]:
        home[variable] = draw.choice(draw.choice(branches))
        sizes[variable] = draw.randint(2, 3) if not home[variable] else 2
    inputs = []
    for _ in range(draw.randint(3, 6)):
        branch = draw.choice(branches)
        fitting = [x for x in home if home[x] in branch]
        chosen = draw.sample(fitting, draw.randint(0, min(2, len(fitting))))
        deepest = max([home[x] for x in chosen] + [draw.choice(branch)], key=len)
        letters = [*deepest, *chosen]
        draw.shuffle(letters)
        inputs.append("".join(letters))
    inputs += [home[x] + x for x in home if draw.random() < 0.5 or not any(x in y for y in inputs)]
    used = set("".join(inputs))
    return Graph(inputs, "ijkm", {x: size for x, size in sizes.items() if x in used})


def places(graph: Graph, plates: str) -> Iterator[dict[str, int]]:
    """Runs through all elements of some plates."""
    for numbers in product(*(range(graph.sizes[x]) for x in plates)):
        yield dict(zip(plates, numbers, strict=True))


def assignments(graph: Graph) -> Iterator[Assignment]:
    """Runs through all joint values of all copies of all variables."""
    copies = [
        (variable, *map(str, place.values()))
        for variable in graph.variables
        for place in places(graph, graph.ordinal(variable))
    ]
    for values in product(*(range(graph.sizes[copy[0]]) for copy in copies)):
        yield dict(zip(copies, values, strict=True))


def score(graph: Graph, factors: list[Tensor], assignment: Assignment) -> Tensor:
    """Sums the logarithms of all copies of all factors at an assignment."""
    total = torch.zeros((), dtype=torch.double)
    for dims, factor in zip(graph.inputs, factors, strict=True):
        for place in places(graph, "".join(sorted(set(dims) & set(graph.plates)))):
            total = total + factor[index(graph, dims, place, assignment)]
    return total


def index(
    graph: Graph, dims: str, place: dict[str, int], assignment: Assignment
) -> tuple[int, ...]:
    """Finds where an assignment reads a tensor, at one element of its plates."""
    return tuple(
        place[x]
        if x in graph.plates
        else assignment[(x, *(str(place[plate]) for plate in graph.ordinal(x)))]
        for x in dims
    )
