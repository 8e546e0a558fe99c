"""``enum``: sums over packed factors equal brute force, in float64; and what is refused."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.enum_messenger import enumerate_site
from tests.helpers import assert_close, assert_mean, trace_of
from tests.poutine.enumeration import PARALLEL, brute_force, enumerated, factors_of, log_evidence
from tests.poutine.models import refused

pytestmark = pytest.mark.usefixtures("double_precision")


def draw(name: str, probs: Any, infer: Any = PARALLEL, **options: Any) -> Any:
    return pyro.sample(name, dist.Categorical(torch.as_tensor(probs)), infer=infer, **options)


@functools.cache
def table(*shape: int) -> Tensor:
    """Probabilities, the last dim summing to one, the same in every call."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return numbers.softmax(-1)


def index_of(*values: Any) -> tuple[Tensor, ...]:
    return tuple(torch.as_tensor(value).long() for value in values)


def hmm(length: int, history: int, iterate: Callable[..., Any]) -> Callable[[], None]:
    """A chain of three states, each dependent on the ``history`` before it, with data."""
    transition = table(*(3,) * (history + 1))
    data = torch.linspace(-1.0, 2.0, length)

    def model() -> None:
        states: list[Any] = [0] * history
        for t in iterate(range(length), history=history):
            state = draw(f"x{t}", transition[index_of(*states[-history:])])
            states.append(state)
            pyro.sample(f"y{t}", dist.Normal(state * 1.0, 1.0), obs=data[t])

    return model


@pytest.mark.parametrize("history", [1, 2, 3])
def test_a_hidden_markov_model_of_any_history(history: int) -> None:
    model = hmm(5, history, pyro.markov)
    record = enumerated(model)
    assert_close(log_evidence(record), brute_force(model, {f"x{t}": 3 for t in range(5)}))
    dims = {record.nodes[f"x{t}"]["infer"]["_enumerate_dim"] for t in range(5)}
    assert dims == set(range(-1 - history, 0)) and all(
        f.dim() <= history + 1 for f in factors_of(record)
    )


def test_a_long_chain_is_linear_and_exact() -> None:
    """The forward algorithm over 200 steps, from factors whose size does not grow."""
    model = hmm(200, 1, pyro.markov)
    record = enumerated(model)
    assert {factor.numel() for factor in factors_of(record)} == {3, 9}
    alpha = torch.ones(1)
    for t in range(200):
        state, datum = (record.nodes[f"{n}{t}"]["packed"]["log_prob"] for n in "xy")
        (own,) = datum._pyro_dims
        step = state.exp() if state._pyro_dims[-1] == own else state.exp().T
        alpha = alpha @ step.reshape(-1, 3) * datum.exp()
    assert_close(log_evidence(record), alpha.sum().log())


def test_a_factorial_hidden_markov_model() -> None:
    first, second = table(2, 2), table(2, 2, 2)

    def model() -> None:
        x, y = 0, 0
        for t in pyro.markov(range(4)):
            x = draw(f"x{t}", first[index_of(x)])
            y = draw(f"y{t}", second[index_of(x, y)])
            pyro.sample(f"z{t}", dist.Normal(x + 2.0 * y, 1.0), obs=torch.tensor(0.5 * t))

    record = enumerated(model)
    supports = {f"{name}{t}": 2 for t in range(4) for name in "xy"}
    assert_close(log_evidence(record), brute_force(model, supports))
    assert min(record.symbol_to_dim.values()) == -4  # two sites in each of two steps


def test_independent_steps_share_a_dimension() -> None:
    def model() -> None:
        z = draw("z", [0.2, 0.8])
        for t in pyro.markov(range(4), history=0):
            x = draw(f"x{t}", table(2, 2)[index_of(z)])
            pyro.sample(f"y{t}", dist.Normal(x * 1.0, 1.0), obs=torch.tensor(0.3 * t))

    record = enumerated(model)
    supports = {"z": 2, **{f"x{t}": 2 for t in range(4)}}
    assert_close(log_evidence(record), brute_force(model, supports))
    assert {record.nodes[f"x{t}"]["infer"]["_enumerate_dim"] for t in range(4)} == {-2}


