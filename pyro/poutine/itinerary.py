"""The way of a message through a stack of handlers: which hooks see it, and in what order."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

Hook = Callable[[Any], Any]


class HookNames(NamedTuple):
    """Which methods of a class of handlers see one type of message; None where none does."""

    process: str | None
    postprocess: str | None


@functools.cache
def hooks_of(cls: Any, message_type: str) -> HookNames:
    """Look up once which methods of a class of handlers see a type of message.

    :param cls: the class.
    :param message_type: the type of message.
    """

    def method(general: str, specific: str) -> str | None:
        if not getattr(getattr(cls, general), "dispatches_by_type", False):
            return general
        return specific if hasattr(cls, specific) else None

    return HookNames(
        method("_process_message", f"_pyro_{message_type}"),
        method("_postprocess_message", f"_pyro_post_{message_type}"),
    )


class Itinerary:
    """The way of one type of message through one stack of handlers, worked out once.

    ``out`` holds the hooks on the way out, from the innermost handler on, and ``back`` those on the
    way back, from the outermost handler on.
    """

    __slots__ = ("stack", "out", "back", "_reached")

    def __init__(self, message_type: str, stack: list[Any]) -> None:
        self.stack = stack.copy()
        self.out: list[Hook] = []
        self.back: list[Hook] = []
        self._reached: list[int] = []  # by hook on the way out: how many there are on the way back
        for handler in reversed(stack):
            process, postprocess = hooks_of(handler.__class__, message_type)
            if postprocess is not None:
                self.back.append(getattr(handler, postprocess))
            if process is not None:
                self.out.append(getattr(handler, process))
                self._reached.append(len(self.back))
        self.back.reverse()

    def back_from(self, hook: Hook) -> list[Hook]:
        """Return the hooks on the way back from the handler whose hook stopped a message."""
        return self.back[len(self.back) - self._reached[self.out.index(hook)] :]
