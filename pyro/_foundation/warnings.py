"""Warnings that come under validation only, and once for each cause."""

import warnings
from collections.abc import Collection, Hashable, Iterable
from difflib import get_close_matches

from pyro._foundation.validation import is_validation_enabled

_given: dict[Hashable, object] = {}


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
    if is_validation_enabled() and _is_first(key):
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def warn_deprecated(name: str, instead: str) -> None:
    """Warn, once and under validation, about a form that is served for old models' sake.

    :param name: what is deprecated, as its users write it.
    :param instead: what to write today. The warning points to the caller of whoever calls this.

    >>> import warnings
    >>> def old():
    ...     warn_deprecated("old()", "new()")
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     old()
    >>> str(caught[0].message)
    'old() is deprecated. Write: new()'
    """
    message = f"{name} is deprecated. Write: {instead}"
    warn_once(("deprecated", name), message, FutureWarning, stacklevel=3)


def warn_of_absent(handler: str, what: str, wanted: Iterable[str], there: Collection[str]) -> None:
    """Warn of parameters that a handler was told of and that did not run.

    :param handler: the handler's name.
    :param what: what it was given for each.
    :param wanted: the names that it was given.
    :param there: the names that ran, of which the nearest are suggested.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     warn_of_absent("lift", "a prior", ["wieght"], ["weight", "bias"])
    >>> str(caught[0].message)
    "lift() has a prior for 'wieght', but no such parameter ran. Did you mean 'weight'?"
    """
    for name in wanted:
        if name not in there:
            near = get_close_matches(name, there)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            message = f"{handler}() has {what} for {name!r}, but no such parameter ran.{hint}"
            warn_once((handler, name), message)


def _is_first(key: Hashable) -> bool:
    return _given.setdefault(key, mine := object()) is mine  # one step, whatever other threads do


def forget_warnings() -> None:
    """Let every cause be warned about once more."""
    _given.clear()
