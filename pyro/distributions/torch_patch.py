"""Functions of torch, replaced until torch mends them."""

from collections.abc import Callable
from functools import reduce, update_wrapper
from types import ModuleType
from typing import Any, TypeVar

import torch

from pyro._foundation.warnings import warn_once

F = TypeVar("F", bound=Callable[..., Any])


def patch_dependency(target: str, root_module: ModuleType = torch) -> Callable[[F], F]:
    """Replace a function of a package by the one that is decorated.

    The new one bears the name and docstring of the old one, which it holds as
    ``_pyro_unpatched``, to call it. Where there is no such function, a warning says that the patch
    is of no use any more, and nothing is replaced.

    :param target: the dotted name, beginning with that of the package.
    :param root_module: the package.
    :raises ValueError: where the name is none of the package's.

    >>> from types import ModuleType
    >>> library = ModuleType("library")
    >>> library.double = lambda x: x + x + 1
    >>> @patch_dependency("library.double", library)
    ... def _double(x):
    ...     return _double._pyro_unpatched(x) - 1
    >>> library.double(2)
    4
    """
    root, *path, name = target.split(".")
    if root != root_module.__name__:
        raise ValueError(
            f"patch_dependency: {target!r} is no dotted name below {root_module.__name__!r}. Pass "
            f"root_module={root} too."
        )

    def decorator(new_fn: F) -> F:
        try:
            owner: Any = reduce(getattr, path, root_module)
            old_fn = getattr(owner, name)
        except AttributeError:
            warn_once(("patch", target), f"There is no {target} any more; it cannot be patched.")
            return new_fn
        old_fn = getattr(old_fn, "_pyro_unpatched", old_fn)
        update_wrapper(new_fn, old_fn)
        new_fn._pyro_unpatched = old_fn  # type: ignore[attr-defined]
        setattr(owner, name, new_fn)
        return new_fn

    return decorator
