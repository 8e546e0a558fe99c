"""Tools for objects that hold tensors, and for classes."""

import copy
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch

O = TypeVar("O")  # noqa: E741
C = TypeVar("C", bound=type)

_ATOMS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, weakref.ref)


def map_tensors(obj: O, fn: Callable[[torch.Tensor], torch.Tensor]) -> O:
    """Return a copy of an object in which a function was applied to every tensor.

    :param obj: tensors, lists, tuples, dicts and objects with attributes, nested at will. What
        appears twice is mapped once, so that sharing and cycles survive.
    :param fn: the function.

    >>> map_tensors({"a": [torch.ones(2)]}, torch.neg)
    {'a': [tensor([-1., -1.])]}
    """
    result: O = _map_tensors(obj, fn, {})
    return result


def _map_tensors(obj: Any, fn: Callable[[torch.Tensor], torch.Tensor], seen: dict[int, Any]) -> Any:
    if id(obj) in seen:
        return seen[id(obj)][1]

    def remember(result: Any) -> Any:
        seen[id(obj)] = obj, result  # holding obj keeps its id from being given to another object
        return result

    if isinstance(obj, torch.Tensor):
        return remember(fn(obj))
    if isinstance(obj, _ATOMS) or obj is None:
        return obj
    if isinstance(obj, dict):
        result = remember(copy.copy(obj))
        for key, value in obj.items():
            result[key] = _map_tensors(value, fn, seen)
    elif isinstance(obj, list):
        result = remember(copy.copy(obj))
        result[:] = [_map_tensors(value, fn, seen) for value in obj]
    elif isinstance(obj, tuple) and type(obj) is not torch.Size:
        parts = [_map_tensors(value, fn, seen) for value in obj]
        return remember(obj._make(parts) if hasattr(obj, "_make") else type(obj)(parts))
    elif not hasattr(obj, "__dict__"):
        return obj
    else:
        result = remember(copy.copy(obj))
    if hasattr(result, "__dict__"):
        for key, value in vars(obj).items():
            vars(result)[key] = _map_tensors(value, fn, seen)
    return result


def detach(obj: O) -> O:
    """Return a copy of an object whose tensors carry no gradient and share their memory with it.

    :param obj: tensors, lists, tuples, dicts and objects with attributes, nested at will.

    >>> detach([torch.ones(2, requires_grad=True)])
    [tensor([1., 1.])]
    """
    return map_tensors(obj, torch.Tensor.detach)


def deep_to(obj: O, *args: Any, **kwargs: Any) -> O:
    """Return a copy of an object with :meth:`torch.Tensor.to` applied to its tensors.

    :param obj: tensors, lists, tuples, dicts and objects with attributes, nested at will.
    :param args: passed on to :meth:`torch.Tensor.to`.
    :param kwargs: passed on to :meth:`torch.Tensor.to`.

    >>> deep_to((torch.ones(2),), torch.float64)
    (tensor([1., 1.], dtype=torch.float64),)
    """
    return map_tensors(obj, lambda tensor: tensor.to(*args, **kwargs))


def copy_docs_from(source_class: type, full_text: bool = False) -> Callable[[C], C]:
    """Give a class, and those of its methods that have none, the docstrings of another class.

    :param source_class: where to take them from.
    :param full_text: copy the whole text; otherwise its first paragraph and a pointer to the rest.
    :return: a decorator.

    >>> @copy_docs_from(dict)
    ... class Table(dict):
    ...     def keys(self):
    ...         return []
    >>> "See :meth:`builtins.dict.keys`." in Table.keys.__doc__
    True
    """

    def text_of(source: Any, role: str, path: str) -> str | None:
        text = getattr(source, "__doc__", None)
        if text is None or full_text:
            return text
        return f"{text.strip().partition(chr(10) * 2)[0]}\n\nSee :{role}:`{path}`."

    def decorate(target: C) -> C:
        home = f"{source_class.__module__}.{source_class.__qualname__}"
        if target.__doc__ is None:
            target.__doc__ = text_of(source_class, "class", home)
        for name, method in vars(target).items():
            if isinstance(method, types.FunctionType) and method.__doc__ is None:
                source = getattr(source_class, name, None)
                method.__doc__ = text_of(source, "meth", f"{home}.{name}")
        return target

    return decorate


def weakmethod(fn: Callable[..., Any]) -> Any:
    """Make a method that does not keep its object alive once it is taken from it.

    :param fn: the function; what it is bound to is passed as its first argument.
    :return: a property that gives a callable. The call raises :class:`ReferenceError` after the
        object is gone.

    >>> class Counter:
    ...     @weakmethod
    ...     def step(self):
    ...         return 1
    >>> Counter().step
    <function ...>
    """

    def bind(owner: Any) -> Callable[..., Any]:
        reference = weakref.ref(owner)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            alive = reference()
            if alive is None:
                raise ReferenceError(f"The object that {fn.__qualname__} was taken from is gone.")
            return fn(alive, *args, **kwargs)

        return call

    return property(bind)
