import random
from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations, product
from typing import Any

import networkx as nx
import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.inspect import get_dependencies
from tests.poutine.models import interpreter_state, leaves_no_trace

N = dist.Normal
DATUM = torch.tensor(0.0)


def chain() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(a, 1))
    pyro.sample("c", N(b, 1), obs=DATUM)


def collider() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(0, 1))
    pyro.sample("c", N(a, b.exp()), obs=DATUM)


def unobserved_collider() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(0, 1))
    pyro.sample("c", N(a + b, 1))


def fork() -> None:
    a = pyro.sample("a", N(0, 1))
    for name in "bc":
        pyro.sample(name, N(a, 1))


def unrelated() -> None:
    pyro.sample("a", N(0, 1))
    pyro.sample("b", N(0, 1))
    pyro.sample("c", N(0, 1), obs=DATUM)


def conjugate_in_plate() -> None:
    a = pyro.sample("a", N(0, 1))
    with pyro.plate("data", 3):
        pyro.sample("c", N(a, 1), obs=torch.zeros(3))


def plate_collider() -> None:
    a = pyro.sample("a", N(0, 1))
    with pyro.plate("p", 3):
        b = pyro.sample("b", N(0, 1))
        pyro.sample("c", N(a + b, 1), obs=torch.zeros(3))


def sum_over_plate() -> None:
    with pyro.plate("p", 3):
        a = pyro.sample("a", N(0, 1))
        b = pyro.sample("b", N(0, 1))
    pyro.sample("c", N((a * b).sum(), 1), obs=DATUM)


def nested_plates() -> None:
    with pyro.plate("rows", 2, dim=-2):
        a = pyro.sample("a", N(0, 1))
        with pyro.plate("columns", 3, dim=-1):
            b = pyro.sample("b", N(a, 1))
        pyro.sample("c", N(b.sum(-1, True), 1), obs=torch.zeros(2, 1))


def crossing_plates() -> None:
    x, y = pyro.plate("x", 2, dim=-1), pyro.plate("y", 3, dim=-2)
    with x:
        a = pyro.sample("a", N(0, 1))
    with y:
        b = pyro.sample("b", N(0, 1))
    with x, y:
        pyro.sample("c", N(a + b, 1), obs=torch.zeros(3, 2))


def crossing_sums() -> None:
    x, y = pyro.plate("x", 2, dim=-1), pyro.plate("y", 3, dim=-2)
    with x, y:
        a = pyro.sample("a", N(0, 1))
    with x:
        pyro.sample("b", N(a.sum(0), 1), obs=torch.zeros(2))
    with y:
        pyro.sample("c", N(a.sum(1, True), 1), obs=torch.zeros(3, 1))


def subsampled() -> None:
    a = pyro.sample("a", N(0, 1))
    with pyro.plate("p", 6, subsample_size=3) as batch:
        b = pyro.sample("b", N(a, 1))
        pyro.sample("c", N(b, 1), obs=torch.zeros(6)[batch])


def sequential_plate() -> None:
    values = [pyro.sample(f"a{i}", N(0, 1)) for i in pyro.plate("p", 2)]
    pyro.sample("c", N(sum(values), 1), obs=DATUM)


def time_series() -> None:
    a = torch.tensor(0.0)
    for t in range(3):
        a = pyro.sample(f"a{t}", N(a, 1))
        pyro.sample(f"c{t}", N(a, 1), obs=DATUM)


def mixture() -> None:
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    locs = pyro.sample("locs", N(torch.zeros(2), 1).to_event(1))
    with pyro.plate("p", 3):
        k = pyro.sample("k", dist.Categorical(weights))
        pyro.sample("x", N(locs[k], 1), obs=torch.zeros(3))


def through_deterministic() -> None:
    a = pyro.sample("a", N(0, 1))
    d = pyro.deterministic("d", 2 * a)
    e = pyro.sample("e", dist.Delta(d))
    pyro.sample("b", N(e, 1), obs=DATUM)


def measured_delta() -> None:
    a = pyro.sample("a", N(0, 1))
    pyro.sample("b", dist.Delta(a), obs=DATUM)


def weighted_delta() -> None:
    a = pyro.sample("a", N(0, 1))
    pyro.sample("b", dist.Delta(torch.tensor(1.0), log_density=a))


