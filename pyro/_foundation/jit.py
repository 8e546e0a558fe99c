"""Code that torch's tracer records as well as it runs eagerly, and without complaint."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pyro._foundation.validation import validation_enabled

Filter = str | tuple[str, type[Warning]]


@contextmanager
def ignore_jit_warnings(filter: Iterable[Filter] | None = None) -> Iterator[None]:
    """Silence warnings inside a ``with`` block while torch is tracing; otherwise do nothing.

    :param filter: beginnings of the messages to silence, as regular expressions, alone or in a pair
        with a category; by default every :class:`torch.jit.TracerWarning`.

    >>> with ignore_jit_warnings():
    ...     half = torch.tensor(0.5)
    """
    if not torch.jit.is_tracing():
        yield
        return
    with warnings.catch_warnings():
        for entry in [""] if filter is None else filter:
            message, category = (
                (entry, torch.jit.TracerWarning) if isinstance(entry, str) else entry
            )
            warnings.filterwarnings("ignore", message=message, category=category)
        yield


@contextmanager
def capturing() -> Iterator[None]:
    """Tell laws, sites and objectives inside a ``with`` block that a graph is being captured.

    Nothing is validated there, for that looks at numbers, which are another run's by the time that
    the graph runs. This concerns all threads.
    """
    before = torch.compiler._is_compiling_flag
    with validation_enabled(False):
        torch.compiler._is_compiling_flag = True  # as torch.export does
        try:
            yield
        finally:
            torch.compiler._is_compiling_flag = before


def is_capturing() -> bool:
    """Tell whether numbers must not be looked at, for a graph is being captured.

    >>> is_capturing()
    False
    >>> with capturing():
    ...     is_capturing()
    True
    """
    return torch.compiler.is_compiling()


def jit_iter(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the entries of a tensor along its first dimension, also while torch is tracing.

    :param tensor: a tensor of at least one dimension.

    >>> jit_iter(torch.arange(2))
    [tensor(0), tensor(1)]
    """
    return list(tensor.unbind(0))


def torch_float(x: Any) -> Any:
    """Return a number as a float, and a tensor as a tensor of floats.

    :param x: a number or a tensor.

    >>> torch_float(1), torch_float(torch.tensor(1))
    (1.0, tensor(1.))
    """
    return x.float() if isinstance(x, torch.Tensor) else float(x)
