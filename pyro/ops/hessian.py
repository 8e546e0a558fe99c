"""Matrices of second derivatives."""

from collections.abc import Sequence

import torch
from torch import Tensor


def hessian(y: Tensor, xs: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the matrix of second derivatives of a number in all entries of some tensors.

    :param y: a scalar, computed from the tensors.
    :param xs: one tensor or several; their entries are counted row by row, one after the other.
    :return: of shape ``(n, n)``, where ``n`` is the number of entries. What ``y`` does not depend
        on, or only linearly, has derivatives of zero.
    :raises ValueError: where ``y`` is not a scalar.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> hessian(x[0] ** 2 * x[1], x)
    tensor([[4., 2.],
            [2., 0.]])
    """
    if y.dim():
        raise ValueError(f"y has shape {tuple(y.shape)}, expected a scalar.")
    sources = [xs] if isinstance(xs, Tensor) else list(xs)
    gradient = _flat_gradient(y, sources, create_graph=True)
    if not gradient.requires_grad:
        return gradient.new_zeros(len(gradient), len(gradient))
    return torch.stack([_flat_gradient(slope, sources) for slope in gradient])


def _flat_gradient(y: Tensor, xs: Sequence[Tensor], create_graph: bool = False) -> Tensor:
    if not y.requires_grad:
        return torch.cat([torch.zeros_like(x).flatten() for x in xs])
    parts = torch.autograd.grad(
        y, xs, create_graph=create_graph, retain_graph=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts])
