"""Shapes and sums over whole blocks of dimensions."""

from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T", torch.Tensor, float)


def broadcast_shape(*shapes: Sequence[int], strict: bool = False) -> tuple[int, ...]:
    """Return the shape to which all the given shapes broadcast.

    :param shapes: any number of shapes, aligned at the right as torch aligns them.
    :param strict: refuse to stretch a size of 1; only missing dimensions on the left are filled in.
    :return: a plain tuple; ``()`` where no shape is given.
    :raises ValueError: where two sizes differ.

    >>> broadcast_shape((2, 1), (3,))
    (2, 3)
    """
    if len(shapes) == 2 and not strict and shapes[0] == shapes[1]:
        return tuple(shapes[0])
    result = [1] * max(0, 0, *map(len, shapes))
    settled = [False] * len(result)
    for shape in shapes:
        offset = len(result) - len(shape)
        for i, size in enumerate(shape, offset):
            if settled[i] and size != result[i] and (strict or 1 not in (size, result[i])):
                listed = " and ".join(str(tuple(s)) for s in shapes)
                how = " without stretching a size of 1" if strict else ""
                raise ValueError(
                    f"shape mismatch: {listed} do not broadcast{how}: dimension {i - len(result)} "
                    f"would be both {result[i]} and {size}."
                )
            result[i] = size if not settled[i] or result[i] == 1 else result[i]
            settled[i] = True
    return tuple(result)


def expands_to(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Tell whether a tensor of one shape can be expanded to another.

    :param shape: the shape it has.
    :param target: the shape it shall have.

    >>> expands_to((2, 1), (4, 2, 3)), expands_to((2,), (1,))
    (True, False)
    """
    extra = len(target) - len(shape)
    return extra >= 0 and all(
        size in (1, wanted) for size, wanted in zip(shape, target[extra:], strict=True)
    )


def broadcast_tensors_without_dim(tensors: Sequence[torch.Tensor], dim: int) -> list[torch.Tensor]:
    """Expand tensors to one shape in all dimensions but one, as for :func:`torch.cat`.

    :param tensors: what to expand.
    :param dim: the dimension in which each keeps its size; negative, and within the rank of each.
    :raises ValueError: where ``dim`` is not of that kind, or other sizes differ.

    >>> [x.shape for x in broadcast_tensors_without_dim([torch.ones(3, 1, 2), torch.ones(5)], -1)]
    [torch.Size([3, 1, 2]), torch.Size([3, 1, 5])]
    """
    rank = min((tensor.dim() for tensor in tensors), default=0)
    if not -rank <= dim < 0:
        raise ValueError(
            f"dim is {dim}, expected a dimension that all tensors have, counted from the right: "
            f"-{rank} to -1."
        )
    common = list(broadcast_shape(*(_with_size_one(tensor.shape, dim) for tensor in tensors)))
    shapes = (common[:dim] + [t.size(dim)] + common[len(common) + dim + 1 :] for t in tensors)
    return [tensor.expand(shape) for tensor, shape in zip(tensors, shapes, strict=True)]


def _with_size_one(shape: torch.Size, dim: int) -> list[int]:
    sizes = list(shape)
    sizes[dim] = 1
    return sizes


def sum_rightmost(value: T, dim: int) -> T:
    """Sum out dimensions on the right.

    :param value: a tensor; a plain number comes back as it is.
    :param dim: how many to sum out; negative: how many on the left to keep.

    >>> sum_rightmost(torch.ones(2, 3, 4), 2)
    tensor([12., 12.])
    >>> sum_rightmost(torch.ones(2, 3, 4), -2).shape
    torch.Size([2, 3])
    """
    if not isinstance(value, torch.Tensor):
        return value
    count = dim if dim >= 0 else value.dim() + dim
    if count == 0:
        return value
    return value.sum(-1) if count == 1 else value.sum(tuple(range(-count, 0)))


def sum_leftmost(value: T, dim: int) -> T:
    """Sum out dimensions on the left.

    :param value: a tensor; a plain number comes back as it is.
    :param dim: how many to sum out; negative: how many on the right to keep.

    >>> sum_leftmost(torch.ones(2, 3, 4), 2)
    tensor([6., 6., 6., 6.])
    """
    if not isinstance(value, torch.Tensor):
        return value
    count = dim if dim >= 0 else value.dim() + dim
    return value.sum(tuple(range(count))) if count else value


def gather(value: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    """Look up entries along one dimension; the other dimensions broadcast.

    :param value: where to look.
    :param index: integer positions; its size along ``dim`` is that of the result.
    :param dim: the dimension of the wider of the two tensors.

    >>> gather(torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([1]), -1)
    tensor([[2.],
            [4.]])
    """
    rank = max(value.dim(), index.dim())
    dim = dim if dim < 0 else dim - rank
    value = value[(None,) * (rank - value.dim())]
    index = index[(None,) * (rank - index.dim())]
    others = list(broadcast_shape(_without(value.shape, dim), _without(index.shape, dim)))
    at = rank + dim
    value = value.expand(*others[:at], value.size(dim), *others[at:])
    index = index.expand(*others[:at], index.size(dim), *others[at:])
    return value.gather(dim, index)


def _without(shape: torch.Size, dim: int) -> list[int]:
    sizes = list(shape)
    del sizes[dim]
    return sizes


def eye_like(value: torch.Tensor, m: int, n: int | None = None) -> torch.Tensor:
    """Return an identity matrix of the dtype and on the device of another tensor.

    :param value: the tensor to be like.
    :param m: rows.
    :param n: columns, ``m`` where left out.

    >>> eye_like(torch.zeros(7), 2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return torch.eye(m, m if n is None else n, dtype=value.dtype, device=value.device)


def scalar_like(prototype: torch.Tensor, fill_value: float) -> torch.Tensor:
    """Return a number as a tensor without dimensions, of the dtype and on the device of another.

    :param prototype: the tensor to be like.
    :param fill_value: the number.

    >>> scalar_like(torch.zeros(2, dtype=torch.float64), 0.5)
    tensor(0.5000, dtype=torch.float64)
    """
    return torch.scalar_tensor(fill_value, dtype=prototype.dtype, device=prototype.device)


def logsumexp(tensor: torch.Tensor, dim: int = -1, keepdim: bool = False) -> torch.Tensor:
    """Return the logarithm of a sum of exponentials, without overflow.

    :param tensor: log terms.
    :param dim: the dimension to sum over.
    :param keepdim: whether it stays with size 1.

    >>> logsumexp(torch.zeros(2))
    tensor(0.6931)
    """
    return torch.logsumexp(tensor, dim, keepdim)
