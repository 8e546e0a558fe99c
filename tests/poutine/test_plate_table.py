"""Every way to write plates, beside the log density that it means, written out by hand.

A row of ``TABLE`` is a model and a pure function of its values (a mapping of names to tensors) that
gives the log density in float64: a sum of :func:`normal` terms, each times the factor that its
plates and handlers put on it. One more way to write a plate is one more row.
"""

import math
from collections.abc import Callable, Mapping
from itertools import permutations, product
from typing import Any

import numpy as np
import opt_einsum
import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer import Predictive, Trace_ELBO
from pyro.poutine.indep_messenger import IndepMessenger
from pyro.poutine.plate_messenger import block_plate
from pyro.poutine.sites import site_is_latent
from pyro.poutine.subsample_messenger import SubsampleMessenger
from tests.helpers import assert_close, trace_of
from tests.poutine.enumeration import PARALLEL, factors_of
from tests.poutine.models import refused, value_of

pytestmark = pytest.mark.usefixtures("double_precision")

Values = Mapping[str, Tensor]
Density = Callable[[Values], Any]
DATA = [0.5, -1.0, 2.0, 0.25, 1.5, -0.75]
LABELS = [5, 0, 3]


def normal(x: Any, loc: Any = 0.0) -> Tensor:
    """The sum of the log densities of normal values with unit scale, from the formula."""
    deviation = torch.as_tensor(x, dtype=torch.double) - loc
    return (-0.5 * deviation**2 - 0.5 * math.log(2 * math.pi)).sum()


def draw(name: str = "x", loc: Any = 0.0, obs: Any = None) -> Tensor:
    value: Tensor = pyro.sample(name, dist.Normal(torch.as_tensor(loc).double(), 1.0), obs=obs)
    return value


def data() -> Tensor:
    return torch.tensor(DATA)


# Models, in the order of the table.


def one(**options: Any) -> Callable[[], None]:
    def model() -> None:
        with pyro.plate("rows", 6, **options):
            draw()

    return model


def observed(**options: Any) -> Callable[[], None]:
    """The data are selected by ``pyro.subsample``."""

    def model() -> None:
        z = draw("z")
        with pyro.plate("rows", 6, **options):
            draw("x", z, obs=pyro.subsample(data(), event_dim=0))

    return model


def indexed(**options: Any) -> Callable[[], None]:
    """The data are selected by the indices that the plate gives."""

    def model() -> None:
        z = draw("z")
        with pyro.plate("rows", 6, **options) as rows:
            draw("x", z, obs=data()[rows])

    return model


def in_a_loop(**options: Any) -> Callable[[], None]:
    def model() -> None:
        z = draw("z")
        for i in pyro.plate("rows", 6, **options):
            draw(f"x{i}", z, obs=data()[i])

    return model


def conditioned(indices: list[int], **options: Any) -> Callable[[], Any]:
    handled: Callable[[], Any] = poutine.condition(
        observed(**options), data={"rows": torch.tensor(indices)}
    )
    return handled


def nested(rows: Any = None, columns: Any = None) -> Callable[[], None]:
    def model() -> None:
        outer = pyro.plate("rows", 6, subsample=rows, dim=-2)
        inner = pyro.plate("columns", 4, subsample=columns, dim=-1)
        with outer:
            z = draw("z")
            with inner:
                draw("x", z)
        with inner:
            draw("y")

    return model


def loop_around(**options: Any) -> Callable[[], None]:
    def model() -> None:
        rows = pyro.plate("rows", 6, subsample=LABELS)
        for i in pyro.plate("steps", 4, **options):
            with rows:
                draw(f"x{i}")

    return model


def loop_inside() -> None:
    with pyro.plate("rows", 6, subsample=LABELS):
        for i in pyro.plate("steps", 4, subsample=[0, 2]):
            with pyro.plate(f"columns{i}", 5):
                draw(f"x{i}")


