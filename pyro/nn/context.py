"""The call that a tree of modules is in, and the values that hold while it lasts."""

from types import MappingProxyType
from typing import Any

from pyro._foundation.threads import PerThread

_NOTHING: Any = MappingProxyType({})


class _Call(PerThread):
    """How deep a thread is in calls of one tree of modules, and what they have read.

    ``values`` is None outside of calls, so that one look-up tells both.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[str, Any] | None = None


class _Context:
    """Shared by all modules of a tree: entered by each call, it forgets when the outermost ends.

    Every thread is in calls of its own. A copy of a tree that is being called starts outside.

    >>> context = _Context()
    >>> with context:
    ...     with context:
    ...         context.set("x", 1)
    ...     context.active, context.get("x")
    (1, 1)
    >>> context.active, context.get("x")
    (0, None)
    """

    def __init__(self) -> None:
        self.call = _Call()

    @property
    def active(self) -> int:
        """How many calls this thread is in, 0 outside."""
        return self.call.depth

    @property
    def cache(self) -> dict[str, Any]:
        """The values read since the outermost call began, by the names of their sites."""
        values = self.call.values
        return _NOTHING if values is None else values

    def get(self, name: str) -> Any:
        """Return the value under a name, None where there is none.

        :param name: the full name.
        """
        return self.cache.get(name)

    def set(self, name: str, value: Any) -> None:
        """Keep a value until the outermost call ends; outside of calls nothing is kept.

        :param name: the full name.
        :param value: the value.
        """
        values = self.call.values
        if values is not None:
            values[name] = value

    def __enter__(self) -> None:
        call = self.call
        if not call.depth:
            call.values = {}
        call.depth += 1

    def __exit__(self, *args: Any) -> None:
        call = self.call
        call.depth -= 1
        if not call.depth:
            call.values = None