def observed_parent() -> None:
    a = pyro.sample("a", N(0, 1))
    x = pyro.sample("x", N(a, 1), obs=DATUM)
    pyro.sample("b", N(x, 1))


def observed_at_a_latent() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(0, 1))
    pyro.sample("c", N(a, 1), obs=2 * b)


def with_param() -> None:
    s = pyro.param("s", torch.tensor(1.0), constraint=dist.constraints.positive)
    a = pyro.sample("a", N(0, s))
    pyro.sample("b", N(a, s), obs=DATUM)


def with_factor() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(0, 1))
    pyro.factor("f", a * b)


def masked_out() -> None:
    a = pyro.sample("a", N(0, 1))
    pyro.sample("b", N(a, 1).mask(False), obs=DATUM)
    with poutine.mask(mask=False):
        pyro.sample("c", N(a, 1), obs=DATUM)


def partly_masked() -> None:
    a = pyro.sample("a", N(0, 1))
    b = pyro.sample("b", N(0, 1))
    with pyro.plate("p", 2):
        pyro.sample("c", N(a, 1).mask(b > torch.zeros(2)), obs=torch.zeros(2))


def partly_observed() -> None:
    a = pyro.sample("a", N(0, 1))
    with pyro.plate("p", 2):
        x = torch.tensor([0.0, float("nan")])
        b = pyro.sample("b", N(a, 1), obs=x, obs_mask=torch.tensor([True, False]))
        pyro.sample("c", N(b, 1), obs=torch.zeros(2))


def written_in_place() -> None:
    a = pyro.sample("a", N(0, 1))
    locs = torch.zeros(2)
    locs[0] = a
    pyro.sample("b", N(locs, 1).to_event(1), obs=torch.zeros(2))


def two_categories() -> None:
    for c in "dk":
        mean = pyro.sample(f"{c}_mean", N(0, 1))
        std = pyro.sample(f"{c}_std", dist.LogNormal(mean, 1))
        with pyro.plate(f"{c}_plate", 2):
            pyro.sample(f"{c}_x", N(mean, std), obs=torch.zeros(2))


def two_params() -> None:
    for c in "dk":
        loc = pyro.param(f"{c}_loc", torch.tensor(0.0))
        pyro.sample(f"{c}_x", N(loc, 1), obs=DATUM)


# By model: prior and posterior, "site: upstream ...", a plate after a slash; self links are left
# out where they have no plate.
TABLE: list[tuple[Callable[[], None], str, str]] = [
    (chain, "a; b: a; c: b", "a: b; b: c"),
    (collider, "a; b; c: a b", "a: b c; b: c"),
    (unobserved_collider, "a; b; c: a b", "a: b c; b: c; c"),
    (fork, "a; b: a; c: a", "a: b c; b; c"),
    (unrelated, "a; b; c", "a; b"),
    (conjugate_in_plate, "a; c: a", "a: c"),
    (plate_collider, "a; b; c: a b", "a: b c; b: c"),
    (sum_over_plate, "a; b; c: a b", "a: a/p b/p c; b: b/p c"),
    (nested_plates, "a; b: a; c: b", "a: b; b: b/columns c"),
    (crossing_plates, "a; b; c: a b", "a: b c; b: c"),
    (crossing_sums, "a; b: a; c: a", "a: a/x/y b c"),
    (subsampled, "a; b: a; c: b", "a: b; b: c"),
    (sequential_plate, "a0; a1; c: a0 a1", "a0: a1 c; a1: c"),
    (time_series, "a0; c0: a0; a1: a0; c1: a1; a2: a1; c2: a2", "a0: a1 c0; a1: a2 c1; a2: c2"),
    (mixture, "weights; locs; k: weights; x: k locs", "weights: k; locs: k x; k: x"),
    (through_deterministic, "a; b: a", "a: b"),
    (measured_delta, "a; b: a", "a: b"),
    (weighted_delta, "a; b: a", "a: b"),
    (observed_parent, "a; x: a; b", "a: x; b"),
    (observed_at_a_latent, "a; b; c: a b", "a: b c; b: c"),
    (with_param, "a; b: a", "a: b"),
    (with_factor, "a; b; f: a b", "a: b f; b: f"),
    (masked_out, "a; b; c", "a"),
    (partly_masked, "a; b; c: a b", "a: b c; b: c"),
    (
        partly_observed,
        "a; b_observed: a; b_unobserved: a; c: b_unobserved",
        "a: b_observed b_unobserved; b_unobserved: c",
    ),
    (written_in_place, "a; b: a", "a: b"),
    (
        poutine.equalize(two_categories, "._std"),
        "d_mean; d_std: d_mean; d_x: d_mean d_std; k_mean; k_std: d_std; k_x: k_mean d_std",
        "d_mean: d_std d_x; d_std: d_x k_std k_x k_mean; k_mean: k_x",
    ),
    (
        poutine.equalize(two_categories, "._std", keep_dist=True),
        "d_mean; d_std: d_mean; d_x: d_mean d_std; k_mean; k_std: d_std k_mean; k_x: k_mean d_std",
        "d_mean: d_std d_x; d_std: d_x k_std k_x k_mean; k_mean: k_std k_x",
    ),
    (poutine.equalize(two_params, "._loc", "param"), "d_x; k_x", ""),
    (poutine.condition(fork, {"b": DATUM}), "a; b: a; c: a", "a: b c; c"),
]