def loop_in_a_loop() -> None:
    inner = pyro.plate("inner", 4, subsample=[0, 2])
    for i in pyro.plate("outer", 6, subsample=LABELS):
        for j in inner:
            draw(f"x{i}{j}")


def stack() -> None:
    with pyro.plate_stack("grid", (2, 3), rightmost_dim=-2):
        draw()


def twice() -> None:
    rows = pyro.plate("rows", 6, subsample=LABELS)
    with rows:
        x = draw("x")
    with rows:
        draw("y", x)


@pyro.plate("rows", 6, dim=-1)
def decorated() -> None:
    draw()


def left_for_a_while() -> None:
    with pyro.plate("rows", 6, subsample=LABELS), pyro.plate("columns", 4):
        with block_plate("rows"):
            draw("y")
        with block_plate(dim=-2), pyro.plate("others", 2):
            draw("z")
        draw("x")


def bare() -> None:
    with IndepMessenger("rows", 6), SubsampleMessenger("columns", 4, 2):
        draw()


def left_out(model: Callable[[], Any]) -> Callable[[], Any]:
    hidden: Callable[[], Any] = poutine.block(model, hide=["rows"])
    return hidden


def weighed() -> None:
    with poutine.scale(scale=3.0), pyro.plate("rows", 6, subsample=LABELS):
        with poutine.scale(scale=torch.tensor([1.0, 2.0, 4.0])):
            draw()


def masked() -> None:
    with poutine.mask(mask=torch.tensor([True, False, True])):
        with pyro.plate("rows", 6, subsample=LABELS), pyro.plate("columns", 4):
            with poutine.mask(mask=torch.tensor([[True], [True], [True], [False]])):
                draw()


def partly_observed() -> None:
    mask = torch.tensor([True, False, True, True, False, True])
    with pyro.plate("rows", 6, subsample=LABELS):
        obs, here = (pyro.subsample(part, event_dim=0) for part in (data(), mask))
        pyro.sample("x", dist.Normal(torch.zeros(()), 1.0), obs=obs, obs_mask=here)


def with_a_factor() -> None:
    with pyro.plate("rows", 6, subsample=LABELS):
        pyro.factor("f", torch.tensor([1.0, 2.0, 3.0]))
    with pyro.plate("columns", 4, subsample_size=2):
        pyro.factor("g", torch.tensor(0.25))


def with_a_table() -> None:
    """A parameter for each element, subsampled along both plates and under both event dims."""
    table = torch.arange(6 * 4.0).reshape(6, 4)
    with pyro.plate("columns", 4, subsample=[3, 1], dim=-1):
        with pyro.plate("rows", 6, subsample=LABELS, dim=-2):
            draw("x", pyro.param("p", table, event_dim=0))
    with pyro.plate("rows_again", 6, subsample=[1]):
        law = dist.Normal(pyro.param("q", table, event_dim=1), 1.0).to_event(1)
        pyro.sample("y", law)


def rows() -> list[Any]:
    return [pyro.plate("rows", 6, subsample=LABELS)]


def grid() -> list[Any]:
    return [pyro.plate("rows", 2, dim=-2), pyro.plate("columns", 4, subsample=[3, 1], dim=-1)]


def steps_in(plates: Callable[[], list[Any]] = list, of: int = 3) -> Callable[[], None]:
    """A chain of steps, each within the same plates."""

    def model() -> None:
        around, x = plates(), torch.zeros(())
        for t in pyro.markov(range(of)):
            x = inside(around, lambda t=t, x=x: draw(f"x{t}", x))

    return model


def in_one(plates: Callable[[], list[Any]]) -> Callable[[], None]:
    """The chain within the plates."""
    return lambda: inside(plates(), steps_in())


def loop_in_steps() -> None:
    for t in pyro.markov(range(2)):
        for i in pyro.plate(f"loop{t}", 6, subsample=LABELS):
            draw(f"x{t}{i}")


def steps_in_a_loop() -> None:
    for i in pyro.plate("loop", 6, subsample=LABELS):
        x: Any = 0.0
        for t in pyro.markov(range(2)):
            x = draw(f"x{t}{i}", x)