def grid(keep: bool) -> Callable[[], None]:
    """Each site depends on its neighbours to the left and above, and on the one between them."""
    law = table(2, 2, 2, 2)

    def model() -> None:
        columns = pyro.markov(range(3), keep=keep)
        values: dict[tuple[int, int], Any] = {}
        for i in pyro.markov(range(3)):
            for j in columns:
                near = [values.get(at, 0) for at in ((i - 1, j - 1), (i - 1, j), (i, j - 1))]
                values[i, j] = draw(f"x{i}{j}", law[index_of(*near)])
                pyro.sample(f"y{i}{j}", dist.Normal(values[i, j] * 1.0, 1.0), obs=torch.tensor(0.4))

    return model


def test_a_grid_over_an_axis_that_is_kept() -> None:
    """Four sites are visible at once; the released Pyro gives two of them one dimension."""
    model = grid(keep=True)
    supports = {f"x{i}{j}": 2 for i in range(3) for j in range(3)}
    assert_close(log_evidence(enumerated(model)), brute_force(model, supports))


def test_an_axis_that_is_not_kept_forgets() -> None:
    with refused(ValueError, r"At site 'x10': its law has 2 elements at dim -1.*leave its markov"):
        enumerated(grid(keep=False))


def test_a_kept_axis_spares_the_dimensions_between_its_uses() -> None:
    """What runs between two passes over an axis must not take the values of the first."""

    def model() -> None:
        axis = pyro.markov(range(3), keep=True)
        x: dict[int, Any] = {-1: 0}
        y: dict[int, Any] = {-1: 0}
        for i in axis:
            x[i] = draw(f"x{i}", table(2, 2)[index_of(x[i - 1])])
        z = draw("z", [0.3, 0.7])
        for i in axis:
            y[i] = draw(f"y{i}", table(2, 2, 2, 2)[index_of(x[i], y[i - 1], z)])
            pyro.sample(f"o{i}", dist.Normal(y[i] * 1.0, 1.0), obs=torch.tensor(1.0))

    supports = dict.fromkeys(("x0", "x1", "x2", "z", "y0", "y1", "y2"), 2)
    assert_close(log_evidence(enumerated(model)), brute_force(model, supports))


@pytest.mark.parametrize("keep", [False, True])
def test_a_recursive_tree(keep: bool) -> None:
    @pyro.markov(keep=keep)
    def grow(name: str, parent: Any, depth: int) -> None:
        x = draw(name, table(2, 2)[index_of(parent)])
        pyro.sample(f"y_{name}", dist.Normal(x * 1.0, 1.0), obs=torch.tensor(0.1 * depth))
        if depth:
            grow(name + "l", x, depth - 1)
            grow(name + "r", x, depth - 1)

    def model() -> None:
        grow("x", 0, 2)

    record = enumerated(model)
    supports = dict.fromkeys(("x", "xl", "xr", "xll", "xlr", "xrl", "xrr"), 2)
    assert_close(log_evidence(record), brute_force(model, supports))
    if not keep:
        assert min(record.symbol_to_dim.values()) == -2


def test_nested_chains() -> None:
    def model() -> None:
        x = 0
        for i in pyro.markov(range(3)):
            x = draw(f"x{i}", table(2, 2)[index_of(x)])
            y = 0
            for j in pyro.markov(range(2)):
                y = draw(f"y{i}{j}", table(2, 2, 2)[index_of(x, y)])
                pyro.sample(f"o{i}{j}", dist.Normal(y * 1.0, 1.0), obs=torch.tensor(0.2 * i))

    supports = {f"x{i}": 2 for i in range(3)}
    supports |= {f"y{i}{j}": 2 for i in range(3) for j in range(2)}
    assert_close(log_evidence(enumerated(model)), brute_force(model, supports))


