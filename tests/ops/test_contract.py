"""Plated sums of products, against sums over all assignments one by one."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.ops.contract import (
    IntractableError,
    contract_tensor_tree,
    contract_to_tensor,
    einsum,
    naive_ubersum,
    ubersum,
)
from pyro.ops.einsum import torch_sample
from pyro.ops.einsum.adjoint import require_backward
from pyro.ops.packed import named
from pyro.ops.rings import LinearRing, LogRing, MapRing, MarginalRing, Ring, SampleRing
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
    if size_of(graph := random_graph(seed)) <= 48 and graph.variables
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
    factors, number = graph.factors(seed), 2000
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


class Script:
    """Tells each categorical draw of a run how to turn out, and runs through all the ways."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.sizes: list[int] = []
        self.probability = torch.ones(()).double()

    def choose(self, logits: Tensor) -> Tensor:
        rows = logits.reshape(-1, logits.shape[-1]).softmax(-1)
        start, stop = len(self.sizes), len(self.sizes) + len(rows)
        self.turns.extend([0] * (stop - len(self.turns)))
        self.sizes.extend([rows.shape[-1]] * len(rows))
        drawn = torch.tensor(self.turns[start:stop])
        self.probability = self.probability * rows[torch.arange(len(rows)), drawn].prod()
        return drawn.reshape(logits.shape[:-1])

    def advance(self) -> bool:
        while self.turns and self.turns[-1] == self.sizes[len(self.turns) - 1] - 1:
            self.turns.pop()
        if self.turns:
            self.turns[-1] += 1
        self.sizes, self.probability = [], torch.ones(()).double()
        return bool(self.turns)