def events() -> None:
    with pyro.plate("rows", 6, subsample=LABELS):
        pyro.sample("x", dist.MultivariateNormal(torch.zeros(2), torch.eye(2)))


def chain_of(of: int, weight: float) -> Density:
    def density(v: Values) -> Tensor:
        steps = [normal(v[f"x{t}"], v[f"x{t - 1}"] if t else 0.0) for t in range(of)]
        return weight * torch.stack(steps).sum()

    return density


def all_in(v: Values) -> Tensor:
    return normal(v["x"])


def halves(v: Values) -> Tensor:
    return 2 * normal(v["x"])


def at_z(rows: list[int]) -> Density:
    return lambda v: normal(v["z"]) + 6 / len(rows) * normal(data()[rows], v["z"])


def two_plates(rows: int, columns: int) -> Density:
    return lambda v: (
        6 / rows * normal(v["z"])
        + 6 / rows * 4 / columns * normal(v["x"], v["z"])
        + 4 / columns * normal(v["y"])
    )


def weighed_density(v: Values) -> Tensor:
    return 3 * 2 * sum(w * normal(x) for w, x in zip((1, 2, 4), v["x"], strict=True))


def partly_density(v: Values) -> Tensor:
    seen, drawn = [5, 0, 3], v["x_unobserved"]
    return 2 * normal(data()[seen]) + 0 * drawn.sum()


def table_density(v: Values) -> Tensor:
    table = torch.arange(6 * 4.0).reshape(6, 4)
    return 2 * 2 * normal(v["x"], table[LABELS][:, [3, 1]]) + 6 * normal(v["y"], table[[1]])