@pytest.mark.parametrize("expand", [False, True])
def test_a_mixture_inside_a_plate(expand: bool) -> None:
    """Sum over z in each element, multiply over the plate: the closed form of a mixture."""
    data, weights = torch.tensor([0.1, 1.2, -0.5]), table(3, 2)

    def model() -> None:
        shift = draw("shift", [0.5, 0.5])
        with pyro.plate("data", 3):
            z = draw("z", weights, {"enumerate": "parallel", "expand": expand})
            pyro.sample("x", dist.Normal(z + 2.0 * shift, 1.0), obs=data)

    record = enumerated(model, first=-2)
    site = {name: record.nodes[name]["packed"]["log_prob"] for name in ("shift", "z", "x")}
    spelled = ",".join(site[name]._pyro_dims for name in ("z", "x"))
    (plate,), (own,) = record.plate_to_symbol.values(), site["shift"]._pyro_dims
    inside = torch.einsum(f"{spelled}->{plate}{own}", site["z"].exp(), site["x"].exp())
    evidence = (site["shift"].exp() * inside.prod(0)).sum().log()
    means = torch.arange(2.0)[:, None, None] * 2 + torch.arange(2.0)  # shift, element, z
    mixture = (weights * dist.Normal(means, 1.0).log_prob(data[:, None]).exp()).sum(-1)
    assert_close(evidence, (0.5 * mixture.prod(-1)).sum().log())
    shape = (2, 1, 3) if expand else (2, 1, 1)
    assert record.nodes["z"]["value"].shape == shape


def test_values_expand_over_plates_and_not_over_other_sites() -> None:
    """Else the values of a chain would grow with each step."""

    def model() -> None:
        x, y = 0, 0
        for t in pyro.markov(range(4)):
            x = draw(f"x{t}", table(2, 2)[index_of(x)], {"enumerate": "parallel", "expand": True})
            y = draw(
                f"y{t}", table(2, 2, 2)[index_of(x, y)], {"enumerate": "parallel", "expand": True}
            )
            pyro.sample(f"z{t}", dist.Normal(y * 1.0, 1.0), obs=torch.tensor(0.5))

    supports = {f"{name}{t}": 2 for t in range(4) for name in "xy"}
    assert_close(log_evidence(enumerated(model)), brute_force(model, supports))


@pytest.mark.parametrize("keep_dist", [False, True])
def test_a_tied_site_is_summed_out_with_its_owner(keep_dist: bool) -> None:
    def model() -> None:
        x = draw("x", [0.2, 0.3, 0.5])
        y = draw("y", [0.6, 0.3, 0.1])
        pyro.sample("o", dist.Normal(x + 10.0 * y, 2.0), obs=torch.tensor(7.0))

    px, py = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.6, 0.3, 0.1])
    prior = px * py if keep_dist else px
    likelihood = dist.Normal(11 * torch.arange(3.0), 2.0).log_prob(torch.tensor(7.0)).exp()
    tie = poutine.equalize(sites=["x", "y"], keep_dist=keep_dist)
    record = enumerated(tie(model))
    around = trace_of(tie(poutine.enum(model, first_available_dim=-1)))
    around.compute_log_prob()
    around.pack_tensors()
    for tied in (record, around):
        assert_close(log_evidence(tied), (prior * likelihood).sum().log())
        assert "_enumerate_dim" not in tied.nodes["y"]["infer"]


def chain(length: int) -> Callable[[], None]:
    def model() -> None:
        x = 0
        for t in pyro.markov(range(length)):
            x = draw(f"x{t}", table(2, 2)[index_of(x)])
            pyro.sample(f"y{t}", dist.Normal(x * 1.0, 1.0), obs=torch.tensor(0.3 * t))

    return model


@pytest.mark.parametrize("tied", [["x0", "x1"], ["x0", "x1", "x2"], "x.*"])
def test_a_tied_site_hands_its_owners_dimension_on(tied: Any) -> None:
    """The site after it depends on the owner through it, however far back the owner is."""
    model = poutine.equalize(chain(4), tied, keep_dist=True)

    def twin() -> None:
        log_prob = torch.zeros(())
        x = draw("x0", table(2, 2)[0])
        before = x
        for t in range(4):
            if t > 0 and (tied == "x.*" or f"x{t}" in tied):
                log_prob = log_prob + dist.Categorical(table(2, 2)[before]).log_prob(x)
                before = x
            elif t:
                before = draw(f"x{t}", table(2, 2)[before])
            pyro.sample(f"y{t}", dist.Normal(before * 1.0, 1.0), obs=torch.tensor(0.3 * t))
        pyro.factor("tie", log_prob)

    assert_close(log_evidence(enumerated(model)), log_evidence(enumerated(twin)))


