"""The one validation switch of the process.

Every public ``enable_validation`` is an alias of :func:`enable_validation`. Validation is on by
default and off under ``python -O``. Switching it also sets the default ``validate_args`` of
:mod:`torch.distributions`, so that a law and its site agree on whether to check.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributions import Distribution

_enabled: bool = __debug__


def is_validation_enabled() -> bool:
    """Tell whether models, sites and laws are being checked.

    >>> is_validation_enabled()
    True
    """
    return _enabled


def enable_validation(is_validate: bool = True) -> None:
    """Switch the checking of models, sites and laws on or off for the whole process.

    :param is_validate: whether to check from now on.

    >>> enable_validation(False)
    >>> is_validation_enabled()
    False
    >>> enable_validation()
    """
    global _enabled
    _enabled = bool(is_validate)
    Distribution.set_default_validate_args(_enabled)


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch validation within a ``with`` block and put it back on every way out.

    :param is_validate: whether to check inside the block.

    >>> with validation_enabled(False):
    ...     is_validation_enabled()
    False
    >>> is_validation_enabled()
    True
    """
    before = _enabled
    enable_validation(is_validate)
    try:
        yield
    finally:
        enable_validation(before)


class _Setting:
    """The switch as an attribute that reads and writes, which is what a setting is."""

    @property
    def enabled(self) -> bool:
        return _enabled

    @enabled.setter
    def enabled(self, is_validate: bool) -> None:
        enable_validation(is_validate)


setting = _Setting()