HALF = torch.tensor(LABELS)
REVERSED = [5, 4, 3, 2, 1, 0]
TABLE: dict[str, tuple[Callable[[], Any], Density]] = {
    "full": (one(), all_in),
    "full, dim given": (one(dim=-3), all_in),
    "full, subsample_size of all": (one(subsample_size=6), all_in),
    "random half": (one(subsample_size=3), halves),
    "random half, size a tensor": (one(subsample_size=torch.tensor(3)), halves),
    "random half, dim given": (one(subsample_size=3, dim=-2), halves),
    "given tensor": (observed(subsample=HALF), at_z(LABELS)),
    "given int32 tensor": (observed(subsample=HALF.int()), at_z(LABELS)),
    "given list": (observed(subsample=LABELS), at_z(LABELS)),
    "given tuple": (observed(subsample=tuple(LABELS)), at_z(LABELS)),
    "given array": (observed(subsample=np.array(LABELS)), at_z(LABELS)),
    "given range": (observed(subsample=range(1, 6, 2)), at_z([1, 3, 5])),
    "given slice": (observed(subsample=slice(1, None, 2)), at_z([1, 3, 5])),
    "given and counted": (observed(subsample=LABELS, subsample_size=3), at_z(LABELS)),
    "given, indexed": (indexed(subsample=LABELS), at_z(LABELS)),
    "given, all in another order": (observed(subsample=REVERSED), at_z(REVERSED)),
    "given, some twice": (observed(subsample=[0, 0, 5]), at_z([0, 0, 5])),
    "given, more than there are": (observed(subsample=[0] * 9), at_z([0] * 9)),
    "conditioned": (conditioned(LABELS), at_z(LABELS)),
    "conditioned, random": (conditioned(LABELS, subsample_size=3), at_z(LABELS)),
    "conditioned, given": (conditioned(LABELS, subsample=[1, 2]), at_z(LABELS)),
    "index hidden": (left_out(observed(subsample=LABELS)), at_z(LABELS)),
    "loop": (in_a_loop(), at_z([0, 1, 2, 3, 4, 5])),
    "loop, given": (in_a_loop(subsample=LABELS), at_z(LABELS)),
    "loop, slice": (in_a_loop(subsample=slice(4)), at_z([0, 1, 2, 3])),
    "nested": (nested(), two_plates(6, 4)),
    "nested, outer half": (nested(rows=LABELS), two_plates(3, 4)),
    "nested, inner half": (nested(columns=[0, 1]), two_plates(6, 2)),
    "nested, both": (nested(LABELS, [0, 1]), two_plates(3, 2)),
    "loop around": (
        loop_around(),
        lambda v: 2 * sum(normal(v[f"x{i}"]) for i in range(4)),
    ),
    "subsampled loop around": (
        loop_around(subsample=[3]),
        lambda v: 4 * 2 * normal(v["x3"]),
    ),
    "loop inside": (loop_inside, lambda v: 2 * 2 * (normal(v["x0"]) + normal(v["x2"]))),
    "loop in a loop": (
        loop_in_a_loop,
        lambda v: 2 * 2 * sum(normal(v[f"x{i}{j}"]) for i in LABELS for j in (0, 2)),
    ),
    "stack": (stack, all_in),
    "twice": (twice, lambda v: 2 * normal(v["x"]) + 2 * normal(v["y"], v["x"])),
    "decorator": (decorated, all_in),
    "left for a while": (
        left_for_a_while,
        lambda v: 2 * normal(v["x"]) + normal(v["y"]) + 2 * normal(v["z"]),
    ),
    "bare, not broadcast": (bare, lambda v: 2 * normal(v["x"])),
    "bare, broadcast": (poutine.broadcast(bare), lambda v: 2 * normal(v["x"])),
    "scaled": (weighed, weighed_density),
    "masked": (masked, lambda v: 2 * normal(v["x"][:3, [0, 2]])),
    "partly observed": (partly_observed, partly_density),
    "factors": (with_a_factor, lambda v: torch.tensor(2 * 6.0 + 2 * 2 * 0.25)),
    "params": (with_a_table, table_density),
    "markov, steps in a plate": (steps_in(rows), chain_of(3, 2.0)),
    "markov, steps in two plates": (steps_in(grid), chain_of(3, 2.0)),
    "markov, in a plate": (in_one(rows), chain_of(3, 2.0)),
    "markov, in two plates": (in_one(grid), chain_of(3, 2.0)),
    "markov, a loop in each step": (
        loop_in_steps,
        lambda v: 2 * sum(normal(v[f"x{t}{i}"]) for t in range(2) for i in LABELS),
    ),
    "markov, in a loop": (
        steps_in_a_loop,
        lambda v: 2 * sum(normal(v[f"x0{i}"]) + normal(v[f"x1{i}"], v[f"x0{i}"]) for i in LABELS),
    ),
    "events": (events, lambda v: 2 * normal(v["x"])),
}
SHAPES = {
    "full": (6,),
    "full, dim given": (6, 1, 1),
    "random half, dim given": (3, 1),
    "nested, both": (3, 2),
    "loop around": {"x0": (3,), "x3": (3,)},
    "loop inside": {"x0": (5, 3), "x2": (5, 3)},
    "stack": (2, 3, 1),
    "left for a while": {"x": (4, 3), "y": (4, 1), "z": (2, 1, 3)},
    "bare, not broadcast": (),
    "bare, broadcast": (2, 6),
    "events": (3, 2),
    "markov, steps in a plate": {"x0": (3,), "x2": (3,)},
    "markov, in two plates": {"x0": (2, 2), "x2": (2, 2)},
    "markov, in a loop": {"x00": (), "x13": ()},
}


@pytest.mark.parametrize("row", TABLE)
def test_the_density_is_as_written_by_hand(row: str) -> None:
    model, density = TABLE[row]
    record = trace_of(model)
    values = {name: site["value"] for name, site in record.nodes.items() if name[0] != "_"}
    assert_close(record.log_prob_sum(), density(values))


@pytest.mark.parametrize("row", SHAPES)
def test_the_shapes_are_as_written_by_hand(row: str) -> None:
    record, expected = trace_of(TABLE[row][0]), SHAPES[row]
    for name, shape in expected.items() if isinstance(expected, dict) else [("x", expected)]:
        assert value_of(record, name).shape == shape
    record.compute_log_prob()


