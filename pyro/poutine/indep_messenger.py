"""Conditional independence: what a plate says about the sites inside it."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from pyro._foundation.errors import site_error
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message, _thread


class CondIndepStackFrame(NamedTuple):
    """One plate around a site.

    ``dim`` is the batch dimension that the plate takes, None for a sequential one, whose current
    iteration is ``counter``. ``size`` is the number of elements that run, ``full_size`` the number
    that there are; ``size`` is -1 where the plate was given none.
    """

    name: str
    dim: int | None
    size: int
    counter: int
    full_size: int | None = None

    @property
    def vectorized(self) -> bool:
        """Whether the plate runs its elements at once, along a batch dimension."""
        return self.dim is not None

    def __str__(self) -> str:
        return self.name


def plate_size(name: str, size: Any, what: str = "size") -> int:
    """Return a plate's size as an int.

    :param name: the plate's name, for the error.
    :param size: an integer, a numpy integer or an integer tensor with one element.
    :param what: what the number is, for the error.
    :raises ValueError: that names the plate, where this is no positive integer.
    """
    try:
        number = None if isinstance(size, bool) else operator.index(size)
    except TypeError:
        number = None
    if number is None:
        raise site_error(
            name,
            f"plate {what} must be an integer, got {size!r}",
            "Use len(data), or int(...) where the number is known to be whole.",
        )
    if number <= 0:
        raise site_error(
            name,
            f"plate {what} must be positive, got {number}",
            "Is the data empty? A plate needs at least one element.",
        )
    return number


class IndepMessenger(Messenger):
    """Declare that the elements of a batch dimension are independent given all outside.

    This is the bare effect; :class:`~pyro.primitives.plate` adds sub-sampling and broadcasting.
    Entered with ``with`` it takes a batch dimension for all elements at once; as an iterator it
    runs them one after the other.

    :param name: the plate's name.
    :param size: the number of elements; None where it is not known.
    :param dim: the batch dimension, a negative number; the rightmost free one if None.
    :param device: where the indices live.
    :raises ValueError: where the size is no positive integer or the dim is taken.

    >>> import torch, pyro, pyro.distributions as dist
    >>> with IndepMessenger("rows", 3) as rows:
    ...     rows.dim, rows.indices
    (-1, tensor([0, 1, 2]))
    """

    def __init__(self, name: str, size: Any, dim: int | None = None, device: Any = None) -> None:
        super().__init__()
        if not isinstance(name, str):
            raise site_error(name, "the name is no string", "Write plate('name', size).", TypeError)
        if dim is not None and dim >= 0:
            raise site_error(
                name, f"plate dim must be negative, got {dim}", "Count it from the right: -1, -2, …"
            )
        self.name = name
        self.size = -1 if size is None else plate_size(name, size)
        self.dim = dim
        self.device = device
        self.counter = 0
        self._wanted_dim = dim
        self._sequential = False
        self._indices: Any = None
        self.frame: CondIndepStackFrame | None = None

    @property
    def _running_size(self) -> int:
        return self.size

    def __enter__(self) -> Any:
        if not self._sequential:
            if self.frame is not None:
                raise site_error(
                    self.name,
                    "this plate is already active",
                    "Leave it before entering it again, or make a second plate.",
                )
            self._dims = _thread.dims
            self.dim = self._dims.allocate(self.name, self._wanted_dim)
        self.frame = CondIndepStackFrame(
            self.name, self.dim, self._running_size, self.counter, self.size
        )
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        try:
            super().__exit__(*args)
        finally:
            self._release()

    def _abandon(self) -> None:
        self._release()

    def _release(self) -> None:
        if self.frame is not None and self.dim is not None:
            self._dims.free(self.name, self.dim)
            self.dim = self._wanted_dim
        self.frame = None

    def _reset(self) -> None:
        self.counter = 0

    def __iter__(self) -> Iterator[Any]:
        """Run the elements one after the other; sites inside need a name for each.

        :raises ValueError: where the plate was given a batch dimension or no size, or is active
            already.
        """
        if self.size == -1:
            raise site_error(
                self.name, "a plate without a size cannot be iterated over", "Give its size."
            )
        if self._wanted_dim is not None or self.frame is not None:
            raise site_error(
                self.name,
                "a plate with a batch dimension cannot be iterated over",
                "Leave dim out, or enter the plate using 'with'.",
            )
        for index in self._element_indices():
            with self.next_context():
                yield index

    def _element_indices(self) -> list[int]:
        indices = self.indices
        return list(indices.tolist() if isinstance(indices, torch.Tensor) else indices)

    @contextmanager
    def next_context(self) -> Iterator[None]:
        """Enter the next iteration of a sequential plate."""
        self.counter += 1
        self._sequential = True
        try:
            with self:
                yield
        finally:
            self._sequential = False

    @property
    def indices(self) -> Any:
        """The indices of the elements that run, a tensor of integers."""
        if self._indices is None:
            self._indices = torch.arange(self.size, dtype=torch.long, device=self.device)
        return self._indices

    def _process_message(self, msg: Message) -> None:
        msg["cond_indep_stack"] = (self.frame, *msg["cond_indep_stack"])
