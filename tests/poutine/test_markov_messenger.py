"""``markov`` and handlers that may nest within themselves: which steps see which."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine import runtime
from pyro.poutine.markov_messenger import MarkovMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.reentrant_messenger import ReentrantMessenger
from tests.helpers import trace_of
from tests.poutine.models import leaves_no_trace, refused


def visit(name: str) -> None:
    pyro.sample(name, dist.Normal(0.0, 1.0))


def scopes_of(model: Any) -> dict[str, dict[Any, int]]:
    record = trace_of(model)
    return {
        name: site["infer"].get("_markov_scope", {})
        for name, site in record.nodes.items()
        if site["type"] == "sample"
    }


def seen_by(scopes: dict[str, dict[Any, int]], name: str) -> str:
    """The sites whose step the named site's step sees, its own included."""

    def sees(other: str) -> bool:
        frames = [frame for frame, back in scopes[other].items() if back == 0]
        return all(scopes[name].get(frame, -1) >= 0 for frame in frames)

    return "".join(other for other in scopes if sees(other))


@pytest.mark.parametrize(("history", "seen"), [(0, "d"), (1, "cd"), (2, "bcd"), (9, "abcd")])
def test_a_step_sees_its_history(history: int, seen: str) -> None:
    def model() -> None:
        for name in pyro.markov("abcd", history=history):
            visit(name)

    assert seen_by(scopes_of(model), "d") == seen


def test_contexts_within_themselves_are_steps() -> None:
    def model() -> None:
        with poutine.markov() as steps:
            visit("a")
            with steps:
                visit("b")
                with steps:
                    visit("c")
            visit("d")
            with steps:
                visit("e")

    scopes = scopes_of(model)
    assert [seen_by(scopes, name) for name in "abcde"] == ["ad", "abd", "bc", "ad", "ade"]


@pytest.mark.parametrize(("keep", "seen"), [(False, "ac"), (True, "abc")])
def test_siblings_see_each_other_where_they_are_kept(keep: bool, seen: str) -> None:
    def model() -> None:
        @pyro.markov(keep=keep)
        def grow(name: str, children: str) -> None:
            visit(name)
            for child in children:
                grow(child, "")

        grow("a", "bc")

    assert seen_by(scopes_of(model), "c") == seen


@pytest.mark.parametrize(("keep", "seen"), [(False, "ef"), (True, "bcef")])
def test_an_axis_that_is_kept_is_the_same_when_it_is_run_again(keep: bool, seen: str) -> None:
    def model() -> None:
        axis = pyro.markov(range(3), keep=keep)
        for names in ("abc", "def"):
            for i in axis:
                visit(names[i])

    assert seen_by(scopes_of(model), "f") == seen


def test_sites_outside_are_seen_by_all_and_see_none_inside() -> None:
    def model() -> None:
        visit("a")
        for name in pyro.markov("bc", history=0):
            visit(name)
        visit("d")

    scopes = scopes_of(model)
    assert seen_by(scopes, "c") == "acd" and seen_by(scopes, "d") == "ad"


def test_nested_loops() -> None:
    def model() -> None:
        for one, inner in pyro.markov([("a", "bc"), ("d", "ef")]):
            visit(one)
            for two in pyro.markov(inner):
                visit(two)

    scopes = scopes_of(model)
    assert [seen_by(scopes, name) for name in "def"] == ["ad", "ade", "adef"]


def test_the_three_ways_agree() -> None:
    def loop() -> None:
        for name in pyro.markov("abc"):
            visit(name)

    def nested() -> None:
        steps = poutine.markov()
        with steps:
            visit("a")
            with steps:
                visit("b")
                with steps:
                    visit("c")

    def recursion() -> None:
        @pyro.markov
        def go(names: str) -> None:
            visit(names[0])
            if names[1:]:
                go(names[1:])

        go("abc")

    expected = [list(scope.values()) for scope in scopes_of(loop).values()]
    for model in (nested, recursion):
        assert [list(scope.values()) for scope in scopes_of(model).values()] == expected
    assert expected == [[0], [1, 0], [1, 0]]


def test_a_loop_that_is_left_early_leaves_nothing_behind() -> None:
    axis = pyro.markov(range(5), keep=True)

    def broken() -> None:
        for i in axis:
            if i == 2:
                break

    def raising() -> None:
        for i in axis:
            if i == 2:
                raise ZeroDivisionError("on purpose")

    with leaves_no_trace():
        broken()
    with refused(ZeroDivisionError, "on purpose"):
        raising()
    assert axis._walk.position == -1 and axis._entries.count == 0
    assert list(axis) == list(range(5))


def test_what_is_iterated_over_may_itself_have_sites() -> None:
    def names() -> Iterator[str]:
        for name in "ab":
            visit(f"{name}_before")
            yield name

    def model() -> None:
        for name in pyro.markov(names()):
            visit(name)

    scopes = scopes_of(model)
    assert [len(scope) for scope in scopes.values()] == [1, 1, 2, 2]


def test_copies_and_pickles_begin_anew() -> None:
    steps = MarkovMessenger(history=2, keep=True)
    with steps:
        for twin in (copy.deepcopy(steps), pickle.loads(pickle.dumps(steps))):
            assert (twin.history, twin.keep, twin._walk.position) == (2, True, -1)
            assert twin._walk.context != steps._walk.context


def test_hints_that_the_user_passed_are_left_alone() -> None:
    hints = {"note": 1}

    def model() -> None:
        with poutine.markov():
            pyro.sample("x", dist.Normal(0.0, 1.0), infer=hints)

    assert set(trace_of(model).nodes["x"]["infer"]) == {"note", "_markov_scope"}
    assert hints == {"note": 1}


@pytest.mark.parametrize("history", [-1, 1.0, True, None])
def test_a_history_that_is_no_number_of_steps_is_refused(history: Any) -> None:
    with pytest.raises(ValueError, match="history must be a whole number of steps"):
        pyro.markov(range(3), history=history)


@pytest.mark.parametrize("options", [{"dim": -1}, {"name": "time"}])
def test_steps_along_a_dimension_are_refused(options: Any) -> None:
    with pytest.raises(NotImplementedError, match=f"Leave {next(iter(options))} out"):
        pyro.markov(range(3), **options)


def test_iterating_over_nothing_is_explained() -> None:
    with pytest.raises(TypeError, match=r"nothing to iterate over. Write pyro.markov\(range"):
        list(poutine.markov())


def test_a_reentrant_handler_stands_on_the_stack_once() -> None:
    class Count(ReentrantMessenger):
        seen = 0

        def _pyro_sample(self, msg: Any) -> None:
            self.seen += 1

    count = Count()
    with leaves_no_trace(), count, Messenger(), count:
        assert len(runtime._PYRO_STACK) == 2
        visit("x")
    assert count.seen == 1


def test_a_reentrant_handler_may_wrap_what_calls_itself() -> None:
    @ReentrantMessenger()
    def countdown(n: int) -> int:
        assert len(runtime._PYRO_STACK) == 1
        return n if n == 0 else int(countdown(n - 1))

    assert countdown(5) == 0
