"""How long a group lasts: runs, blocks, exceptions, copies and threads."""

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import NonlocalExit
from tests.helpers import trace_of
from tests.poutine.models import interpreter_state, latent_names, refused, value_of


def pair() -> tuple[float, float]:
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(0.0, 1.0))
    return a.item(), b.item()


def test_each_call_begins_anew() -> None:
    handled = poutine.equalize(pair, ["a", "b"])
    runs = [handled() for _ in range(5)]
    assert all(a == b for a, b in runs)
    assert len({a for a, _ in runs}) == 5


def test_a_group_begins_anew_when_its_owner_recurs() -> None:
    with poutine.equalize(sites=["a", "b"]):
        runs = [pair() for _ in range(5)]
    assert all(a == b for a, b in runs)
    assert len({a for a, _ in runs}) == 5


def test_each_with_block_begins_anew() -> None:
    handler = poutine.equalize(sites=["a", "b"])
    with handler:
        first = pair()
    with pyro.validation_enabled(False), handler:  # the owner is another one this time
        second = pyro.sample("b", dist.Normal(0.0, 1.0)).item()
    assert second != first[0]


def test_groups_of_one_handler_have_lives_of_their_own() -> None:
    with poutine.equalize(sites={"one": ["a", "b"], "two": ["c", "d"]}):
        c = pyro.sample("c", dist.Normal(0.0, 1.0))
        a, b = pair()
        again = pair()
        d = pyro.sample("d", dist.Normal(0.0, 1.0))
    assert a == b != again[0] == again[1]
    assert c == d


class Failure(Exception):
    pass


@pytest.mark.parametrize("after", ["a", "b"])
def test_an_exception_leaves_nothing_behind(after: str) -> None:
    fails = True

    def model() -> tuple[float, float]:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        if fails and after == "a":
            raise Failure("on purpose")
        b = pyro.sample("b", dist.Normal(0.0, 1.0))
        if fails and after == "b":
            raise Failure("on purpose")
        return a.item(), b.item()

    handled = poutine.equalize(model, "a|b")
    with refused(Failure, "on purpose"):
        handled()
    fails = False
    first, second = handled(), handled()
    assert first[0] == first[1] != second[0] == second[1]


def test_an_exception_at_a_site_that_the_model_survives() -> None:
    class FailsOnce(Messenger):
        calls = 0

        def _pyro_sample(self, msg: Any) -> None:
            if msg["name"] == "b":
                self.calls += 1
                if self.calls == 1:
                    raise Failure("on purpose")

    def model() -> tuple[float, float]:
        a = pyro.sample("a", dist.Normal(0.0, 1.0)).item()
        with pytest.raises(Failure, match="on purpose"):
            pyro.sample("b", dist.Normal(0.0, 1.0))
        return a, pyro.sample("b", dist.Normal(0.0, 1.0)).item()

    handler = poutine.equalize(sites=["a", "b"])
    a, b = FailsOnce()(handler(model))()
    assert a == b
    assert handler._under_way == {}


def test_a_run_that_is_left_and_begun_again() -> None:
    """After a nonlocal exit the groups begin anew, without the handler being left."""

    class LeavesAt(Messenger):
        left = False

        def _pyro_post_sample(self, msg: Any) -> None:
            if msg["name"] == "b" and not self.left:
                self.left = True
                raise NonlocalExit(msg)

    def retried() -> tuple[float, float]:
        for _ in range(2):
            try:
                b = pyro.sample("b", dist.Normal(0.0, 1.0)).item()
                return pyro.sample("a", dist.Normal(0.0, 1.0)).item(), b
            except NonlocalExit as left:
                left.reset_stack()
        raise AssertionError

    handler = poutine.equalize(sites=["a", "b"])
    a, b = LeavesAt()(handler(retried))()
    assert a == b
    assert handler._under_way == {}