@pytest.mark.parametrize(
    ("seed", "graph"), [pair for pair in GRAPHS if size_of(pair[1]) <= 24][:10]
)
def test_every_draw_has_its_exact_probability(
    seed: int, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = list(assignments(graph))
    scores = torch.stack([score(graph, graph.factors(seed), a) for a in everything])
    script, drawn = Script(), {}
    monkeypatch.setattr(torch_sample, "_draw", script.choose)
    while True:
        asked, _, values = passed_back(seed, graph, SampleRing())
        drawn[tuple(sorted(assignment_of(asked, values).items()))] = script.probability
        if not script.advance():
            break
    assert_close([drawn[tuple(sorted(a.items()))] for a in everything], list(scores.softmax(0)))


IN_I, IN_J, IN_IJ, NONE = frozenset("i"), frozenset("j"), frozenset("ij"), frozenset("")


def factor(*shape: int, dims: str, requires_grad: bool = False) -> Tensor:
    return named(torch.randn(shape).double(), dims).requires_grad_(requires_grad)


CROSSED = {
    IN_I: [factor(2, 3, dims="ix")],
    IN_J: [factor(2, 3, dims="jy")],
    IN_IJ: [factor(2, 2, 3, 3, dims="ijxy")],
}


def test_crossed_plates_are_refused_by_name() -> None:
    with pytest.raises(IntractableError, match="plates 'i' and 'j' joins .* 'x' in plate 'i', 'y'"):
        contract_tensor_tree(CROSSED, {"x", "y"})
    with pytest.raises(ValueError, match="sequential"):
        contract_to_tensor(CROSSED, {"x", "y"}, IN_I, {"x"})
    with pytest.raises(NotImplementedError) as caught:
        einsum("ix,jy,ijxy->", *(group[0] for group in CROSSED.values()), plates="ij")
    assert (caught.value.plates, caught.value.variables) == (IN_IJ, {"x": IN_I, "y": IN_J})  # type: ignore[attr-defined]


def test_crossed_plates_are_fine_where_one_of_them_has_no_variable() -> None:
    tree = {IN_I: [factor(2, 3, dims="ix")], IN_IJ: [factor(2, 4, 3, dims="ijx")]}
    (result,) = contract_tensor_tree(tree, {"x"})[IN_I]
    assert_close(result, (tree[IN_I][0] + tree[IN_IJ][0].sum(1)).logsumexp(-1))


def test_what_has_no_variable_stays_as_it_is() -> None:
    terms = [factor(2, dims="i"), factor(2, dims="i"), factor(dims="")]
    tree = contract_tensor_tree({IN_I: terms[:2], NONE: terms[2:]}, {"x"})
    assert tree[IN_I][0] is terms[0] and tree[IN_I][1] is terms[1] and tree[NONE][0] is terms[2]
    assert list(tree) == [IN_I, NONE]


def test_each_component_stays_in_its_plates() -> None:
    tree = {IN_I: [factor(2, 3, dims="ix"), factor(2, 3, dims="iy"), factor(2, 3, dims="ix")]}
    result = contract_tensor_tree(tree, {"x", "y"})
    x1, y, x2 = tree[IN_I]
    assert_close(result[IN_I], [(x1 + x2).logsumexp(-1), y.logsumexp(-1)])


def test_a_factor_that_does_not_vary_in_its_plate_counts_for_each_element() -> None:
    x, y, other = factor(3, dims="x"), factor(3, 4, dims="xy"), factor(5, dims="i")
    (varies, part) = contract_tensor_tree({IN_I: [other, x]}, {"x"})[IN_I]
    assert_close(part, x.logsumexp(-1).expand(5))
    total = contract_to_tensor(
        {IN_I: [other, y], NONE: [named(torch.zeros(4).double(), "y")]}, {"x", "y"}
    )
    assert_close(total, other.sum() + (5 * y.logsumexp(0)).logsumexp(0))
    linear = contract_to_tensor(
        {
            IN_I: [named(other.exp(), "i"), named(y.exp(), "xy")],
            NONE: [named(torch.ones(4).double(), "y")],
        },
        {"x", "y"},
        ring=LinearRing(),
    )
    assert_close(linear, total.exp())


def test_targets_must_be_there_with_their_plates() -> None:
    tree = {IN_I: [factor(2, 3, dims="ix")]}
    with pytest.raises(ValueError, match="cannot keep 'z': it is not a variable"):
        contract_to_tensor(tree, {"x"}, IN_I, {"z"})
    with pytest.raises(ValueError, match="cannot keep variable 'x' without its plate 'i'"):
        contract_to_tensor(tree, {"x"}, NONE, {"x"})
    with pytest.raises(ValueError, match="cannot keep variable 'x' without its plate 'i'"):
        naive_ubersum("ix->x", tree[IN_I][0], plates="i")
    with pytest.raises(ValueError, match="no factors"):
        contract_to_tensor({}, set())


def test_a_target_plate_without_variables_repeats_the_total() -> None:
    x = factor(2, 3, dims="ix")
    assert_close(contract_to_tensor({IN_I: [x]}, {"x"}, IN_I), x.logsumexp(-1).sum().expand(2))


def test_impossible_values_are_exact_in_value_and_gradient() -> None:
    x = factor(3, 2, 2, dims="ixy", requires_grad=True)
    never = torch.zeros(3, 2, 2).double()
    never[0, :, 1] = never[1, 0] = -torch.inf
    tree = {IN_I: [named(x + never, "ixy")], NONE: [named(torch.zeros(2).double(), "y")]}
    marginal = contract_to_tensor(tree, {"x", "y"}, IN_I, {"x"})
    kept, only = x[:, :, 0], x[1, 1, 0]  # no other value is possible in the middle element
    first, last = kept[0].logsumexp(0), kept[2].logsumexp(0)
    assert marginal[1, 0].item() == -math.inf
    assert_close(marginal[1, 1], first + only + last)
    assert_close(marginal[0], kept[0] + only + last)
    assert_close(marginal[2], first + only + kept[2])
    total = marginal[0].logsumexp(0) + marginal[1, 1] + marginal[2].logsumexp(0)
    (gradient,) = torch.autograd.grad(total, x, retain_graph=True)
    assert_close(gradient, torch.autograd.grad(3 * (first + only + last), x)[0])
    dead = contract_to_tensor({IN_I: [named(x - torch.inf, "ixy")]}, {"x", "y"})
    assert dead.item() == -math.inf
    assert_close(torch.autograd.grad(dead, x)[0], torch.zeros(3, 2, 2))


def test_second_derivatives_are_exact() -> None:
    def total(x: Tensor, y: Tensor) -> Tensor:
        return einsum("ixy,y->", x, y, plates="i", backend=LOG)[0]

    inputs = [
        torch.randn(2, 2, 2).double().requires_grad_(),
        torch.randn(2).double().requires_grad_(),
    ]
    assert torch.autograd.gradcheck(total, inputs)
    assert torch.autograd.gradgradcheck(total, inputs)


def chain_tree(steps: int, states: int) -> tuple[dict[frozenset[str], list[Tensor]], list[str]]:
    letters = [chr(0x100 + t) for t in range(steps + 1)]
    pairs = [factor(states, states, dims=letters[t] + letters[t + 1]) for t in range(steps)]
    return {NONE: pairs}, letters


def test_a_chain_of_a_thousand_steps_is_exact() -> None:
    tree, letters = chain_tree(1000, 3)
    pairs = [pair.requires_grad_() for pair in tree[NONE]]
    forward = torch.zeros(3).double()
    for pair in pairs:
        forward = (forward.unsqueeze(-1) + pair).logsumexp(0)
    (total,) = contract_tensor_tree(tree, set(letters))[NONE]
    assert_close(total, forward.logsumexp(0))
    ends = torch.autograd.grad(total, [pairs[0], pairs[500], pairs[-1]])
    assert_close([end.sum() for end in ends], [1.0, 1.0, 1.0])


def test_passing_back_through_many_steps_finds_the_path() -> None:
    tree, letters = chain_tree(500, 3)
    best, pointers = torch.zeros(3).double(), []
    for pair in tree[NONE]:
        best, pointer = (best.unsqueeze(-1) + pair).max(0)
        pointers.append(pointer)
        require_backward(pair)
    path = [int(best.argmax())]
    for pointer in reversed(pointers):
        path.insert(0, int(pointer[path[0]]))
    (total,) = contract_tensor_tree(tree, set(letters), ring=MapRing())[NONE]
    total._pyro_backward()  # type: ignore[attr-defined]
    found = [pair._pyro_backward_result.tolist() for pair in tree[NONE]]  # type: ignore[attr-defined]
    dims = [pair._pyro_backward_result._pyro_sample_dims for pair in tree[NONE]]  # type: ignore[attr-defined]
    for t, (values, letters_of) in enumerate(zip(found, dims, strict=True)):
        assert dict(zip(letters_of, values, strict=True)) == {
            letters[t]: path[t],
            letters[t + 1]: path[t + 1],
        }


def test_marginals_of_a_chain_share_their_messages() -> None:
    steps, computed = 30, []
    tree, letters = chain_tree(steps, 2)
    cache: dict[Any, Any] = {}
    for letter in letters:
        contract_to_tensor(tree, set(letters), NONE, {letter}, cache=cache)
        computed.append(sum(key[0] == "sum_product" for key in cache))
    # One message in either direction for each step, and a product of the two for each variable.
    assert computed[0] <= steps + 1
    assert computed[-1] <= 3 * steps + 1


def test_the_former_name_takes_the_former_option() -> None:
    x = torch.randn(2, 3)
    assert_close(ubersum("ix->", x, batch_dims="i"), einsum("ix->", x, plates="i"))
    assert_close(naive_ubersum("ix->", x, batch_dims="i"), einsum("ix->", x, plates="i"))


def test_wrong_options_and_backends_are_refused() -> None:
    x = torch.randn(2, 3)
    with pytest.raises(TypeError, match="plate_dims"):
        einsum("ix->", x, plate_dims="i")
    with pytest.raises(TypeError, match="plate_dims"):
        naive_ubersum("ix->", x, plate_dims="i")
    with pytest.raises(ValueError, match="backend 'numpy' is none of torch, "):
        einsum("ix->", x, backend="numpy")
    with pytest.raises(ValueError, match="dim 'x' is both 3 and 4 long"):
        einsum("ix,x->", x, torch.randn(4), plates="i")


def test_operands_are_not_renamed() -> None:
    x = torch.randn(2, 3)
    einsum("ix->", x, plates="i")
    assert not hasattr(x, "_pyro_dims")


def test_a_ring_of_ones_own_is_used() -> None:
    class Counting(LogRing):
        sums = 0

        def sumproduct(self, terms: Any, dims: Any) -> Tensor:
            self.sums += 1
            return super().sumproduct(terms, dims)

    ring = Counting()
    contract_tensor_tree({IN_I: [factor(2, 3, dims="ix")]}, {"x"}, ring=ring)
    assert ring.sums == 1


def test_a_pass_back_given_what_was_kept() -> None:
    x, y = torch.randn(5, 2, 3).double(), torch.randn(3, 4).double()
    require_backward(x)
    require_backward(y)
    (best,) = einsum("iab,bc->b", x, y, plates="i", backend=MAP)
    best._pyro_backward()  # type: ignore[attr-defined]
    a, c = x._pyro_backward_result, y._pyro_backward_result  # type: ignore[attr-defined]
    assert (sorted(a._pyro_dims), a._pyro_sample_dims) == ([" ", "b", "i"], "a")
    assert (c._pyro_dims, c._pyro_sample_dims) == (" b", "c")
    assert_close(a[0] if a._pyro_dims == " ib" else a[0].T, x.argmax(1))
    assert_close(c[0], y.argmax(1))


def test_a_target_in_a_plate_records_nothing() -> None:
    x = torch.randn(5, 2).double()
    require_backward(x)
    (best,) = einsum("ia->ia", x, plates="i", backend=MAP)
    assert not hasattr(best, "_pyro_backward")
    assert_close(best, x + x.amax(1).sum() - x.amax(1, keepdim=True))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_traced_contraction_stays_right_for_impossible_values() -> None:
    def total(x: Tensor, y: Tensor) -> Tensor:
        return einsum("ixy,y->", x, y, plates="i", backend=LOG)[0]

    x, y = torch.randn(3, 2, 2).double(), torch.randn(2).double()
    traced = torch.jit.trace(total, (x, y), check_trace=False)
    x = torch.randn(3, 2, 2).double()
    x[0, :, 1] = -torch.inf
    assert_close(traced(x, y), total(x, y))
