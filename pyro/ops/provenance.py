"""Tensors that remember what they were computed from.

A tensor's *provenance* is a set of names. Whatever a torch function computes has the union of its
arguments' provenances, so that a set of names put on the inputs of a computation comes out on what
depends on them. The dependence is of the program, not of the numbers: ``0 * x`` depends on ``x``.
Python numbers have none: what goes through ``x.item()`` or a comparison in an ``if`` is lost.
"""

import copy
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import singledispatch
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Provenance = frozenset[Any]

NOTHING: Provenance = frozenset()


class ProvenanceTensor(Tensor):
    """A tensor with a provenance, which torch functions pass on.

    It shares the memory and the gradient of the tensor that it was made of. Writing a tracked
    tensor into another in place makes that one tracked too; a write through a view is known to the
    view alone.

    :param data: the tensor.
    :param provenance: what it was computed from; where that is nothing, ``data`` is returned.

    >>> x = ProvenanceTensor(torch.tensor(1.0), frozenset({"x"}))
    >>> x.exp() + 1
    ProvenanceTensor(tensor(3.7183), provenance={'x'})
    """

    _provenance: Provenance

    def __new__(cls, data: Tensor, provenance: Iterable[Any] = NOTHING) -> Any:
        return track_provenance(data, frozenset(provenance))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what :meth:`__new__` takes; there is nothing left to do."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        provenance = get_provenance((args, kwargs))
        for written in _written(func, args, kwargs):
            _remember_in_place(written, provenance)
        if _reading.seen is not None and provenance and _is_reading(func):
            _reading.seen.update(provenance)
        return track_provenance(result, provenance)

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        names = ", ".join(sorted(map(repr, self._provenance)))
        return f"ProvenanceTensor({detach_provenance(self)!r}, provenance={{{names}}})"

    def __hash__(self) -> int:
        return id(self)  # as of any tensor; a subclass would ask torch for it

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = copy.deepcopy(detach_provenance(self), memo)
        return memo.setdefault(id(self), track_provenance(copied, self._provenance))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return track_provenance, (detach_provenance(self), self._provenance)


@singledispatch
def track_provenance(x: Any, provenance: Provenance) -> Any:
    """Add to the provenance of a value.

    :param x: a tensor, or tuples, lists, sets and dicts that hold some; a value of another kind is
        returned as it is, unless a function was registered for its type with
        ``track_provenance.register``.
    :param provenance: a frozenset of names.
    :returns: the value; a new container, where it holds a tensor.

    >>> get_provenance(track_provenance([torch.ones(2)], frozenset({"x"})))
    frozenset({'x'})
    """
    return x


@track_provenance.register
def _track_tensor(x: Tensor, provenance: Provenance) -> Tensor:
    known = _of_tensor(x)
    if provenance <= known:
        return x
    return _as_class(x, ProvenanceTensor, known | provenance)


@track_provenance.register(tuple)
@track_provenance.register(list)
@track_provenance.register(set)
@track_provenance.register(frozenset)
@track_provenance.register(dict)
def _track_parts(x: Any, provenance: Provenance) -> Any:
    return _map_parts(x, lambda part: track_provenance(part, provenance))


@singledispatch
def extract_provenance(x: Any) -> tuple[Any, Provenance]:
    """Take the provenance off a value.

    :param x: a tensor, or tuples, lists, sets and dicts that hold some; a value of another kind has
        none, unless a function was registered for its type with ``extract_provenance.register``.
    :returns: the value without a provenance, and the union of those in it.

    >>> extract_provenance((ProvenanceTensor(torch.tensor(1.0), {"x"}), 2))
    ((tensor(1.), 2), frozenset({'x'}))
    """
    return x, NOTHING


@extract_provenance.register
def _extract_tensor(x: Tensor) -> tuple[Tensor, Provenance]:
    provenance = _of_tensor(x)
    return (_as_class(x, Tensor) if provenance else x), provenance


@extract_provenance.register(tuple)
@extract_provenance.register(list)
@extract_provenance.register(set)
@extract_provenance.register(frozenset)
@extract_provenance.register(dict)
def _extract_parts(x: Any) -> tuple[Any, Provenance]:
    found: list[Provenance] = []

    def extract(part: Any) -> Any:
        plain, provenance = extract_provenance(part)
        found.append(provenance)
        return plain

    plain = _map_parts(x, extract)
    return plain, NOTHING.union(*found)


def get_provenance(x: Any) -> Provenance:
    """Return what a value was computed from.

    :param x: a value, as for :func:`extract_provenance`.

    >>> x = track_provenance(torch.tensor(1.0), frozenset({"x"}))
    >>> y = track_provenance(torch.tensor(2.0), frozenset({"y"}))
    >>> sorted(get_provenance({"sum": x + y}))
    ['x', 'y']
    """
    if isinstance(x, Tensor):
        return _of_tensor(x)
    if type(x) in (tuple, list, dict):  # what torch functions are called with is not taken apart
        return NOTHING.union(*map(get_provenance, x.values() if type(x) is dict else x))
    _, provenance = extract_provenance(x)
    return provenance


