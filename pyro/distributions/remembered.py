"""What a draw remembers of how it came about, for a law to score it by.

It is kept on the tensor itself, so that a law stays without state, and another law of the same kind
that scores the value knows it too. Whatever makes another tensor of the value forgets it.
"""

from torch import Tensor

_ATTRIBUTE = "_pyro_origin"


def remember(value: Tensor, origin: Tensor) -> Tensor:
    """Let a tensor remember another one, and return it.

    :param value: the tensor.
    :param origin: what it was made from.
    """
    setattr(value, _ATTRIBUTE, origin)
    return value


def origin_of(value: Tensor) -> Tensor | None:
    """Return what :func:`remember` left on a tensor, or None.

    :param value: the tensor.

    >>> import torch
    >>> value = remember(torch.ones(1), torch.tensor([0.9]))
    >>> origin_of(value), origin_of(value + 1)
    (tensor([0.9000]), None)
    """
    origin: Tensor | None = getattr(value, _ATTRIBUTE, None)
    return origin
