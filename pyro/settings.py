"""One registry of the settings that change how pyro works.

A setting lives as a plain module attribute in the room that reads it, so that reading costs
nothing; the registry only knows where it is.

>>> from pyro import settings
>>> with settings.context(validate_poutine=False):
...     settings.get("validate_poutine")
False
"""

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Validator = Callable[[Any], None]


class _Setting(NamedTuple):
    modulename: str
    deepname: str
    validator: Validator | None

    def _holder(self) -> tuple[Any, str]:
        *path, attribute = self.deepname.split(".")
        return functools.reduce(getattr, path, importlib.import_module(self.modulename)), attribute

    def read(self) -> Any:
        return getattr(*self._holder())

    def write(self, value: Any) -> None:
        if self.validator is not None:
            self.validator(value)
        setattr(*self._holder(), value)


_SETTINGS: dict[str, _Setting] = {}


def _find(alias: str) -> _Setting:
    if alias not in _SETTINGS:
        raise ValueError(f"Unknown setting {alias!r}; there are: {', '.join(sorted(_SETTINGS))}.")
    return _SETTINGS[alias]


def get(alias: str | None = None) -> Any:
    """Read one setting, or all of them.

    :param alias: the setting's name; without it a dict of every setting is returned.
    :raises ValueError: for an unknown name, with the list of known ones.

    >>> get("validate_poutine")
    True
    """
    if alias is None:
        return {name: setting.read() for name, setting in sorted(_SETTINGS.items())}
    return _find(alias).read()


def set(**kwargs: Any) -> None:
    """Change settings.

    :param kwargs: new values by name. Either all are taken or, where one is refused, none is.
    :raises ValueError: for an unknown name or a value that the setting's validator refuses.

    >>> set(validate_poutine=True)
    """
    found = {alias: _find(alias) for alias in kwargs}
    before = {alias: setting.read() for alias, setting in found.items()}
    try:
        for alias, value in kwargs.items():
            found[alias].write(value)
    except Exception:
        for alias, value in before.items():
            setattr(*found[alias]._holder(), value)
        raise


@contextmanager
def context(**kwargs: Any) -> Iterator[None]:
    """Change settings within a ``with`` block (or a decorated function) and put them back after.

    :param kwargs: values by name, as for :func:`set`.
    """
    before = {alias: get(alias) for alias in kwargs}
    set(**kwargs)
    try:
        yield
    finally:
        set(**before)


def register(
    alias: str, modulename: str, deepname: str, validator: Validator | None = None
) -> Validator | Callable[[Validator], Validator]:
    """Declare that a module attribute is a setting.

    :param alias: the name under which users get and set it.
    :param modulename: the module that holds it, usually ``__name__``.
    :param deepname: its name there; dots reach into classes.
    :param validator: raises on a value that will not do. Left out, a decorator for one is returned.

    >>> _LIMIT = 3
    >>> @register("doctest_limit", __name__, "_LIMIT")
    ... def _check(value):
    ...     if value < 0:
    ...         raise ValueError("doctest_limit must not be negative")
    """

    def keep(checker: Validator) -> Validator:
        _SETTINGS[alias] = _Setting(modulename, deepname, checker)
        return checker

    if validator is not None:
        return keep(validator)
    _SETTINGS[alias] = _Setting(modulename, deepname, None)
    return keep


for _part in ("distributions_pyro", "distributions_torch", "infer", "poutine"):
    register(f"validate_{_part}", "pyro._foundation.validation", "setting.enabled")


@register("progress_bar", "pyro._foundation.progress", "shown")
def _check_progress_bar(value: Any) -> None:
    if value not in (True, False, None):
        raise ValueError(
            f"progress_bar is {value!r}, expected True, False, or None for bars on terminals only."
        )
