import itertools
from contextlib import contextmanager
from typing import Any

import pytest

from pyro._foundation.contexts import optional, timed


@contextmanager
def swallowing(log: Any) -> Any:
    log.append("in")
    try:
        yield "entered"
    except KeyError:
        log.append("swallowed")


def test_optional_enters_and_leaves_under_the_condition() -> None:
    log: list[str] = []
    with optional(swallowing(log), True) as value:
        assert value == "entered"
        raise KeyError
    assert log == ["in", "swallowed"]


def test_optional_does_nothing_without_the_condition() -> None:
    log: list[str] = []
    with pytest.raises(KeyError), optional(swallowing(log), False) as value:
        assert value is None
        raise KeyError
    assert log == []


def test_timed_measures_by_its_timer() -> None:
    watch: Any = timed()
    ticks = itertools.count(10.0, 2.5)
    watch.__enter__(timer=lambda: next(ticks))
    watch.__exit__(None, None, None)
    assert (watch.start, watch.end, watch.elapsed) == (10.0, 12.5, 2.5)
