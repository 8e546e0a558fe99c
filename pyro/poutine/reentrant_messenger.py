"""Handlers that may nest within themselves."""

from collections.abc import Callable
from typing import Any, TypeVar

from pyro._foundation.threads import PerThread
from pyro.poutine.messenger import Messenger

Self = TypeVar("Self", bound="ReentrantMessenger")


class _Entries(PerThread):
    """How often a thread has entered a handler and not left it yet."""

    count = 0


class ReentrantMessenger(Messenger):
    """Base of the handlers that may be entered while they are active, as in recursion.

    However often it was entered, the handler stands on the stack once, where it was entered first,
    until it has been left as often.

    >>> from pyro.poutine.runtime import _PYRO_STACK
    >>> messenger = ReentrantMessenger()
    >>> with messenger, messenger:
    ...     len(_PYRO_STACK)
    1
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries = _Entries()

    def __call__(self, fn: Callable[..., Any]) -> Any:
        """Return ``fn`` as it runs inside this handler; it may call itself."""
        return super().__call__(fn)

    def __enter__(self: Self) -> Self:
        """Put the handler on this thread's stack, unless it is there."""
        if not self._entries.count:
            super().__enter__()
        self._entries.count += 1
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Take the handler off the stack, once for each time that it was entered."""
        if self._entries.count == 1:
            super().__exit__(exc_type, exc_value, traceback)
        self._entries.count -= 1