@pytest.mark.parametrize("row", [row for row in TABLE if "loop" not in row])
def test_a_batch_of_particles_outside_adds_up(row: str) -> None:
    """One plate more, at the left of all: its elements' densities are those of separate runs."""
    model, density = TABLE[row]

    def batched() -> None:
        with pyro.plate("particles", 3, dim=-4):
            model()

    record = trace_of(batched)
    record.compute_log_prob()
    sites = {
        name: site
        for name, site in record.nodes.items()
        if site["type"] == "sample" and name != "particles"
    }
    total = sum(site["log_prob_sum"] for site in sites.values())
    expected = 0.0
    for particle in range(3):
        values = {
            name: site["value"][particle].reshape(_inner_shape(site))
            if site_is_latent(site)
            else site["value"]
            for name, site in sites.items()
        }
        expected = expected + density(values)
    assert_close(total, expected)


def _inner_shape(site: Any) -> tuple[int, ...]:
    """The shape that a value would have without the particles' dim and what fills up to it."""
    dims = [f.dim for f in site["cond_indep_stack"] if f.dim is not None and f.dim != -4]
    shape = tuple(site["value"].shape)[1:]
    depth = -min(dims, default=0) + getattr(site["fn"], "event_dim", 0)
    return shape[len(shape) - depth :]


# The index site: what a guide drew, its model uses.


@pytest.mark.parametrize("options", [{"subsample_size": 2}, {"subsample": [4, 1]}])
def test_model_and_guide_share_one_subsample(options: Any) -> None:
    def guide() -> None:
        with pyro.plate("rows", 6, **options):
            draw("w")

    def model() -> Any:
        with pyro.plate("rows", 6, **({} if "subsample" in options else options)) as rows:
            w = draw("w")
            draw("x", w, obs=pyro.subsample(data(), event_dim=0))
        return rows

    drawn = trace_of(guide)
    replayed = trace_of(poutine.replay(model, trace=drawn))
    rows, w = value_of(drawn, "rows"), value_of(drawn, "w")
    assert value_of(replayed, "_RETURN").tolist() == rows.tolist()
    assert_close(replayed.log_prob_sum(), 3 * (normal(w) + normal(data()[rows], w)))


def test_a_condition_on_indices_is_checked() -> None:
    for indices, text in (
        ([6], "index 6 is outside of a plate of size 6"),
        ([-1], "index -1 is outside"),
        ([], "there are no indices"),
    ):
        with refused(ValueError, f"At site 'rows': {text}"):
            conditioned(indices)()
    with refused(ValueError, "subsample_size is 2, but there are 3 indices"):
        conditioned(LABELS, subsample_size=2)()
    with refused(ValueError, "index 9 is outside"):
        conditioned([0, 9], subsample_size=2)()


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        (torch.tensor([True] * 6), r"got \(6,\) bools. Write mask.nonzero\(\)\[:, 0\]"),
        ([True, False], "got .* bools"),
        (torch.tensor([1.0, 2.0]), r"a vector of integers, got shape \(2,\) and torch.float"),
        (torch.tensor([[1, 2]]), r"a vector of integers, got shape \(1, 2\) and torch.int64"),
        (torch.tensor(1), r"a vector of integers, got shape \(\) and torch.int64"),
        (1, r"a vector of integers, got shape \(\) and torch.int64"),
        (slice(6, None), "there are no indices"),
    ],
)
def test_what_are_no_indices_is_refused(indices: Any, text: str) -> None:
    for run in (lambda model: model(), trace_of):
        with refused(ValueError, f"At site 'rows': .*{text}"):
            run(one(subsample=indices))


def test_a_plate_without_a_size_is_no_loop() -> None:
    with refused(ValueError, "At site 'rows': a plate without a size cannot be iterated over"):
        list(pyro.plate("rows"))


