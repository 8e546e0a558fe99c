"""Context managers of general use."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class optional(Generic[T]):
    """A context manager that is entered only under a condition.

    :param context_manager: what to enter.
    :param condition: whether to enter it; otherwise the block runs as it is.

    >>> import io
    >>> with optional(io.StringIO("text"), False) as stream:
    ...     print(stream)
    None
    """

    def __init__(self, context_manager: AbstractContextManager[T], condition: object) -> None:
        self._inner: AbstractContextManager[Any] = context_manager if condition else nullcontext()

    def __enter__(self) -> T | None:
        entered: T | None = self._inner.__enter__()
        return entered

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> bool | None:
        return self._inner.__exit__(exc_type, exc_val, exc_tb)


class timed:
    """Measures how long a ``with`` block takes.

    Within the block there is ``start``, afterwards also ``end`` and ``elapsed``, in seconds.

    >>> with timed() as watch:
    ...     pass
    >>> watch.elapsed == watch.end - watch.start >= 0
    True
    """

    def __enter__(self, timer: Callable[[], float] = time.perf_counter) -> "timed":
        self.timer = timer
        self.start = timer()
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self.end = self.timer()
        self.elapsed = self.end - self.start