def detach_provenance(x: T) -> T:
    """Return a value without its provenance.

    :param x: a value, as for :func:`extract_provenance`.

    >>> detach_provenance(track_provenance(torch.tensor(1.0), frozenset({"x"})))
    tensor(1.)
    """
    plain: T
    plain, _ = extract_provenance(x)
    return plain


@contextmanager
def plain_afterwards() -> Iterator[None]:
    """Let tensors that become tracked by in-place writes in a block be plain again at its end.

    >>> total = torch.zeros(())
    >>> with plain_afterwards():
    ...     _ = total.add_(ProvenanceTensor(torch.tensor(1.0), {"x"}))
    ...     get_provenance(total)
    frozenset({'x'})
    >>> total
    tensor(1.)
    """
    outer, _changed.classes = _changed.classes, []
    try:
        yield
    finally:
        for tensor, its_class in reversed(_changed.classes):
            tensor.__class__ = its_class
            vars(tensor).pop("_provenance", None)
        _changed.classes = outer


@contextmanager
def values_read(except_by: tuple[str, ...] = ()) -> Iterator[set[Any]]:
    """Collect the provenance of tensors that a block turns into plain Python values.

    What a program does after an ``if x > 0``, an ``x.item()`` or an ``int(x)`` may depend on ``x``
    without any tensor to tell of it.

    :param except_by: beginnings of the names of modules whose reading does not count.
    :returns: a set that grows as values are read.

    >>> x = ProvenanceTensor(torch.tensor(1.0), {"x"})
    >>> with values_read() as seen:
    ...     if x > 0:
    ...         print(seen)
    {'x'}
    """
    outer, outer_except = _reading.seen, _reading.except_by
    _reading.seen, _reading.except_by = set(), except_by
    try:
        yield _reading.seen
    finally:
        _reading.seen, _reading.except_by = outer, outer_except


class _Reading(threading.local):
    """What plain Python values were computed from, while a thread wants to know."""

    seen: set[Any] | None = None
    except_by: tuple[str, ...] = ()


_reading = _Reading()

_READERS = {"item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__array__"}
_READERS |= {f"__{kind}__" for kind in ("bool", "int", "float", "complex", "index", "contains")}
_READERS |= {"__format__"}
_OWN = (__name__, "torch._tensor", "torch.overrides", "torch.functional")


def _is_reading(func: Any) -> bool:
    if getattr(func, "__name__", "") not in _READERS:
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OWN:
        frame = frame.f_back
    return not str(frame.f_globals.get("__name__")).startswith(_reading.except_by or ("\0",))


class _Changed(threading.local):
    """The tensors that in-place writes of a thread made tracked, and the classes they had."""

    classes: list[tuple[Any, type]] | None = None


_changed = _Changed()


def _of_tensor(x: Tensor) -> Provenance:
    return x._provenance if isinstance(x, ProvenanceTensor) else NOTHING


def _as_class(x: Tensor, its_class: type[Tensor], provenance: Provenance = NOTHING) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        same: Any = x.view_as(x)
    same.__class__ = its_class  # while a graph is captured, the tensor itself must stay known
    attributes = vars(same)
    attributes.update(vars(x))  # such as a parameter's way to its leaf
    attributes.pop("_provenance", None)
    if provenance:
        attributes["_provenance"] = provenance
    return same  # type: ignore[no-any-return]


def _map_parts(x: Any, fn: Callable[[Any], Any]) -> Any:
    """Apply a function to what a container holds; one in which nothing changes is kept."""
    if isinstance(x, Mapping):
        values = {key: fn(value) for key, value in x.items()}
        if all(values[key] is x[key] for key in x):
            return x
        mapped: Any = copy.copy(x)
        mapped.update(values)
        return mapped
    before = list(x)
    after = [fn(part) for part in before]
    if all(new is old for new, old in zip(after, before, strict=True)):
        return x
    return x._make(after) if hasattr(x, "_make") else type(x)(after)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors that a torch function writes into."""
    name = getattr(func, "__name__", "")
    is_plain_in_place = name.endswith("_") and not name.endswith("__")
    if args and (is_plain_in_place or name in _IN_PLACE):
        yield from _tensors_in(args[0])
    yield from _tensors_in(kwargs.get("out"))


_OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "div", "mod", "pow", "matmul"]
_OPERATORS += ["and", "or", "xor", "lshift", "rshift"]
_IN_PLACE = {"__setitem__", *(f"__i{operator}__" for operator in _OPERATORS)}


def _tensors_in(x: Any) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, list | tuple):
        for part in x:
            yield from _tensors_in(part)


def _remember_in_place(x: Any, provenance: Provenance) -> None:
    if isinstance(x, ProvenanceTensor):
        x._provenance |= provenance
    elif provenance and type(x) in (Tensor, torch.nn.Parameter):
        if _changed.classes is not None:
            _changed.classes.append((x, type(x)))
        x.__class__ = ProvenanceTensor
        x._provenance = provenance
