"""The call that a tree of modules is in, and the values that hold while it lasts."""

from collections.abc import Callable
from typing import Any

from pyro._foundation.threads import PerThread


class _Call(PerThread):
    """How deep a thread is in calls of one tree of modules, and what they have read."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[str, Any] = {}


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
        self._call = _Call()

    @property
    def active(self) -> int:
        """How many calls this thread is in, 0 outside."""
        return self._call.depth

    @property
    def cache(self) -> dict[str, Any]:
        """The values read since the outermost call began, by the names of their sites."""
        return self._call.values

    def get(self, name: str) -> Any:
        """Return the value under a name, None where there is none.

        :param name: the full name.
        """
        return self._call.values.get(name)

    def set(self, name: str, value: Any) -> None:
        """Keep a value until the outermost call ends; outside of calls nothing is kept.

        :param name: the full name.
        :param value: the value.
        """
        call = self._call
        if call.depth:
            call.values[name] = value

    def once(self, name: str, compute: Callable[..., Any], *args: Any) -> Any:
        """Return the value under a name, computing it where the call has not read it yet.

        :param name: the full name.
        :param compute: what gives the value.
        :param args: its arguments.
        """
        values = self._call.values
        if name in values:
            return values[name]
        value = compute(*args)
        self.set(name, value)
        return value

    def __enter__(self) -> None:
        self._call.depth += 1

    def __exit__(self, *args: Any) -> None:
        call = self._call
        call.depth -= 1
        if not call.depth:
            call.values.clear()
