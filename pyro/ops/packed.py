"""Packed tensors: no dimension of size 1, and a letter for each of the others.

A packed tensor holds the letters of its dimensions, from the left, as ``_pyro_dims``. Tensors that
were packed with one alphabet line up by their letters, however far apart their dimensions were, so
a batch may have far more dimensions than one tensor could. A plain number is packed as it is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import torch

from pyro.ops.masking import is_identically_one
from pyro.ops.masking import scale_and_mask as _scale_and_mask

T = TypeVar("T")


@overload
def pack(value: torch.Tensor, dim_to_symbol: Mapping[int, str]) -> torch.Tensor: ...


@overload
def pack(value: T, dim_to_symbol: Mapping[int, str]) -> T: ...


def pack(value: Any, dim_to_symbol: Mapping[int, str]) -> Any:
    """Squeeze a tensor and name the dimensions that are left.

    :param value: a tensor; a number, a bool or None comes back as it is.
    :param dim_to_symbol: the letters by dimension, counted from the right: -1, -2, …
    :raises ValueError: where a dimension of another size than 1 has no letter, or two have the
        same.

    >>> packed = pack(torch.zeros(2, 1, 3), {-1: "a", -3: "b"})
    >>> packed.shape, packed._pyro_dims
    (torch.Size([2, 3]), 'ba')
    """
    if not isinstance(value, torch.Tensor):
        return value
    rank = value.dim()
    wide = [i - rank for i, size in enumerate(value.shape) if size != 1]
    try:
        dims = "".join([dim_to_symbol[dim] for dim in wide])
    except KeyError:
        known = sorted(dim_to_symbol, reverse=True)
        raise ValueError(
            f"a tensor of shape {tuple(value.shape)} has more than one element at dims {wide}, "
            f"of which only {known} have a meaning. Reshape values and parameters, or wrap the "
            "sites in plates."
        ) from None
    if len(set(dims)) != len(dims):
        raise ValueError(f"two dims of a tensor of shape {tuple(value.shape)} share a letter.")
    return named(value.squeeze(), dims)


def unpack(value: Any, symbol_to_dim: Mapping[str, int]) -> Any:
    """Put the dimensions of a packed tensor back where they belong.

    :param value: a packed tensor; a number comes back as it is.
    :param symbol_to_dim: the dimensions by letter, counted from the right: -1, -2, …
    :raises KeyError: where a letter has no dimension.

    >>> unpack(pack(torch.zeros(2, 3), {-1: "a", -2: "b"}), {"a": -3, "b": -1}).shape
    torch.Size([3, 1, 2])
    """
    if not isinstance(value, torch.Tensor):
        return value
    dims = dims_of(value)
    positions = [symbol_to_dim[symbol] for symbol in dims]
    order = sorted(range(len(dims)), key=positions.__getitem__)
    shape = [1] * max((-dim for dim in positions), default=0)
    for dim, size in zip(positions, value.shape, strict=True):
        shape[dim] = size
    return value.permute(order).reshape(shape)


def broadcast_all(*values: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    """Expand packed tensors to one shape, their dimensions in one order.

    :param values: packed tensors.
    :param kwargs: ``dims``, the letters of the result, all that occur in alphabetical order if left
        out; ``sizes``, the sizes by letter, for those that occur in no tensor.
    :raises ValueError: where two tensors disagree on a size, or a letter that occurs is not wanted.

    >>> rows, columns = pack(torch.zeros(2), {-1: "r"}), pack(torch.zeros(3), {-1: "c"})
    >>> [value.shape for value in broadcast_all(rows, columns)]
    [torch.Size([3, 2]), torch.Size([3, 2])]
    """
    sizes = _sizes(values, kwargs.pop("sizes", None) or {})
    wanted = kwargs.pop("dims", None)
    if kwargs:
        raise TypeError(f"broadcast_all() takes dims and sizes, got {', '.join(kwargs)}.")
    dims = "".join(sorted(sizes)) if wanted is None else wanted
    missing = [symbol for symbol in dims if symbol not in sizes]
    if missing:
        raise ValueError(f"no tensor says how long dim {missing[0]!r} is. Give sizes=.")
    shape = [sizes[symbol] for symbol in dims]
    return tuple(named(aligned(value, dims).expand(shape), dims) for value in values)


def gather(value: torch.Tensor, index: torch.Tensor, dim: str) -> torch.Tensor:
    """Look up entries along one dimension of a packed tensor.

    :param value: where to look.
    :param index: packed integer positions, without ``dim``.
    :param dim: the letter of the dimension, which the result has not.
    :returns: a packed tensor with all other dimensions of both.
    :raises ValueError: where ``value`` has no such dimension or ``index`` has.

    >>> table = pack(torch.tensor([[1., 2.], [3., 4.]]), {-1: "a", -2: "b"})
    >>> gather(table, pack(torch.tensor([1, 0]), {-1: "b"}), "a")
    tensor([2., 3.])
    """
    if dim not in dims_of(value) or dim in dims_of(index):
        raise ValueError(
            f"cannot look up along dim {dim!r}: the values have dims {dims_of(value)!r}, the "
            f"positions {dims_of(index)!r}; it must be one of the former and none of the latter."
        )
    kept = dims_of(value).replace(dim, "")
    dims = kept + "".join(symbol for symbol in dims_of(index) if symbol not in kept)
    sizes = _sizes((value, index), {})
    shape = [sizes[symbol] for symbol in dims]
    where = aligned(index, dims).expand(shape).unsqueeze(-1)
    entries = aligned(value, dims + dim).expand([*shape, sizes[dim]])
    return named(entries.gather(-1, where).squeeze(-1), dims)


def mul(lhs: Any, rhs: Any) -> Any:
    """Multiply packed tensors or numbers.

    :param lhs: a packed tensor or a number.
    :param rhs: a packed tensor or a number.

    >>> mul(pack(torch.ones(2), {-1: "a"}), pack(torch.ones(3), {-1: "b"}))._pyro_dims
    'ab'
    """
    if isinstance(lhs, torch.Tensor) and isinstance(rhs, torch.Tensor):
        lhs, rhs = _side_by_side(lhs, rhs)
    return _like(lhs * rhs, lhs, rhs)


def neg(value: Any) -> Any:
    """Negate a packed tensor or a number.

    :param value: a packed tensor or a number.

    >>> neg(pack(torch.ones(2), {-1: "a"}))
    tensor([-1., -1.])
    """
    return _like(-value, value)


def exp(value: Any) -> Any:
    """Return the exponential of a packed tensor or a number.

    :param value: a packed tensor or a number.

    >>> exp(0.0), exp(pack(torch.zeros(2), {-1: "a"}))
    (1.0, tensor([1., 1.]))
    """
    if isinstance(value, torch.Tensor):
        return _like(value.exp(), value)
    return math.exp(value)


def scale_and_mask(tensor: Any, scale: Any = 1.0, mask: Any = None) -> Any:
    """Return ``scale * tensor`` where the mask holds and 0 elsewhere.

    :param tensor: packed log densities, or a number.
    :param scale: a nonnegative factor, a number or a packed tensor.
    :param mask: a bool, a packed tensor of bools, or None, which masks nothing.

    >>> mask = pack(torch.tensor([True, False]), {-1: "a"})
    >>> scale_and_mask(pack(torch.ones(2), {-1: "a"}), 2.0, mask)
    tensor([2., 0.])
    """
    if not isinstance(tensor, torch.Tensor):
        if not isinstance(scale, torch.Tensor) and not isinstance(mask, torch.Tensor):
            return _scale_and_mask(tensor, scale, mask)
        tensor = named(torch.scalar_tensor(tensor), "")
    parts = [tensor, *(part for part in (scale, mask) if isinstance(part, torch.Tensor))]
    if len(parts) == 1 and mask in (None, True) and is_identically_one(scale):
        return tensor
    aligned = iter(_side_by_side(*parts))
    tensor = next(aligned)
    scale, mask = (next(aligned) if isinstance(x, torch.Tensor) else x for x in (scale, mask))
    return named(_scale_and_mask(tensor, scale, mask), dims_of(tensor))


def rename_equation(equation: str, *operands: torch.Tensor) -> str:
    """Spell an einsum equation with the letters of its packed operands.

    :param equation: an equation such as ``"ab,bc->ac"``.
    :param operands: packed tensors, one for each input.
    :raises ValueError: where inputs and operands do not match.

    >>> letters = {-1: "x", -2: "y"}
    >>> rename_equation("ab,b->a", pack(torch.zeros(2, 3), letters), pack(torch.zeros(3), letters))
    'yx,x->y'
    """
    inputs = equation.split("->")[0].split(",")
    spelled = [dims_of(operand) for operand in operands]
    if [len(dims) for dims in inputs] != [len(dims) for dims in spelled]:
        raise ValueError(
            f"the equation {equation!r} does not fit operands with dims {', '.join(spelled)}."
        )
    letters = dict(zip("".join(inputs), "".join(spelled), strict=True))
    return "".join(letters.get(character, character) for character in equation)


def dims_of(value: torch.Tensor) -> str:
    """Return the letters of a packed tensor.

    :param value: a packed tensor.

    >>> dims_of(pack(torch.zeros(2, 3), {-1: "a", -2: "b"}))
    'ba'
    """
    dims: str = value._pyro_dims  # type: ignore[attr-defined]
    return dims


def named(value: torch.Tensor, dims: str) -> torch.Tensor:
    """Name the dimensions of a tensor in place, and return it.

    :param value: a tensor.
    :param dims: a letter for each of its dimensions, from the left.

    >>> named(torch.zeros(2, 3), "ab")._pyro_dims
    'ab'
    """
    value._pyro_dims = dims  # type: ignore[attr-defined]
    return value


def _like(value: Any, *prototypes: Any) -> Any:
    """Name a result as the first tensor among those that it was computed from."""
    tensor = next((p for p in prototypes if isinstance(p, torch.Tensor)), None)
    return value if tensor is None else named(value, dims_of(tensor))


def _sizes(values: Iterable[torch.Tensor], given: Mapping[str, int]) -> dict[str, int]:
    sizes = dict(given)
    for value in values:
        for symbol, size in zip(dims_of(value), value.shape, strict=True):
            if sizes.setdefault(symbol, size) != size:
                raise ValueError(f"dim {symbol!r} is both {sizes[symbol]} and {size} long.")
    return sizes


def aligned(value: torch.Tensor, dims: Sequence[str]) -> torch.Tensor:
    """Bring a packed tensor's dimensions into an order, with size 1 where it has none.

    :param value: a packed tensor.
    :param dims: all of its letters, and any others.
    :raises ValueError: where a letter of the tensor is missing.

    >>> aligned(named(torch.zeros(2, 3), "ab"), "bca").shape
    torch.Size([3, 1, 2])
    """
    own = dims_of(value)
    if own == dims:
        return value
    surplus = set(own) - set(dims)
    if surplus:
        raise ValueError(f"a tensor with dims {own!r} cannot be brought to dims {dims!r}.")
    shape = [value.shape[own.index(symbol)] if symbol in own else 1 for symbol in dims]
    return value.permute([own.index(symbol) for symbol in dims if symbol in own]).reshape(shape)


def _side_by_side(*values: torch.Tensor) -> list[torch.Tensor]:
    """Align packed tensors without expanding them; the first keeps its order of dims."""
    _sizes(values, {})
    dims = "".join(dict.fromkeys("".join(map(dims_of, values))))
    # A view of its own for each, so that no operand is renamed.
    return [named(aligned(value, dims)[...], dims) for value in values]
