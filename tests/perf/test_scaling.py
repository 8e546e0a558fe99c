"""What a site costs: the same in small and in large models, and nothing for checks that are off.

Calls and bytes can be counted, so most of this is exact; seconds are compared in the slow test.
"""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from perf.bench import measure
from pyro import poutine

Model = Callable[[], Any]
HALF = torch.tensor(0.5)
NORMAL = dist.Normal(torch.tensor(0.0), torch.tensor(1.0))
# CPython keeps at most so many freed dicts for reuse, and those are not counted when they are.
FREE_LIST = 80


def sites(count: int) -> Model:
    names = [f"x{i}" for i in range(count)]

    def model() -> None:
        for name in names:
            pyro.sample(name, NORMAL, obs=HALF)

    return model


def in_plates(count: int) -> Model:
    names = [f"x{i}" for i in range(count)]

    def model() -> None:
        for name in names:
            with pyro.plate(f"{name}_outer", 3), pyro.plate(f"{name}_inner", 2):
                pyro.sample(name, NORMAL, obs=HALF)

    return model


def replayed(model: Model) -> Model:
    return poutine.replay(model, trace=poutine.trace(model).get_trace())


def conditioned(model: Model) -> Model:
    return poutine.condition(model, data=poutine.trace(model).get_trace())


def scored(model: Model) -> Model:
    traced = poutine.trace(model)
    return lambda: traced.get_trace().log_prob_sum()


RUNS: dict[str, Callable[[int], Model]] = {
    "bare": sites,
    "trace": lambda count: poutine.trace(sites(count)).get_trace,
    "trace, plates": lambda count: poutine.trace(in_plates(count)).get_trace,
    "scored": lambda count: scored(sites(count)),
    "replay": lambda count: replayed(sites(count)),
    "condition": lambda count: conditioned(sites(count)),
    "block": lambda count: poutine.block(sites(count), hide=["y"]),
    "equalize": lambda count: poutine.equalize(sites(count), ["y.*", "z.*"]),
}


def calls_of(run: Model) -> Counter[str]:
    """How often each function of Python's and of C's is called, once all caches are warm."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            counts[frame.f_code.co_name] += 1
        elif event == "c_call":
            counts[function.__name__] += 1

    run()
    gc.disable()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    return counts


@pytest.mark.parametrize("name", RUNS)
def test_a_site_takes_the_same_calls_however_many_there_are(name: str) -> None:
    with pyro.validation_enabled(False):
        few, more, most = (calls_of(RUNS[name](count)).total() for count in (10, 20, 120))
    assert most - more == 10 * (more - few) > 0


def test_a_site_takes_equalize_the_same_calls_however_many_patterns_there_are() -> None:
    with pyro.validation_enabled(False):  # where a pattern that matches nothing draws no warning
        few, many = (
            calls_of(poutine.equalize(sites(10), [f"y{i}.*" for i in range(patterns)]))
            for patterns in (1, 1000)
        )
    assert few == many


def test_checks_that_are_off_are_not_called() -> None:
    run = RUNS["scored"](10)
    checked = calls_of(run)
    with pyro.validation_enabled(False):
        unchecked = calls_of(run)
    assert unchecked <= checked
    spared = {"check_density_shape", "_validate_sample"}
    assert spared <= set(checked) and not spared & set(unchecked)


def bytes_of_trace(count: int) -> int:
    """What a trace holds, less the tables of names, which double now and then."""
    get_trace = poutine.trace(sites(count)).get_trace
    get_trace()
    gc.collect()
    tracemalloc.start()
    try:
        trace = get_trace()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return taken - 2 * sys.getsizeof(trace.nodes)  # the messenger's record and its copy


def test_the_memory_of_a_trace_is_linear_in_its_sites() -> None:
    few, more, most = map(bytes_of_trace, (100, 1000, 10_000))
    node = poutine.trace(sites(1)).get_trace().nodes["x0"]
    recycled = FREE_LIST * (sys.getsizeof(node) + sys.getsizeof({}))
    assert abs((most - more) - 10 * (more - few)) <= recycled
    # Of each site its message, with an empty dict of keyword arguments and one of hints.
    per_site = sys.getsizeof(node) + 2 * sys.getsizeof({})
    assert abs((most - more) - 9000 * per_site) <= recycled


@pytest.mark.slow
def test_a_site_takes_the_same_time_however_many_there_are() -> None:
    """Noise is on both sides of a ratio, so it is the median of several that is held to 1.2."""
    ratios = [measure("trace, 10 000 observed", per="trace, observed") for _ in range(5)]
    assert sorted(ratios)[2] <= 1.2, ratios
