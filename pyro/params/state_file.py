"""Files that hold tensors and plain data: written in one stroke, read without running code."""

import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

MapLocation = str | torch.device | dict[str, str] | Callable[..., Any] | None

_reading = threading.Lock()  # what a file may name is a list that torch keeps for the process


def write_state_file(state: object, filename: str | os.PathLike[str]) -> None:
    """Save tensors and plain data; the file is either written whole or left as it was.

    :param state: nested dictionaries and lists of tensors, numbers and strings.
    :param filename: where to write.
    :raises OSError: where the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_state_file({"x": torch.ones(2)}, f"{folder}/state.pt")
    ...     read_state_file(f"{folder}/state.pt", "an example")
    {'x': tensor([1., 1.])}
    """
    target = os.path.realpath(filename)
    partial = f"{target}.{os.getpid()}.{threading.get_ident()}.partial"
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def read_state_file(
    filename: str | os.PathLike[str],
    what: str,
    map_location: MapLocation = None,
    classes: Sequence[tuple[Any, str]] = (),
) -> Any:
    """Read what :func:`write_state_file` wrote, refusing whatever would run code.

    :param filename: the file.
    :param what: what the file should hold, for the error.
    :param map_location: where its tensors go, as for :func:`torch.load`.
    :param classes: the classes that the file may name besides tensors and plain data, each with
        the dotted path under which it is named there.
    :raises ValueError: where the file is damaged, of another kind, or names other code.
    :raises OSError: where it cannot be opened.
    """
    allowed = torch.serialization.safe_globals(list(classes))
    with open(filename, "rb") as file, _reading, allowed:
        try:
            return torch.load(file, map_location=map_location, weights_only=True)
        except Exception as error:
            raise wrong_file(filename, what, _reason(error)) from error


def _reason(error: Exception) -> str:
    # torch wraps the reason in advice to load without the safeguard.
    first = error.__context__ or error
    named = re.search(r"GLOBAL (\S+)", str(first))
    if named:
        return f"it names {named[1]}, and no code in a file is run"
    return f"it is damaged or of another kind ({type(first).__name__})"


def wrong_file(filename: str | os.PathLike[str], what: str, fact: str) -> ValueError:
    """Build the error about a file that does not hold what it should.

    :param filename: the file.
    :param what: what it should hold.
    :param fact: what is wrong with it.

    >>> wrong_file("a.pt", "a param store", "it is a list")
    ValueError("Cannot read a param store from 'a.pt': it is a list.")
    """
    return ValueError(f"Cannot read {what} from {os.fspath(filename)!r}: {fact.rstrip('.')}.")
