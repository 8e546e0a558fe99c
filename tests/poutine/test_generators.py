"""Generators, coroutines and recursion within models: whoever stands still harms nobody else."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine import runtime
from pyro.poutine.messenger import Messenger
from tests.helpers import trace_of
from tests.poutine.models import interpreter_state, leaves_no_trace, refused, value_of

LATE = "must be left in the reverse order.*A generator or a coroutine that stands still"


def normal(name: str) -> Any:
    return pyro.sample(name, dist.Normal(0.0, 1.0))


def in_plate() -> Iterator[Any]:
    with pyro.plate("rows", 3):
        yield normal("x")
    yield normal("y")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    gc.freeze()  # what was there before is not looked at
    with leaves_no_trace():
        yield
        gc.collect()
    gc.unfreeze()


# Run to their end.


def test_what_a_generator_holds_open_lies_around_its_consumer() -> None:
    steps = in_plate()
    assert next(steps).shape == (3,)
    assert normal("z").shape == (3,)
    assert next(steps).shape == ()
    assert normal("z").shape == ()


def test_generators_one_inside_the_other() -> None:
    def outer() -> Iterator[Any]:
        with pyro.plate("columns", 2, dim=-2):
            yield from in_plate()

    assert [value.shape for value in outer()] == [(2, 3), (2, 1)]


@pytest.mark.parametrize("loops", [1, 2])
def test_a_loop_over_a_plate_may_be_left(loops: int) -> None:
    def model() -> list[Any]:
        found = []
        for i in pyro.plate("outer", 5):
            for j in pyro.plate(f"inner{i}", 5):
                found.append(normal(f"x{i}{j}"))
                if j == 2:
                    break
            if i == loops - 1:
                break
        return [*found, normal("after")]

    record = trace_of(model)
    assert len(value_of(record, "_RETURN")) == 3 * loops + 1
    assert record.nodes["after"]["cond_indep_stack"] == ()


# Left late, or closed while others are active.


def test_a_generator_closed_within_a_block_leaves_that_block_be() -> None:
    for finish in (lambda steps: steps.close(), lambda steps: None):
        steps: Any = in_plate()
        next(steps)
        with poutine.trace() as record:
            normal("before")
            finish(steps)
            steps = None
            normal("after")
        assert list(record.trace) == ["before", "after"]
        assert [site["value"].shape for site in record.trace.nodes.values()] == [(3,), ()]


def test_a_generator_that_leaves_its_block_within_another_is_told() -> None:
    steps = in_plate()
    next(steps)
    with poutine.trace() as record:
        normal("before")
        with pytest.raises(ValueError, match=LATE):
            next(steps)
        assert [record] == runtime._PYRO_STACK and runtime._DIM_ALLOCATOR._stack == []
        normal("after")
    assert list(record.trace) == ["before", "after"]


def test_loops_over_two_plates_at_once_are_refused() -> None:
    def model() -> None:
        for i, j in zip(pyro.plate("i", 2), pyro.plate("j", 2), strict=True):
            normal(f"x{i}{j}")

    with pytest.raises(ValueError, match=LATE):
        model()


def test_a_block_that_ends_before_a_generator_inside_it_is_told() -> None:
    def run() -> None:
        with poutine.trace():
            steps = in_plate()
            next(steps)

    with pytest.raises(ValueError, match=LATE) as error:
        run()
    del error


@pytest.mark.parametrize("handler", [poutine.trace(), poutine.seed(rng_seed=3)])
def test_an_exception_takes_along_what_stands_still(handler: Any) -> None:
    kept: list[Any] = []

    def steps() -> Iterator[Any]:
        with poutine.equalize(sites=["a", "b"]), poutine.seed(rng_seed=1), pyro.plate("rows", 3):
            normal("a")
            yield

    def run() -> None:
        with handler:
            kept.append(steps())
            next(kept[0])
            raise KeyError("on purpose")

    seeded = torch.get_rng_state()
    with leaves_no_trace(), pytest.raises(KeyError, match="on purpose"):
        run()
    assert torch.equal(torch.get_rng_state(), seeded)
    with poutine.trace() as record, pyro.plate("rows", 3):
        before = interpreter_state()
        kept[0].close()  # far too late: another plate of its name has its dim
        assert interpreter_state() == before
        normal("x")
    assert value_of(record.trace, "x").shape == (3,)
    assert not torch.equal(torch.get_rng_state(), seeded)


def test_a_generator_collected_in_another_thread_harms_none() -> None:
    started = []

    def start() -> None:
        steps = in_plate()
        next(steps)
        started.append(steps)

    def collect() -> list[Any]:
        with pyro.plate("rows", 3):
            started.pop().close()
            return [interpreter_state()[1], normal("x").shape]

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(start).result()
        assert other.submit(collect).result() == [["rows"], (3,)]


def test_a_generator_continued_in_another_thread_is_told() -> None:
    steps = in_plate()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, steps).result()
        with pytest.raises(ValueError, match="plate is not active in this thread"):
            next(steps)


# As models.


async def coroutine() -> Any:
    return normal("x")


async def stream() -> Any:
    yield normal("x")


class Steps(torch.nn.Module):
    def forward(self) -> Iterator[Any]:
        yield normal("x")

    method = forward


@pytest.mark.parametrize(
    "model", [in_plate, coroutine, stream, Steps(), Steps().method], ids=lambda m: str(m)[:20]
)
@pytest.mark.parametrize("handler", [poutine.trace, poutine.block, poutine.scale(scale=0.5)])
def test_a_model_that_runs_none_of_its_sites_is_refused(
    model: Callable[..., Any], handler: Any
) -> None:
    text = r"\(\) is a generator or a coroutine: calling it runs none of its sites"
    for handled in (handler(model), poutine.block(handler(model))):
        with refused(ValueError, text):
            handled()


def test_a_model_may_return_a_generator() -> None:
    values = poutine.block(lambda: iter(in_plate()))()
    assert [value.shape for value in values] == [(3,), ()]
    record = trace_of(lambda: (i for i in range(3)))
    assert list(value_of(record, "_RETURN")) == [0, 1, 2]


def test_tasks_that_share_a_thread_are_told() -> None:
    async def task(k: int) -> None:
        with poutine.trace():
            normal(f"x{k}")
            await asyncio.sleep(0.01 * k)

    async def both() -> list[Any]:
        return await asyncio.gather(task(0), task(1), return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, ValueError) and second is None
    with pytest.raises(ValueError, match=LATE):
        raise first


def test_tasks_with_a_thread_each_are_apart() -> None:
    def run(k: int) -> list[str]:
        return list(trace_of(lambda: [normal(f"x{k}{i}") for i in range(3)]))

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(asyncio.to_thread(run, k) for k in range(4)))

    for k, names in enumerate(asyncio.run(all_of_them())):
        assert names == ["_INPUT", f"x{k}0", f"x{k}1", f"x{k}2", "_RETURN"]


# Recursion.


def test_a_recursion_of_plates_takes_a_dim_a_level() -> None:
    def levels(n: int) -> list[Any]:
        with pyro.plate(f"level{n}", n + 1):
            return [normal(f"x{n}").shape] + (levels(n - 1) if n else [])

    assert levels(3) == [(4,), (3, 4), (2, 3, 4), (1, 2, 3, 4)]
    assert value_of(trace_of(levels, 1), "_RETURN") == [(2,), (1, 2)]


def test_a_recursion_through_one_plate_is_refused() -> None:
    def levels(n: int) -> None:
        with pyro.plate("level", 2):
            levels(n - 1)

    with refused(ValueError, "At site 'level': a plate of this name is already active"):
        levels(3)


def test_a_recursion_of_handlers_adds_up() -> None:
    def levels(n: int) -> None:
        pyro.sample(f"x{n}", dist.Normal(0.0, 1.0))
        if n:
            poutine.scale(levels, scale=0.5)(n - 1)

    nodes = trace_of(levels, 3).nodes
    assert [nodes[f"x{n}"]["scale"] for n in (3, 2, 1, 0)] == [1.0, 0.5, 0.25, 0.125]


def test_a_recursion_through_one_handler_is_refused() -> None:
    @poutine.scale(scale=0.5)
    def levels(n: int) -> None:
        levels(n - 1)

    with refused(ValueError, "already active. Make a second one.*a function that calls itself"):
        levels(3)


def test_a_recursion_too_deep_leaves_no_trace() -> None:
    def levels(n: int) -> None:
        with Messenger(), poutine.scale(scale=0.5):
            levels(n + 1)

    with refused(RecursionError, "recursion"):
        levels(0)