def test_indices_live_where_they_are_wanted() -> None:
    with pyro.validation_enabled(False):  # which would look at them
        assert pyro.plate("rows", 4, device="meta", subsample=[0, 1]).indices.is_meta
    for options in ({}, {"subsample_size": 2}):
        assert pyro.plate("rows", 4, device="meta", **options).indices.is_meta


# pyro.subsample and pyro.param: every nesting of plates, every event dim.

PARTS: list[Any] = [None, [2, 0], [3, 2, 1, 0]]


@pytest.mark.parametrize("event_dim", [0, 1, 2])
@pytest.mark.parametrize("plates", [1, 2, 3])
def test_a_selection_is_indexing(plates: int, event_dim: int) -> None:
    event = (2, 3)[:event_dim]
    whole = torch.arange(4.0**plates * math.prod(event)).reshape((4,) * plates + event)
    for parts in product(PARTS, repeat=plates):
        expected = whole
        for axis, part in enumerate(parts):
            expected = expected if part is None else expected.index_select(axis, torch.tensor(part))
        for order in permutations(range(plates)):
            stack = [
                pyro.plate(f"p{axis}", 4, subsample=parts[axis], dim=axis - plates)
                for axis in order
            ]
            assert_close(inside(stack, lambda: pyro.subsample(whole, event_dim)), expected)
            found = inside(stack, lambda: pyro.param("p", whole, event_dim=event_dim))
            assert_close(found, expected)
            assert (
                not expected.numel() or found.unconstrained() is pyro.get_param_store()._params["p"]
            )


def inside(plates: list[Any], read: Callable[[], Any]) -> Any:
    if not plates:
        return read()
    with plates[0]:
        return inside(plates[1:], read)


@pytest.mark.parametrize("size", [1, None])
def test_a_selection_leaves_alone_what_broadcasts(size: int | None) -> None:
    with pyro.plate("rows", 4, subsample=[1, 3], dim=-2), pyro.plate("columns", 3, dim=-1):
        for event in ((), (5,)):
            shape = ((size, 3) if size else (3,)) + event
            assert pyro.subsample(torch.zeros(shape), len(event)).shape == shape


def test_a_selection_says_what_it_cannot_select() -> None:
    with pyro.plate("rows", 4, subsample=[1, 3]):
        with refused(TypeError, "only a tensor can be subsampled, got a ndarray. Use torch.as_te"):
            pyro.subsample(np.zeros(4), event_dim=0)
        with refused(ValueError, "event_dim must not be negative, got -1"):
            pyro.subsample(torch.zeros(4), event_dim=-1)


@pytest.mark.parametrize("handler", ["replay", "substitute"])
def test_a_parameter_that_a_handler_gives_is_selected_too(handler: str) -> None:
    def model() -> Any:
        with pyro.plate("rows", 4, subsample=[1, 3]):
            return pyro.param("p", torch.zeros(4), event_dim=0)

    given = {"p": torch.arange(4.0)}
    options = {"params": given} if handler == "replay" else {"data": given}
    assert getattr(poutine, handler)(model, **options)().tolist() == [1, 3]


# Enumerated chains around plates and inside of them: a forward pass for each row, by hand.

OBSERVED = torch.tensor([[0.5, -1.0, 2.0], [0.25, 1.5, -0.75], [1.0, 0.0, 3.0]]).double()
FIRST = torch.tensor([0.7, 0.3], dtype=torch.double)
NEXT = torch.tensor([[0.9, 0.1], [0.4, 0.6]], dtype=torch.double)


def step(name: str, state: Any, observed: Tensor) -> Any:
    probs = FIRST if state is None else NEXT[state]
    state = pyro.sample(f"s{name}", dist.Categorical(probs), infer=PARALLEL)
    pyro.sample(f"o{name}", dist.Normal(2.0 * state, 1.0), obs=observed)
    return state


def plate_in_steps() -> None:
    rows, state = pyro.plate("rows", 3), None
    for t in pyro.markov(range(3)):
        with rows:
            state = step(f"{t}", state, OBSERVED[:, t])