def test_a_tied_site_may_not_reach_behind_its_markov_context() -> None:
    """Dimension -1 is the owner's no more when the third step runs."""
    with refused(ValueError, r"At site 'x2': its value, shared with 'x0', has 2 elements at"):
        enumerated(poutine.equalize(chain(3), ["x0", "x2"]))


def test_what_depends_on_an_enumerated_site_keeps_its_dimension() -> None:
    """A value that no one enumerates carries what it was computed from into the next step."""

    def model() -> None:
        carried = torch.zeros(())
        for t in pyro.markov(range(3)):
            x = draw(f"x{t}", [0.3, 0.7])
            pyro.sample(f"y{t}", dist.Normal(carried + x, 1.0), obs=torch.tensor(0.5 * t))
            carried = pyro.deterministic(f"c{t}", carried + x, event_dim=0)

    supports = {f"x{t}": 2 for t in range(3)}
    assert_close(log_evidence(enumerated(model)), brute_force(model, supports))


def test_what_is_observed_or_conditioned_is_not_enumerated() -> None:
    def model() -> None:
        x = draw("x", [0.2, 0.8])
        draw("y", table(2, 2)[index_of(x)])
        draw("z", [0.5, 0.5], obs=torch.tensor(1))

    fix = poutine.condition(data={"x": torch.tensor(1)})
    for handled in (fix(poutine.enum(model, first_available_dim=-1)), poutine.enum(fix(model), -1)):
        record = trace_of(handled)
        assert [n for n in "xyz" if "_enumerate_dim" in record.nodes[n]["infer"]] == ["y"]
        (dim,) = record.nodes["z"]["infer"]["_dim_to_id"]
        assert dim == record.nodes["y"]["infer"]["_enumerate_dim"]


def test_every_site_says_what_it_can_depend_on() -> None:
    hints = {"enumerate": "parallel"}

    def model() -> None:
        draw("x", [0.2, 0.8], hints)
        pyro.param("p", torch.ones(()))
        with pyro.plate("data", 2):
            draw("y", [0.2, 0.8], {})
            pyro.factor("f", torch.zeros(2))
        pyro.deterministic("d", torch.zeros(()))

    record = enumerated(model, first=-2)
    ids = {n: record.nodes[n]["infer"]["_dim_to_id"] for n in ("x", "y", "f", "d")}
    assert ids == {n: {-2: 0} for n in ids}
    assert hints == {"enumerate": "parallel"}
    assert record.nodes["x"]["infer"]["_enumerate_dim"] == -2


def test_a_guide_is_enumerated_before_its_model() -> None:
    """The model keeps the guide's values, dimensions and ids, and takes others for its own."""

    def model() -> None:
        y = draw("y", [0.5, 0.5])
        x = draw("x", table(2, 2)[index_of(y)])
        pyro.sample("o", dist.Normal(x + 2.0 * y, 1.0), obs=torch.tensor(0.0))

    def guide() -> None:
        draw("x", [0.1, 0.9])

    for wrap in (
        lambda trace: poutine.replay(poutine.enum(model), trace=trace),
        lambda trace: poutine.enum(poutine.replay(model, trace=trace)),
    ):
        guide_trace = trace_of(poutine.enum(guide, first_available_dim=-1))
        record = trace_of(wrap(guide_trace))
        record.compute_log_prob()
        record.pack_tensors()
        assert record.nodes["x"]["infer"]["_enumerate_dim"] == -1
        assert record.nodes["x"]["infer"]["_dim_to_id"][-1] == 0
        assert record.nodes["y"]["infer"]["_enumerate_dim"] < -1
        assert_close(log_evidence(record), brute_force(model, {"x": 2, "y": 2}))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("history", [1, 2])
