"""Scaling and masking of log densities."""

from numbers import Number
from typing import TypeVar

import torch

T = TypeVar("T", torch.Tensor, float, torch.Tensor | float)
Mask = torch.Tensor | bool | None


def is_identically_zero(x: object) -> bool:
    """Tell whether ``x`` is known to be 0 without looking into a tensor.

    :param x: a number or a tensor; of a tensor nothing is known.

    >>> is_identically_zero(0.0), is_identically_zero(torch.zeros(()))
    (True, False)
    """
    return isinstance(x, Number) and x == 0


def is_identically_one(x: object) -> bool:
    """Tell whether ``x`` is known to be 1 without looking into a tensor.

    :param x: a number or a tensor; of a tensor nothing is known.

    >>> is_identically_one(1), is_identically_one(torch.ones(()))
    (True, False)
    """
    return isinstance(x, Number) and x == 1


def scale_and_mask(tensor: T, scale: torch.Tensor | float = 1.0, mask: Mask = None) -> T:
    """Return ``scale * tensor`` where the mask holds and 0 elsewhere.

    What is masked out contributes nothing, be it infinite or NaN.

    :param tensor: log densities, or a number.
    :param scale: a nonnegative factor that broadcasts with them.
    :param mask: a boolean or a boolean tensor that broadcasts with them; None masks nothing.

    >>> scale_and_mask(torch.tensor([1.0, float("nan")]), 2.0, torch.tensor([True, False]))
    tensor([2., 0.])
    """
    if is_identically_zero(tensor):
        return tensor
    if mask is False:
        return torch.zeros_like(tensor) if isinstance(tensor, torch.Tensor) else 0.0
    if not is_identically_one(scale):
        tensor = tensor * scale  # type: ignore[assignment]
    if mask is None or mask is True:
        return tensor
    return torch.where(mask, tensor, 0.0)  # type: ignore[return-value]
