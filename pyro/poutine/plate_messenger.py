"""``plate``: conditional independence, sub-sampling and broadcasting in one handler."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyro.poutine.messenger import Messenger, block_messengers
from pyro.poutine.plate_shapes import broadcast_to_plates
from pyro.poutine.runtime import Message
from pyro.poutine.subsample_messenger import SubsampleMessenger


class PlateMessenger(SubsampleMessenger):
    """The handler behind :class:`~pyro.primitives.plate`.

    Takes the options of :class:`~pyro.poutine.subsample_messenger.SubsampleMessenger`; entered with
    ``with`` it gives the indices of the elements that run.
    """

    def __enter__(self) -> Any:
        indices = None if self.size == -1 else self.indices  # first: it may fail
        super().__enter__()
        return indices

    def _process_message(self, msg: Message) -> None:
        self._surround(msg)
        if msg["type"] == "sample":
            broadcast_to_plates(msg)


@contextmanager
def block_plate(
    name: str | None = None, dim: int | None = None, *, strict: bool = True
) -> Iterator[None]:
    """Leave an active plate for the length of a ``with`` block, to sample outside of it.

    :param name: the plate's name.
    :param dim: the plate's batch dimension; give this or the name.
    :param strict: refuse to go on where no such plate is active.
    :raises ValueError: for both a name and a dim or neither, or where there is no such plate.

    >>> import pyro, pyro.distributions as dist
    >>> with pyro.plate("data", 3):
    ...     with block_plate("data"):
    ...         pyro.sample("x", dist.Normal(0.0, 1.0)).shape
    torch.Size([])
    """
    if (name is None) == (dim is None):
        raise ValueError("block_plate() takes the plate's name or its dim, one of the two.")

    def is_wanted(handler: Messenger) -> bool:
        if not isinstance(handler, PlateMessenger):
            return False
        return handler.dim == dim if name is None else handler.name == name

    with block_messengers(is_wanted) as resting:
        if strict and len(resting) != 1:
            wanted = f"at dim {dim}" if name is None else f"named {name!r}"
            raise ValueError(f"block_plate() found {len(resting)} active plates {wanted}, not one.")
        yield