def test_the_steps_of_a_guide_are_those_of_its_model(history: int, keep: bool) -> None:
    """Each counts its own steps: what a guide enumerated in them is seen from the model's alone."""
    iterate = functools.partial(pyro.markov, keep=keep)
    chain = hmm(4, history, iterate)

    def guide() -> None:
        before: list[Any] = [0] * history
        for t in iterate(range(4), history=history):
            before.append(draw(f"x{t}", table(*(3,) * (history + 1))[index_of(*before[-history:])]))

    def model() -> None:
        chain()
        z = draw("z", table(2))
        pyro.sample("o", dist.Normal(z * 1.0, 1.0), obs=torch.tensor(0.0))

    expected = brute_force(model, {**{f"x{t}": 3 for t in range(4)}, "z": 2})
    for wrap in (
        lambda trace: poutine.replay(poutine.enum(model), trace=trace),
        lambda trace: poutine.enum(poutine.replay(model, trace=trace)),
    ):
        record = trace_of(wrap(trace_of(poutine.enum(guide, first_available_dim=-1))))
        record.compute_log_prob()
        record.pack_tensors()
        assert_close(log_evidence(record), expected)


def test_the_step_that_an_enumeration_stands_in_is_none_of_its_own() -> None:
    model = hmm(3, 1, pyro.markov)
    expected = brute_force(model, {f"x{t}": 3 for t in range(3)})
    for _ in pyro.markov(range(2)):
        assert_close(log_evidence(enumerated(model)), expected)
    assert_close(log_evidence(enumerated(lambda: poutine.markov(model)())), expected)
    record = trace_of(poutine.markov(poutine.enum(model, first_available_dim=-1)))
    record.compute_log_prob()
    record.pack_tensors()
    assert_close(log_evidence(record), expected)


def test_a_value_from_a_guide_that_does_not_enumerate_is_no_enumeration() -> None:
    def model() -> None:
        draw("x", [0.5, 0.5])

    guide_trace = trace_of(poutine.enum(lambda: draw("x", [0.1, 0.9], {}), first_available_dim=-1))
    for site_hints in (guide_trace, trace_of(lambda: draw("x", [0.1, 0.9], {}))):
        record = trace_of(poutine.replay(poutine.enum(model), trace=site_hints))
        assert "_enumerate_dim" not in record.nodes["x"]["infer"]
        assert record.nodes["x"]["value"].shape == ()


def test_an_abandoned_run_gives_its_dimensions_back() -> None:
    from queue import LifoQueue

    def model() -> None:
        draw("x", [0.5, 0.5])
        draw("y", [0.5, 0.5], {})

    runs: Any = LifoQueue()
    runs.put(poutine.Trace())

    def left_at_y(trace: Any, msg: Any) -> bool:
        return msg["name"] == "y" and "y" not in trace

    handled = poutine.enum(
        poutine.queue(model, queue=runs, escape_fn=left_at_y), first_available_dim=-1
    )
    shapes = []
    while not runs.empty():
        shapes.append(trace_of(handled).nodes["x"]["value"].shape)
    assert shapes == [(2,), (2,)]


def estimate(strategy: str, num_samples: int) -> Tensor:
    """One tensor Monte Carlo estimate of the evidence of a chain of two; its mean is exact."""
    hints = {"enumerate": "parallel", "num_samples": num_samples, "tmc": strategy}

    def model() -> None:
        x = draw("x", [0.3, 0.7], hints)
        y = draw("y", table(2, 2)[index_of(x)], hints)
        pyro.sample("o", dist.Normal(y * 1.0, 0.5), obs=torch.tensor(0.8))

    record = enumerated(model)
    o = record.nodes["o"]["log_prob"].exp().squeeze(-1)
    y = record.nodes["y"]["log_prob"].exp().T  # by x, then y
    proposal = y.mean(0) if strategy == "mixture" else y.diagonal()
    assert y.shape == (num_samples, num_samples) and o.shape == (num_samples,)
    return (y / proposal * o).mean()