def chain(name: str = "", observed: Tensor = OBSERVED) -> None:
    state = None
    for t in pyro.markov(range(3)):
        state = step(f"{name}{t}", state, observed[..., t])


def steps_in_a_plate() -> None:
    with pyro.plate("rows", 3):
        chain()


def loop_of_chains() -> None:
    for i in pyro.plate("rows", 3):
        chain(f"{i}", OBSERVED[i])


def loop_in_each_step() -> None:
    states: list[Any] = [None] * 3
    for t in pyro.markov(range(3)):
        for i in pyro.plate(f"rows{t}", 3):
            states[i] = step(f"{i}{t}", states[i], OBSERVED[i, t])


def enumerated_in_a_plate() -> None:
    with pyro.plate("rows", 3):
        poutine.enum(chain, first_available_dim=-2)()


CHAINS = {
    "enum around, a plate in each step": poutine.enum(plate_in_steps, first_available_dim=-2),
    "enum around, steps in a plate": poutine.enum(steps_in_a_plate, first_available_dim=-2),
    "enum around, a loop of chains": poutine.enum(loop_of_chains, first_available_dim=-1),
    "enum around, a loop in each step": poutine.enum(loop_in_each_step, first_available_dim=-1),
    "enum inside, steps in a plate": enumerated_in_a_plate,
    "enum and markov inside, nested in another step": poutine.markov(enumerated_in_a_plate),
}


def evidence_by_hand() -> Tensor:
    emitted = [
        [torch.stack([normal(OBSERVED[i, t], 2.0 * s) for s in range(2)]).exp() for t in range(3)]
        for i in range(3)
    ]
    totals = []
    for here in emitted:
        forward = FIRST * here[0]
        for later in here[1:]:
            forward = (forward @ NEXT) * later
        totals.append(forward.sum())
    return torch.stack(totals).log().sum()


@pytest.mark.parametrize("row", CHAINS)
def test_an_enumerated_chain_is_as_summed_by_hand(row: str) -> None:
    record = trace_of(CHAINS[row])
    record.compute_log_prob()
    record.pack_tensors()
    factors = factors_of(record)
    spelled = ",".join(factor._pyro_dims for factor in factors)
    plates = "".join(symbol for symbol in record.plate_to_symbol.values() if symbol in spelled)
    each = opt_einsum.contract(f"{spelled}->{plates}", *(factor.exp() for factor in factors))
    assert_close(each.log().sum(), evidence_by_hand())


# Inference around plates.


def test_vectorized_particles_share_a_subsample() -> None:
    """A guide of point masses makes the ELBO exact: the mean of the particles' densities."""

    def model(rows: Any) -> None:
        z = draw("z")
        with pyro.plate("rows", 6, subsample=rows):
            w = draw("w", z)
            draw("x", w, obs=pyro.subsample(data(), event_dim=0))

    def guide(rows: Any) -> None:
        pyro.sample("z", dist.Delta(torch.tensor(0.5)))
        with pyro.plate("rows", 6, subsample=rows):
            pyro.sample("w", dist.Delta(torch.tensor(0.25)))

    for options in ({}, {"max_plate_nesting": 1}, {"max_plate_nesting": 3}):
        elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, **options)
        expected = normal(0.5) + 2 * (3 * normal(0.25, 0.5) + normal(data()[LABELS], 0.25))
        assert_close(elbo.loss(model, guide, LABELS), -float(expected))


def test_predictions_in_parallel_keep_to_their_plates() -> None:
    z = torch.arange(5.0)

    def model() -> None:
        loc = draw("z")
        with pyro.plate("rows", 6, subsample=LABELS):
            with pyro.plate("columns", 2):
                pyro.sample("x", dist.Delta(loc))

    drawn = Predictive(model, posterior_samples={"z": z}, parallel=True, return_sites=["x"])()
    assert_close(drawn["x"], z[:, None, None].expand(5, 2, 3))