def read_table(text: str) -> dict[str, dict[str, set[str]]]:
    table: dict[str, dict[str, set[str]]] = {}
    for entry in filter(None, text.split("; ")):
        name, _, upstream = entry.partition(": ")
        table[name] = {name: set()}
        for other, *plates in (word.split("/") for word in upstream.split()):
            table[name][other] = set(plates)
    return table


@pytest.mark.parametrize(("model", "prior", "posterior"), TABLE)
def test_dependencies_are_those_of_the_table(model, prior: str, posterior: str) -> None:
    with leaves_no_trace():
        found = get_dependencies(model)
    assert found == {
        "prior_dependencies": read_table(prior),
        "posterior_dependencies": read_table(posterior),
    }


def test_deterministic_sites_can_be_variables() -> None:
    found = get_dependencies(through_deterministic, include_deterministic=True)
    assert found == {
        "prior_dependencies": read_table("a; d: a; e: d; b: e"),
        "posterior_dependencies": read_table("a: d; d: e; e: b"),
    }


def test_arguments_are_passed_on() -> None:
    def model(x, *, y) -> None:
        a = pyro.sample("a", N(x, 1))
        pyro.sample("b", N(a, 1), obs=y)

    found = get_dependencies(model, (0.0,), {"y": DATUM})
    assert found["posterior_dependencies"] == read_table("a: b")


def test_each_entry_is_in_the_order_of_the_run() -> None:
    found = get_dependencies(poutine.equalize(two_categories, "._std"))
    assert list(found["prior_dependencies"]["d_x"]) == ["d_mean", "d_std", "d_x"]
    assert list(found["posterior_dependencies"]["d_std"]) == [
        *("d_std", "d_x", "k_mean", "k_std", "k_x")
    ]


def test_handlers_around_and_generators_see_nothing_of_the_run() -> None:
    state, before = torch.get_rng_state(), interpreter_state()
    with poutine.trace() as record, pyro.plate("outer", 7):
        get_dependencies(sum_over_plate)
    assert [name for name in record.trace if name != "outer"] == []
    assert torch.equal(torch.get_rng_state(), state)
    assert interpreter_state() == before


def test_parameters_that_are_there_are_used_and_stay() -> None:
    pyro.param("s", torch.tensor(2.0))
    seen = []

    def model() -> None:
        s = pyro.param("s")
        seen.append(s.item())
        pyro.param("new", torch.tensor(1.0))
        pyro.sample("a", N(s, 1))

    get_dependencies(model)
    assert seen == [2.0]
    assert list(pyro.get_param_store()) == ["s"]
    assert type(pyro.param("s")) is torch.Tensor