@pytest.mark.parametrize("strategy", ["diagonal", "mixture"])
@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_tensor_monte_carlo_has_the_evidence_as_its_mean(strategy: str, num_samples: int) -> None:
    marginal = torch.tensor([0.3, 0.7]) @ table(2, 2)
    evidence = marginal @ dist.Normal(torch.arange(2.0), 0.5).log_prob(torch.tensor(0.8)).exp()
    draws = torch.stack([estimate(strategy, num_samples) for _ in range(300)])
    assert_mean(draws, evidence)


def test_a_mixture_of_proposals_is_unbiased_inside_a_plate() -> None:
    """The elements of the plate choose among the values of their common parent independently."""
    prior, law = torch.tensor([0.3, 0.7]), table(2, 2)
    data = torch.tensor([0.2, 0.9])
    likelihood = dist.Normal(torch.arange(2.0), 0.5).log_prob(data[:, None]).exp()
    evidence = prior @ (law @ likelihood.T).prod(-1)
    hints = {"enumerate": "parallel", "num_samples": 1, "tmc": "mixture"}

    def model() -> None:
        x = draw("x", prior)
        with pyro.plate("data", 2):
            y = draw("y", law[index_of(x)], hints)
            pyro.sample("o", dist.Normal(y * 1.0, 0.5), obs=data)

    def estimate() -> Tensor:
        record = trace_of(poutine.enum(model, first_available_dim=-2))
        record.compute_log_prob()
        y, o = (record.nodes[name]["log_prob"].exp().reshape(-1, 2) for name in "yo")
        return prior @ (y / y.mean(0) * o).prod(-1)

    assert_mean(torch.stack([estimate() for _ in range(500)]), evidence)


def site(fn: Any, ids: Any = None, **infer: Any) -> dict[str, Any]:
    return {"name": "x", "fn": fn, "infer": {"_dim_to_id": ids or {}, **infer}}


def test_draws_follow_their_number_or_one_at_random() -> None:
    """Laws without spread show which of the upstream values each draw had."""
    upstream = torch.arange(3.0).reshape(3, 1, 1) * 10 + torch.arange(4.0)  # dims -3 and -1
    law = dist.Normal(upstream, 1e-12)
    same = enumerate_site(site(law, {-3: 0}, num_samples=5, tmc="diagonal"))
    assert same.shape == (5, 1, 1, 4)
    assert_close(same.round().squeeze(), (torch.arange(5.0) % 3 * 10)[:, None] + torch.arange(4.0))
    mixed = enumerate_site(site(law, {-3: 0}, num_samples=200, tmc="mixture")).round().squeeze()
    choice = (mixed - torch.arange(4.0)) / 10
    assert set(choice.flatten().tolist()) == {0.0, 1.0, 2.0}
    assert (choice[:, 0] != choice[:, 1]).any()  # independent in each element of a plate
    each = enumerate_site(site(law, {-3: 0}, num_samples=5, expand=True))
    assert_close(each.round(), upstream.expand(5, 3, 1, 4))


def test_draws_keep_events_whole() -> None:
    law = dist.Normal(torch.arange(3.0).reshape(3, 1, 1).expand(3, 1, 2), 1e-12).to_event(1)
    values = enumerate_site(site(law, {-2: 0}, num_samples=50, tmc="mixture")).round()
    assert values.shape == (50, 1, 1, 2)
    assert_close(values[..., 0], values[..., 1])


def test_draws_are_differentiable() -> None:
    loc = torch.zeros((), requires_grad=True)
    enumerate_site(site(dist.Normal(loc, 1.0), num_samples=3)).sum().backward()
    assert_close(loc.grad, 3.0)


