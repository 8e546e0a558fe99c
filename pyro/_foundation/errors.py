"""The one builder of errors about a site: where, what is so, and what to do about it."""

from typing import TypeVar

E = TypeVar("E", bound=Exception)


class DuplicateSiteError(ValueError, RuntimeError):
    """Two sites of one run bear the same name.

    A wrong model is a ``ValueError``; code written against the released Pyro catches a
    ``RuntimeError`` here, so this is both.
    """


def site_error(
    name: object,
    fact: str,
    remedy: str = "",
    kind: type[E] = ValueError,  # type: ignore[assignment]
) -> E:
    """Build, without raising it, an error that names a site.

    :param name: the site's name.
    :param fact: what is wrong, with shapes or values and what was expected; no full stop.
    :param remedy: what to change; a sentence of its own.
    :param kind: the exception's class.

    >>> site_error("z", "value has shape (3,), expected (10,)", "Did you forget pyro.subsample?")
    ValueError("At site 'z': value has shape (3,), expected (10,). Did you forget pyro.subsample?")
    """
    tail = f" {remedy}" if remedy else ""
    return kind(f"At site {name!r}: {fact}.{tail}")
