"""Features whose interface may still change."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class ExperimentalWarning(UserWarning):
    """Says that a feature may still change."""


@contextmanager
def ignore_experimental_warning() -> Iterator[None]:
    """Silence :class:`ExperimentalWarning` inside a ``with`` block.

    >>> import warnings
    >>> with ignore_experimental_warning():
    ...     warnings.warn("this may change", ExperimentalWarning)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