def test_a_failing_model_leaves_nothing_behind() -> None:
    state = torch.get_rng_state()

    def model() -> None:
        pyro.param("new", torch.rand(()))
        pyro.sample("a", N(torch.zeros(2), 1), obs=torch.zeros(3))

    with leaves_no_trace(), pytest.raises(ValueError, match="At site 'a': the value cannot be"):
        get_dependencies(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_law_without_a_density_will_do() -> None:
    class Implicit(dist.TorchDistribution):
        arg_constraints = {"loc": dist.constraints.real}
        support = dist.constraints.real

        def __init__(self, loc: Any) -> None:
            self.loc = loc
            super().__init__(loc.shape)

        def sample(self, sample_shape: Any = ()) -> Any:
            return torch.rand(self.shape(sample_shape))

        def log_prob(self, value: Any) -> Any:
            raise NotImplementedError

    def model() -> None:
        a = pyro.sample("a", N(0, 1))
        pyro.sample("b", Implicit(a))

    assert get_dependencies(model)["prior_dependencies"] == read_table("a; b: a")


# Random models against an oracle: the model is written out element by element as a directed
# graph, and two elements are tied if they are not d-separated given all others.

PLATES = {"p": -1, "q": -2}
SIZE = 2
Spec = dict[str, tuple[list[str], set[str], bool]]  # parents, plates, observed


def random_spec(seed: int) -> Spec:
    rng = random.Random(seed)
    spec: Spec = {}
    for i in range(rng.randint(2, 5)):
        latent = [name for name, (_, _, observed) in spec.items() if not observed]
        parents = [name for name in latent if rng.random() < 0.5]
        plates = {plate for plate in PLATES if rng.random() < 0.4}
        spec[f"x{i}"] = parents, plates, rng.random() < 0.4
    return spec


def model_of(spec: Spec) -> Callable[[], None]:
    def model() -> None:
        plates = {name: pyro.plate(name, SIZE, dim=dim) for name, dim in PLATES.items()}
        values: dict[str, Any] = {}
        for name, (parents, inside, observed) in spec.items():
            loc = torch.zeros(1, 1)
            for parent in parents:
                value = torch.atleast_2d(values[parent])
                dims = [PLATES[plate] for plate in spec[parent][1] - inside]
                loc = loc + (value.sum(dims, keepdim=True) if dims else value)
            around = [plates[plate] for plate in sorted(inside)]
            shape = [SIZE if plate in inside else 1 for plate in ("q", "p")]
            with ExitStack() as stack:
                for plate in around:
                    stack.enter_context(plate)
                obs = torch.zeros(shape) if observed else None
                values[name] = pyro.sample(name, N(loc, 1), obs=obs)

    return model


def elements(spec: Spec, name: str) -> list[tuple[str, frozenset]]:
    plates = sorted(spec[name][1])
    return [
        (name, frozenset(zip(plates, index, strict=True)))
        for index in product(range(SIZE), repeat=len(plates))
    ]


def agree(one: frozenset, other: frozenset) -> bool:
    return all(dict(other).get(plate, i) == i for plate, i in one)


def oracle(spec: Spec) -> dict[str, dict[str, set[str]]]:
    graph = nx.DiGraph()
    for name, (parents, _, _) in spec.items():
        for element in elements(spec, name):
            graph.add_node(element)
            for parent in parents:
                graph.add_edges_from(
                    (other, element)
                    for other in elements(spec, parent)
                    if agree(other[1], element[1])
                )
    order = list(spec)
    tied = {name: {name: set()} for name, (_, _, observed) in spec.items() if not observed}
    for one, other in combinations(graph, 2):
        if nx.is_d_separator(graph, {one}, {other}, set(graph) - {one, other}):
            continue
        first, second = sorted((one, other), key=lambda element: order.index(element[0]))
        if first[0] not in tied:  # observed: what it is tied to later is observed too
            assert second[0] not in tied
            continue
        shared = spec[first[0]][1] & spec[second[0]][1]
        differing = {plate for plate in shared if dict(first[1])[plate] != dict(second[1])[plate]}
        tied[first[0]].setdefault(second[0], set()).update(differing)
    return tied


@pytest.mark.parametrize("seed", range(60))
def test_random_models_agree_with_d_separation(seed: int) -> None:
    spec = random_spec(seed)
    found = get_dependencies(model_of(spec))
    assert found["posterior_dependencies"] == oracle(spec)
    assert found["prior_dependencies"] == {
        name: {other: set() for other in [*parents, name]} for name, (parents, _, _) in spec.items()
    }
