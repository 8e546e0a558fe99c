"""A bar for the person who waits in front of a terminal."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")

PATIENCE = 1.0  # seconds


def progress(
    items: Iterable[T], what: str, total: int | None = None, disable: bool | None = None
) -> Iterator[T]:
    """Yield what there is, with a bar on standard error that shows how far it has come.

    The bar comes after a second, and goes when all is done. It stays away where standard error is
    no terminal, and with the environment variable ``TQDM_DISABLE=1``.

    :param items: what to yield.
    :param what: what the bar says.
    :param total: how many items there are, where that is known.
    :param disable: True for no bar, False for one in any case.

    >>> list(progress("ab", "Letters"))
    ['a', 'b']
    """
    if disable is None:
        disable = not sys.stderr.isatty() or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return iter(tqdm(items, what, total, leave=False, delay=PATIENCE, disable=disable))
