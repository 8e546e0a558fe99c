"""Indexing a batch of tensors by a batch of indices.

In NumPy, ``x[..., i, :, j]`` with arrays ``i`` and ``j`` puts the dims of their common shape in a
place that depends on what stands between them, and ``x[..., i]`` is an outer product of the dims on
the left with those of ``i``. Here all indices broadcast with each other and, where an Ellipsis
stands first, with the dims on the left; the shape that comes out of that is on the left of the
result, and what was sliced is on its right. So code that indexes parameters by discrete variables
works unchanged when enumeration adds dims to these on the left.
"""

from typing import Any

import torch
from torch import Tensor


def index(tensor: Any, args: Any) -> Any:
    """Return ``tensor[args]``.

    :param tensor: a tensor, or anything that can be indexed.
    :param args: what stands between the brackets: one index, or a tuple of them.

    >>> index(torch.arange(3), 1)
    tensor(1)
    """
    return tensor[args]


def vindex(tensor: Any, args: Any) -> Any:
    r"""Look up entries with indices that broadcast with each other.

    The result of ``vindex(x, (..., i, slice(None), j))`` is, with all shapes broadcast together,

    .. math:: y_{b, e} = x_{b, i_b, e, j_b}.

    :param tensor: a tensor of parameters.
    :param args: an index, or a tuple of them: tensors of integers, integers, slices, and an
        Ellipsis in the first place. Dims that are left over on the right are taken whole. Without
        a tensor that has dims, this is ``tensor[args]``.
    :return: a tensor of shape *batch + event*: *batch* is the common shape of all indices that are
        no slices and, where there is an Ellipsis, of the dims on its left; *event* are the dims
        that are sliced or left over.
    :raises NotImplementedError: for an Ellipsis in another place.
    :raises IndexError: for too many indices, those that are no integers, and those out of range.

    >>> table = torch.arange(6).reshape(2, 3)  # a row for each element of a plate
    >>> vindex(table, (..., torch.tensor([2, 0])))
    tensor([2, 3])
    >>> vindex(table, (..., torch.tensor([[0], [1], [2]]))).shape  # enumerated on the left
    torch.Size([3, 2])
    """
    parts = list(args) if isinstance(args, tuple) else [args]
    if not any(isinstance(part, Tensor) and part.dim() for part in parts):
        return tensor[args]
    batched = parts[0] is Ellipsis
    del parts[: int(batched)]
    if any(part is Ellipsis for part in parts):
        raise NotImplementedError(
            "Vindex takes an Ellipsis in the first place only. Write ':' for each dim to keep, or "
            "leave it out: dims on the right are kept."
        )
    if not isinstance(tensor, Tensor) or len(parts) > tensor.dim():
        return tensor[args]  # raises
    lead = tensor.dim() - len(parts) if batched else 0
    sliced = [lead + i for i, part in enumerate(parts) if isinstance(part, slice)]
    if any(parts[dim - lead] != slice(None) for dim in sliced):
        cut = [part if isinstance(part, slice) else slice(None) for part in parts]
        tensor = tensor[(slice(None),) * lead + tuple(cut)]
    fancy = [(lead + i, part) for i, part in enumerate(parts) if not isinstance(part, slice)]
    rest = range(lead + len(parts), tensor.dim())
    order = [*range(lead), *(dim for dim, _ in fancy), *sliced, *rest]
    places = [
        torch.arange(tensor.shape[dim], device=tensor.device).reshape([-1] + [1] * (lead - 1 - dim))
        for dim in range(lead)
    ]
    positions = [_positions(part, tensor.device) for _, part in fancy]
    return tensor.permute(order)[tuple(places + positions)]


def _positions(part: Any, device: torch.device) -> Tensor:
    positions = None if part is None else torch.as_tensor(part, device=device)
    if positions is None or positions.dtype.is_floating_point or positions.dtype == torch.bool:
        raise IndexError(
            "Vindex takes integers, tensors of integers and slices together, got "
            f"{part if positions is None else positions.dtype}. Index with a mask or None in "
            "brackets of its own."
        )
    return positions.long()


class Vindex:
    """A tensor that is indexed in brackets as :func:`vindex` does it.

    :param tensor: a tensor of parameters.

    >>> Vindex(torch.eye(3))[..., torch.tensor([0, 1, 1])]
    tensor([1., 1., 0.])
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Any:
        return vindex(self._tensor, args)


class Index:
    """A tensor that is indexed in brackets as usual, to stand where :class:`Vindex` could.

    :param tensor: a tensor, or anything that can be indexed.

    >>> Index(torch.eye(2))[..., 0]
    tensor([1., 0.])
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Any:
        return index(self._tensor, args)
