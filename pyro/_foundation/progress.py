"""A bar for the person who waits in front of a terminal."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")

PATIENCE = 1.0  # seconds

# Whether bars are shown; None for those of runs that somebody watches. A setting.
shown: bool | None = None


def progress(
    items: Iterable[T],
    what: str,
    total: int | None = None,
    note: Callable[[T], str] | None = None,
) -> Iterator[T]:
    """Yield what there is, with a bar on standard error that shows how far it has come.

    The bar comes after a second, and goes when all is done. It stays away where standard error is
    no terminal, and with the environment variable ``TQDM_DISABLE=1``, unless the setting
    ``progress_bar`` is True; where that is False there is none in any case.

    :param items: what to yield.
    :param what: what the bar says.
    :param total: how many items there are, where that is known.
    :param note: takes the latest item, and returns what the bar says of it.

    >>> list(progress("ab", "Letters", note=str.upper))
    ['a', 'b']
    """
    if not (_is_watched() if shown is None else shown):
        return iter(items)
    bar = tqdm(items, what, total, leave=False, delay=PATIENCE, disable=False)
    return iter(bar) if note is None else _noted(bar, note)


def _is_watched() -> bool:
    return sys.stderr.isatty() and os.environ.get("TQDM_DISABLE", "0") in ("", "0")


def _noted(bar: "tqdm[T]", note: Callable[[T], str]) -> Iterator[T]:
    for item in bar:
        bar.set_postfix_str(note(item), refresh=False)
        yield item
