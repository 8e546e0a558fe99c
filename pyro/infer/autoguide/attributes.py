"""Attributes reached by the dotted names that sites have."""

import operator
from typing import Any

from torch import nn

from pyro._foundation.errors import site_error
from pyro.nn.module import PyroModule


def deep_getattr(obj: Any, key: str) -> Any:
    """Read an attribute of an attribute.

    :param obj: where to start.
    :param key: names with dots between them.
    :raises AttributeError: where there is none.

    >>> deep_getattr(nn.Linear(3, 2), "weight.shape")
    torch.Size([2, 3])
    """
    return operator.attrgetter(key)(obj)


def deep_setattr(obj: Any, key: str, val: Any) -> None:
    """Set an attribute of an attribute; modules that are missing on the way are made.

    :param obj: where to start, a module.
    :param key: names with dots between them.
    :param val: the value.
    :raises ValueError: where something that is no module stands in the way.

    >>> module = PyroModule()
    >>> deep_setattr(module, "inner.scale", 3.0)
    >>> module.inner.scale
    3.0
    """
    holder, name = holder_of(obj, key, make=True)
    setattr(holder, name, val)


def holder_of(obj: Any, key: str, make: bool = False) -> tuple[Any, str]:
    """Find the module that holds an attribute, and the attribute's name there.

    :param obj: where to start, a module.
    :param key: names with dots between them.
    :param make: make modules that are missing on the way.
    :raises ValueError: where something that is no module stands in the way.
    """
    *path, name = key.split(".")
    for step in path:
        if make and not hasattr(obj, step):
            setattr(obj, step, PyroModule())
        obj = getattr(obj, step)
        if not isinstance(obj, nn.Module):
            raise site_error(
                key,
                f"the name has a dot after {step!r}, which is a name by itself already",
                "Rename one of the sites, so that none is a prefix of another.",
            )
    return obj, name


def read_attribute(holder: Any, name: str) -> Any:
    """Read what a module holds under a name, be it the name of one of its methods too.

    :param holder: the module.
    :param name: the attribute's name.
    """
    fields = vars(holder)
    return fields[name] if name in fields else holder.__getattr__(name)
