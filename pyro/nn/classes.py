"""``PyroModule[nn.Linear]``: the class that is both a class of torch modules and a Pyro module."""

import copyreg
import operator
from abc import ABCMeta
from typing import Any, get_origin

from torch import nn

from pyro.nn.members import MIXINS


class _PyroModuleMeta(ABCMeta):
    """Makes ``PyroModule[nn.Linear]`` the class of linear layers that are Pyro modules too.

    What is made of a subclass inherits from what is made of its base. A class of Pyro modules that
    is generic takes its type arguments as any other.
    """

    # What was made, by the torch class; of nn.Module it is PyroModule, which enters itself here.
    _made: dict[type, type] = {}

    def __getitem__(cls, Module: Any) -> Any:
        if getattr(cls, "__parameters__", ()):
            return cls.__class_getitem__(Module)  # type: ignore[attr-defined]
        base = get_origin(Module) or Module
        if not (isinstance(base, type) and issubclass(base, nn.Module)):
            raise TypeError(
                f"PyroModule[...] takes a class of torch modules, got {Module!r}. "
                "For a module that exists already call to_pyro_module_(module)."
            )
        if isinstance(base, _PyroModuleMeta):
            return base
        if base not in cls._made:
            cls._made[base] = _make_class(base)
        return cls._made[base]


def _make_class(base: type) -> type:
    parents = [parent for parent in base.__bases__ if issubclass(parent, nn.Module)]
    made = [_PyroModuleMeta.__getitem__(pyro_module(), parent) for parent in parents]
    name = f"Pyro{base.__name__}"
    names = {
        "__module__": "pyro.nn.module",
        "__qualname__": name,
        "__doc__": base.__doc__,
        "_torch_class": base,
    }
    return _PyroModuleMeta(name, (*MIXINS.get(base, ()), base, *made), names)


def pyro_module() -> Any:
    """Return the class of all Pyro modules, which stands in a higher room."""
    return _PyroModuleMeta._made[nn.Module]


def _reduce_class(cls: type) -> Any:
    base = vars(cls).get("_torch_class")
    return cls.__qualname__ if base is None else (operator.getitem, (pyro_module(), base))


# A made class is found again by the class that it was made from, not by a name in a module.
copyreg.pickle(_PyroModuleMeta, _reduce_class)