@pytest.mark.parametrize(
    ("infer", "kind", "match"),
    [
        ({"enumerate": "all"}, ValueError, "At site 'x': enumerate must be 'parallel' or 'sequ"),
        ({"num_samples": 0}, ValueError, "At site 'x': num_samples must be a positive integer"),
        ({"num_samples": 2, "tmc": "odd"}, ValueError, "At site 'x': tmc must be 'diagonal' or"),
        (
            {},
            NotImplementedError,
            "At site 'x': its law, Normal, cannot enumerate its support. Draw",
        ),
    ],
)
def test_wrong_hints_are_refused(infer: Any, kind: type[Exception], match: str) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0), infer={**PARALLEL, **infer})

    with refused(kind, match):
        enumerated(model)


def test_sequential_sites_are_drawn() -> None:
    record = enumerated(lambda: draw("x", [0.5, 0.5], {"enumerate": "sequential"}))
    assert record.nodes["x"]["value"].shape == ()


def test_plates_where_enumeration_has_its_dims_are_refused() -> None:
    def inside() -> None:
        with pyro.plate("data", 2):
            draw("x", [0.5, 0.5])

    with refused(ValueError, r"At site 'x': plate 'data' \(dim=-1\) .*first_available_dim=-2 to"):
        enumerated(inside)

    def outside() -> None:
        with pyro.plate("data", 2):
            poutine.enum(lambda: draw("x", [0.5, 0.5]), first_available_dim=-1)()

    with refused(ValueError, r"At site 'x': plate 'data' \(dim=-1\)"):
        outside()


def test_a_value_that_left_its_markov_context_is_refused() -> None:
    def model() -> None:
        x = 0
        for t in pyro.markov(range(3)):
            x = draw(f"x{t}", table(2, 2)[index_of(x)])
        pyro.sample("y", dist.Normal(x * 1.0, 1.0), obs=torch.tensor(0.0))

    with refused(ValueError, r"At site 'y': its law has 2 elements at dim -1, .* leave its markov"):
        enumerated(model)


def test_running_out_of_dimensions_is_explained() -> None:
    def model() -> None:
        for i in range(70):
            draw(f"x{i}", [0.5, 0.5])

    with refused(ValueError, r"At site 'x64': its values would need dim -65.*pyro.markov"):
        trace_of(poutine.enum(model, first_available_dim=-1))


@pytest.mark.parametrize("dim", [0, 1, "left"])
def test_a_dim_that_is_not_negative_is_refused(dim: Any) -> None:
    with pytest.raises(ValueError, match="must be a negative integer, got"):
        poutine.enum(first_available_dim=dim)


def test_going_on_needs_something_to_go_on_after() -> None:
    """Each thread has enumerations of its own."""

    def attempt() -> str:
        try:
            with poutine.enum():
                return "entered"
        except ValueError as error:
            return str(error)

    with poutine.enum(first_available_dim=-1):
        pass
    assert attempt() == "entered"
    with ThreadPoolExecutor(1) as pool:
        assert "first_available_dim=-1 - max_plate_nesting" in pool.submit(attempt).result()


def test_enumeration_sees_the_plates_that_stand_outside() -> None:
    """As for vectorised particles: the plate's elements are no enumerated site's."""
    probs = table(4, 2)

    def run() -> None:
        with pyro.plate("particles", 4):
            poutine.enum(lambda: draw("x", probs), first_available_dim=-2)()

    record = trace_of(run)
    record.compute_log_prob()
    record.pack_tensors()
    factor = record.nodes["x"]["packed"]["log_prob"]
    assert_close(factor.exp() if factor._pyro_dims == "ba" else factor.exp().T, probs.T)


def test_cost_of_a_step_does_not_grow() -> None:
    """The frames and ids that a site carries are as many after a thousand steps as after three."""

    def model() -> None:
        x = 0
        for t in pyro.markov(range(1000), history=2):
            x = draw(f"x{t}", table(2, 2)[index_of(x)])

    record = trace_of(poutine.enum(model, first_available_dim=-1))
    sizes = [
        (len(infer["_markov_scope"]), len(infer["_dim_to_id"]))
        for infer in (record.nodes[f"x{t}"]["infer"] for t in range(2, 1000))
    ]
    assert set(sizes) == {(3, 3)}
    assert min(site["infer"]["_enumerate_dim"] for _, site in record.iter_stochastic_nodes()) == -3
