"""Marks on tensors that hold the whole support ``0, 1, ...`` of a law along one dimension.

A law that is asked for its log weights at all of its values can hand out its table, where it would
have to look up each. The mark is void when the tensor was changed in place.
"""

import torch


def mark_support(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Note that the value at place ``k`` along a dimension is ``k``, wherever else, and return it.

    :param values: integers, of size 1 in all other dimensions.
    :param dim: the dimension, counted from the right.

    >>> support_dim(mark_support(torch.arange(3).unsqueeze(-1), -2))
    -2
    """
    values._pyro_support = dim, values._version  # type: ignore[attr-defined]
    return values


def support_dim(values: torch.Tensor) -> int | None:
    """Return the dimension along which a tensor was marked, or None.

    :param values: any tensor.

    >>> x = mark_support(torch.arange(3), -1)
    >>> x += 1
    >>> support_dim(x) is None
    True
    """
    mark: tuple[int, int] | None = getattr(values, "_pyro_support", None)
    return mark[0] if mark is not None and mark[1] == values._version else None