# Copies.

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda handler: pickle.loads(pickle.dumps(handler)),
]


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize(
    ("sites", "options"),
    [
        (lambda: ["a", "b"], {}),
        (lambda: "a|b", {"keep_dist": True}),
        (lambda: {"one": ["a", "b"]}, {"type": ("sample", "param")}),
        (lambda: (name for name in "ab"), {}),
    ],
)
def test_a_copy_ties_the_same_sites(duplicate: Any, sites: Any, options: Any) -> None:
    original = poutine.equalize(sites=sites(), **options)
    twin = duplicate(original)
    for handler in (original, twin):
        record = trace_of(handler(pair))
        assert poutine.equalized_sites(record) == {"a": ["b"]}
        assert record.nodes["b"]["fn"].has_enumerate_support is False
    assert (twin.type, twin.keep_dist) == (original.type, original.keep_dist)


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_made_in_mid_run_knows_nothing_of_the_run(duplicate: Any) -> None:
    original = poutine.equalize(sites=["a", "b"])
    with original:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        twin = duplicate(original)
        assert pyro.sample("b", dist.Normal(0.0, 1.0)) == a
    values = twin(pair)()
    assert values[0] == values[1] != a


def test_a_list_changed_after_construction_does_not_reach_copies() -> None:
    sites = ["a", "b"]
    handler = poutine.equalize(sites=sites)
    sites[:] = ["a", "z"]
    for twin in (handler, *(duplicate(handler) for duplicate in COPIES)):
        assert poutine.equalized_sites(trace_of(twin(pair))) == {"a": ["b"]}


# Threads.

HAS_THREADS = pytest.mark.whole_package("all threads share one handler stack there")


@HAS_THREADS
def test_threads_share_a_handler_and_not_its_groups() -> None:
    def own_model(start: float) -> list[float]:
        return [pyro.sample(f"v{i}", dist.Delta(torch.tensor(start + i))).item() for i in range(50)]

    handled = poutine.equalize(own_model, "v.*")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(handled, [100.0 * k for k in range(64)]))
    assert results == [[100.0 * k] * 50 for k in range(64)]


@HAS_THREADS
def test_a_thread_started_within_a_block_is_not_tied() -> None:
    with poutine.equalize(sites=["a", "b"]), ThreadPoolExecutor(1) as pool:
        a, b = pair()
        c, d = pool.submit(pair).result()
        assert pool.submit(interpreter_state).result()[0] == []
    assert a == b and c != d


# Nesting.


def test_nested_groups_end_with_their_own_handler() -> None:
    inner = poutine.equalize(sites=["a", "b"])
    with poutine.equalize(sites=["c", "d"]):
        c = pyro.sample("c", dist.Normal(0.0, 1.0))
        runs = [inner(pair)() for _ in range(2)]
        d = pyro.sample("d", dist.Normal(0.0, 1.0))
    assert c == d
    assert all(a == b for a, b in runs) and runs[0] != runs[1]


def test_a_handler_inside_a_model_inside_a_handler() -> None:
    def model() -> None:
        with poutine.equalize(sites=["x1", "x2"]):
            for name in ("x1", "x2", "y1"):
                pyro.sample(name, dist.Normal(0.0, 1.0))
        pyro.sample("y2", dist.Normal(0.0, 1.0))

    trace = trace_of(poutine.equalize(model, "y."))
    assert poutine.equalized_sites(trace) == {"x1": ["x2"], "y1": ["y2"]}
    assert latent_names(trace) == ["x1", "y1"]


def test_a_generator_of_sites() -> None:
    """A model may hand out its values as it goes; the handler stays with the thread."""

    def steps() -> Any:
        for i in range(3):
            yield pyro.sample(f"v{i}", dist.Normal(0.0, 1.0)).item()

    with poutine.equalize(sites="v."):
        values = list(steps())
    assert len(set(values)) == 1


def test_owner_and_members_may_come_from_different_calls_in_a_block() -> None:
    with poutine.trace() as record, poutine.equalize(sites=["a", "b"]):
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(0.0, 1.0))
    assert value_of(record.trace, "a") == value_of(record.trace, "b")
