"""Warnings that come under validation only, and once for each cause."""

import warnings
from collections.abc import Hashable

from pyro._foundation.validation import is_validation_enabled

_given: set[Hashable] = set()


def warn_once(
    key: Hashable,
    message: str,
    category: type[Warning] = UserWarning,
    stacklevel: int = 2,
) -> None:
    """Warn under validation, the first time that ``key`` comes up in this process.

    :param key: what tells one cause from another.
    :param message: what to say.
    :param category: the warning's class.
    :param stacklevel: how many frames up the warning points; 2 is the caller.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     for _ in range(3):
    ...         warn_once("doctest", "look here")
    >>> len(caught)
    1
    """
    if is_validation_enabled() and key not in _given:
        _given.add(key)
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def forget_warnings() -> None:
    """Let every cause be warned about once more."""
    _given.clear()
