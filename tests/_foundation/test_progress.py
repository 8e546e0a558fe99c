import io
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pyro import settings
from pyro._foundation.progress import progress


class Stream(io.StringIO):
    """What a bar is drawn on, which says whether anybody watches."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs through a bar, and returns what was drawn."""
    monkeypatch.setattr("pyro._foundation.progress.PATIENCE", 0.0)
    monkeypatch.setattr("tqdm.std.time", itertools.count().__next__)  # each look a second later

    def run(items: Any, is_terminal: bool = True, disabled: str = "", **options: Any) -> str:
        stream = Stream(is_terminal)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TQDM_DISABLE", disabled)
        expected = list(items)
        assert list(progress(iter(expected), "Steps", **options)) == expected
        return stream.getvalue()

    return run


@pytest.mark.parametrize("setting", [None, True, False])
@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("disabled", ["", "0", "1"])
def test_a_bar_is_drawn_where_somebody_watches_or_the_setting_says(
    draw: Any, setting: bool | None, is_terminal: bool, disabled: str
) -> None:
    with settings.context(progress_bar=setting):
        drawn = draw(range(3), is_terminal, disabled)
    expected = (is_terminal and disabled != "1") if setting is None else setting
    assert ("Steps" in drawn) is expected
    assert expected or drawn == ""


def test_a_bar_counts_and_takes_notes(draw: Any) -> None:
    drawn = draw([0.5, 0.25], total=2, note=lambda loss: f"loss {loss}")
    assert "50%" in drawn and "loss 0.5" in drawn


def test_a_bar_waits_and_goes(draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro._foundation.progress.PATIENCE", 1e9)
    assert "Steps" not in draw(range(3))
    monkeypatch.setattr("pyro._foundation.progress.PATIENCE", 0.0)
    *_, wiped, end = draw(range(3)).split("\r")
    assert wiped.strip() == end == ""


def test_notes_of_a_bar_that_is_not_drawn_are_not_made(draw: Any) -> None:
    def note(item: Any) -> str:
        raise AssertionError("not wanted")

    assert draw(range(3), False, note=note) == ""


def test_items_are_taken_one_by_one() -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(3):
            taken.append(i)
            yield i

    for i in progress(items(), "Steps"):
        assert taken[-1] == i


def test_the_setting_takes_three_values() -> None:
    with pytest.raises(ValueError, match="progress_bar is 'yes', expected True, False, or None"):
        settings.set(progress_bar="yes")
    assert settings.get("progress_bar") is None
