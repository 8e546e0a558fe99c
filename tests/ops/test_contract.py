"""Plated sums of products, against sums over all assignments one by one."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.ops.contract import (
    contract_tensor_tree,
    einsum,
    naive_ubersum,
)
from pyro.ops.einsum.adjoint import require_backward
from pyro.ops.packed import named
from pyro.ops.rings import MapRing, MarginalRing, Ring, SampleRing
from tests.helpers import assert_close, assert_fits_probabilities
from tests.ops.plated_graphs import Graph, assignments, index, places, random_graph, score

LOG = "pyro.ops.einsum.torch_log"
MAP = "pyro.ops.einsum.torch_map"
SEEDS = range(60)


def size_of(graph: Graph) -> int:
    copies = [
        graph.sizes[x] ** math.prod(graph.sizes[i] for i in graph.ordinal(x))
        for x in graph.variables
    ]
    return math.prod(copies)


GRAPHS = [
    (seed, graph)
    for seed in SEEDS
    if size_of(graph := random_graph(seed)) <= 70 and graph.variables
]
graphs = pytest.mark.parametrize(("seed", "graph"), GRAPHS)


def test_the_battery_has_what_it_should() -> None:
    assert len(GRAPHS) >= 20
    ordinals = {graph.ordinal(x) for _, graph in GRAPHS for x in graph.variables}
    assert {"", "i", "ij", "m"} <= ordinals


def tree_of(graph: Graph, factors: list[Tensor]) -> OrderedDict[frozenset[str], list[Tensor]]:
    tree: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
    for dims, factor in zip(graph.inputs, factors, strict=True):
        ordinal = frozenset(dims) & frozenset(graph.plates)
        tree.setdefault(ordinal, []).append(named(factor, dims))
    return tree


def total_of(tree: Any) -> Tensor:
    return sum(
        (term.sum() for terms in tree.values() for term in terms), torch.tensor(0.0).double()
    )


@graphs
def test_log_sums_and_their_gradients_are_exact(seed: int, graph: Graph) -> None:
    factors = [factor.requires_grad_() for factor in graph.factors(seed)]
    expected = torch.stack([score(graph, factors, a) for a in assignments(graph)]).logsumexp(0)
    total = total_of(contract_tensor_tree(tree_of(graph, factors), set(graph.variables)))
    assert_close(total, expected)
    assert_close(
        torch.autograd.grad(total, factors, materialize_grads=True),
        torch.autograd.grad(expected, factors, materialize_grads=True),
    )
    (flat,) = einsum(",".join(graph.inputs) + "->", *factors, plates=graph.plates, backend=LOG)
    assert_close(flat, expected)


@graphs
def test_linear_sums_and_maxima_are_exact(seed: int, graph: Graph) -> None:
    factors = graph.factors(seed)
    scores = torch.stack([score(graph, factors, a) for a in assignments(graph)])
    equation = ",".join(graph.inputs) + "->"
    numbers = [factor.exp() for factor in factors]
    assert_close(einsum(equation, *numbers, plates=graph.plates)[0], scores.exp().sum())
    assert_close(einsum(equation, *factors, plates=graph.plates, backend=MAP)[0], scores.max())


def targets_of(graph: Graph) -> list[str]:
    deepest = max(("", "i", "ij", "ik", "m"), key=lambda plates: len(graph_in(graph, plates)))
    inside = graph_in(graph, deepest)
    return ["", *(graph.ordinal(x) + x for x in graph.variables), deepest + "".join(inside)]


def graph_in(graph: Graph, plates: str) -> list[str]:
    known = all(plate in graph.sizes for plate in plates)
    return [x for x in graph.variables if set(graph.ordinal(x)) <= set(plates)] if known else []


@graphs
def test_every_target_is_exact(seed: int, graph: Graph) -> None:
    factors = graph.factors(seed)
    outputs = targets_of(graph)
    equation = f"{','.join(graph.inputs)}->{','.join(outputs)}"
    results = einsum(equation, *factors, plates=graph.plates, backend=LOG)
    naive = naive_ubersum(equation, *factors, plates=graph.plates, backend=LOG)
    linear = einsum(equation, *(factor.exp() for factor in factors), plates=graph.plates)
    expected = [torch.zeros([graph.sizes[x] for x in output]).double() for output in outputs]
    for assignment in assignments(graph):
        weight = score(graph, factors, assignment).exp()
        for output, table in zip(outputs, expected, strict=True):
            for place in places(graph, "".join(sorted(set(output) & set(graph.plates)))):
                table[index(graph, output, place, assignment)] += weight
    for output, *actual, table in zip(outputs, results, naive, linear, expected, strict=True):
        assert actual[0]._pyro_dims == output
        assert_close(actual[0], table.log())
        assert_close(actual[1], table.log())
        assert_close(actual[2], table)


def marked(graph: Graph, factors: list[Tensor]) -> dict[str, Tensor]:
    """Adds to the factors one that is zero for each variable, and marks it."""
    queries = {}
    for x in graph.variables:
        dims = graph.ordinal(x) + x
        queries[x] = named(torch.zeros([graph.sizes[y] for y in dims]).double(), dims)
        require_backward(queries[x])
        graph.inputs.append(dims)
        factors.append(queries[x])
    return queries


def passed_back(
    seed: int, graph: Graph, ring: Ring
) -> tuple[Graph, list[Tensor], dict[str, Tensor]]:
    factors = graph.factors(seed)
    asked = graph._replace(inputs=list(graph.inputs))
    queries = marked(asked, factors)
    tree = contract_tensor_tree(tree_of(asked, factors), set(graph.variables), ring=ring)
    for terms in tree.values():
        for term in terms:
            if hasattr(term, "_pyro_backward"):
                term._pyro_backward()
    return asked, factors, {x: queries[x]._pyro_backward_result for x in queries}  # type: ignore[attr-defined]


def assignment_of(graph: Graph, values: dict[str, Tensor]) -> dict[tuple[str, ...], int]:
    found = {}
    for x, value in values.items():
        assert value._pyro_sample_dims == x  # type: ignore[attr-defined]
        batch = value._pyro_dims[1:]  # type: ignore[attr-defined]
        assert sorted(batch) == sorted(graph.ordinal(x))
        for place in places(graph, graph.ordinal(x)):
            copy = (x, *(str(place[plate]) for plate in graph.ordinal(x)))
            found[copy] = int(value[0][tuple(place[plate] for plate in batch)])
    return found


@graphs
def test_the_pass_back_of_maxima_finds_the_best_assignment(seed: int, graph: Graph) -> None:
    asked, factors, values = passed_back(seed, graph, MapRing())
    best = max(assignments(asked), key=lambda a: score(asked, factors, a).item())
    assert assignment_of(asked, values) == best


@graphs
def test_the_pass_back_of_marginals_is_exact(seed: int, graph: Graph) -> None:
    asked, factors, beliefs = passed_back(seed, graph, MarginalRing())
    weights = {}
    tables = {
        x: torch.zeros([asked.sizes[y] for y in asked.ordinal(x) + x]).double() for x in beliefs
    }
    for assignment in assignments(asked):
        weight = score(asked, factors, assignment).exp()
        for x, table in tables.items():
            for place in places(asked, asked.ordinal(x)):
                table[index(asked, asked.ordinal(x) + x, place, assignment)] += weight
    for x, belief in beliefs.items():
        # A belief sums to the total of its own component, and its table to that of the whole.
        assert belief._pyro_dims == asked.ordinal(x) + x  # type: ignore[attr-defined]
        weights[x] = belief.softmax(-1)
        assert_close(weights[x], tables[x] / tables[x].sum(-1, keepdim=True))


@graphs
def test_draws_follow_the_joint_distribution(seed: int, graph: Graph) -> None:
    # All copies of the graph in a plate of its own, in which no factor varies, are drawn at once.
    factors, number = graph.factors(seed), 4000
    asked = graph._replace(inputs=list(graph.inputs))
    queries = marked(asked, factors)
    outer = {ordinal | {"n"}: terms for ordinal, terms in tree_of(asked, factors).items()}
    ring = SampleRing(dim_to_size={"n": number})
    for terms in contract_tensor_tree(outer, set(graph.variables), ring=ring).values():
        for term in terms:
            if hasattr(term, "_pyro_backward"):
                term._pyro_backward()
    columns = {}
    for x, query in queries.items():
        value = query._pyro_backward_result  # type: ignore[attr-defined]
        batch = value._pyro_dims[1:]
        for place in places(graph, graph.ordinal(x)):
            copy = (x, *(str(place[plate]) for plate in graph.ordinal(x)))
            columns[copy] = value[0][tuple(place.get(plate, slice(None)) for plate in batch)]
    everything = list(assignments(graph))
    scores = torch.stack([score(graph, graph.factors(seed), a) for a in everything])
    position = torch.zeros(number, dtype=torch.long)
    for copy in everything[0]:  # the last changes fastest, as in itertools.product
        position = position * graph.sizes[copy[0]] + columns[copy]
    likely = scores.softmax(0) * number >= 5
    rest = torch.where(likely, likely.cumsum(0) - 1, likely.sum())
    probabilities = torch.zeros(int(likely.sum()) + 1).double()
    assert_fits_probabilities(rest[position], probabilities.index_add(0, rest, scores.softmax(0)))
