"""The slots of a param store by name, and which of them a thread sees."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from pyro.params.slot import Slot


class Table:
    """Slots by name, and the names of their leaves.

    Whoever changes a table holds the store's lock; whoever reads needs none.
    """

    __slots__ = ("slots", "names")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all slots; whoever is reading the old ones may go on."""
        self.slots: dict[str, Slot] = {}
        self.names: dict[Tensor, str] = {}

    def put(self, name: str, slot: Slot) -> None:
        """Store a slot under a name, in place of the one that was there."""
        self._forget_leaf_of(name)
        self.names[slot.leaf] = name
        self.slots[name] = slot

    def remove(self, name: str) -> None:
        """Remove the slot of a name that there is."""
        self._forget_leaf_of(name)
        del self.slots[name]

    def _forget_leaf_of(self, name: str) -> None:
        slot = self.slots.get(name)
        if slot is not None and self.names.get(slot.leaf) == name:
            del self.names[slot.leaf]


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Table] = []  # the innermost last


class Tables:
    """The table of the process, and for each thread those of the scopes that it is in.

    >>> tables, slots = Tables(), {}
    >>> with tables.scope(slots) as table:
    ...     tables.current() is table
    True
    >>> tables.current() is tables.of_process
    True
    """

    def __init__(self) -> None:
        self.of_process = Table()
        self.scopes = 0  # how many there are in all threads: most often none, which is quick to ask
        self._lock = threading.Lock()
        self._of_thread = _OfThread()

    def current(self) -> Table:
        """Give the table that the present thread uses."""
        scopes = self._of_thread.scopes
        return scopes[-1] if scopes else self.of_process

    @contextmanager
    def scope(self, slots: Mapping[str, Slot]) -> Iterator[Table]:
        """Let the present thread use another table within a ``with`` block.

        :param slots: what the table holds at first.
        :returns: a context manager that gives the table.
        """
        table, scopes = Table(), self._of_thread.scopes
        for name, slot in slots.items():
            table.put(name, slot)
        scopes.append(table)
        self._count(1)
        try:
            yield table
        finally:
            # A generator may leave its scope late, or in another thread: whatever stands inside
            # belongs to others.
            scopes[:] = [each for each in scopes if each is not table]
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.scopes += change
