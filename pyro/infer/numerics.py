"""Small operations that take tensors and plain numbers alike."""

import math
from collections.abc import Iterable, Sequence

import torch

Number = int | float


def torch_item(x: torch.Tensor | Number) -> Number:
    """Return a number as a plain Python number.

    :param x: a tensor with one element, or a number, which comes back as it is.

    >>> torch_item(torch.tensor(0.5)), torch_item(2)
    (0.5, 2)
    """
    return x.item() if isinstance(x, torch.Tensor) else x


def torch_backward(x: torch.Tensor | Number, retain_graph: bool | None = None) -> None:
    """Backpropagate from a scalar, where there is anything to backpropagate through.

    :param x: a scalar tensor; one without a graph, and a number, have no gradient and are skipped.
    :param retain_graph: passed on to :meth:`torch.Tensor.backward`.

    >>> w = torch.tensor(3.0, requires_grad=True)
    >>> torch_backward(w**2)
    >>> torch_backward(1.0)
    >>> w.grad
    tensor(6.)
    """
    if isinstance(x, torch.Tensor) and x.requires_grad:
        x.backward(retain_graph=retain_graph)


def torch_exp(x: torch.Tensor | Number) -> torch.Tensor | float:
    """Return the exponential of a tensor or a number.

    :param x: the exponent.

    >>> torch_exp(0), torch_exp(torch.zeros(()))
    (1.0, tensor(1.))
    """
    return x.exp() if isinstance(x, torch.Tensor) else math.exp(x)


def torch_sum(tensor: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Sum out some dimensions; no dimensions, unlike in torch, means none.

    :param tensor: a tensor.
    :param dims: the dimensions to sum out.

    >>> torch_sum(torch.ones(2, 3), (-1,)), torch_sum(torch.ones(2), ())
    (tensor([3., 3.]), tensor([1., 1.]))
    """
    return tensor.sum(tuple(dims)) if dims else tensor


def zero_grads(tensors: Iterable[torch.Tensor]) -> None:
    """Forget the gradients that tensors hold.

    They are dropped rather than filled with zeros: the next backward pass then writes where it
    would have had to add, and an optimiser leaves alone what had no gradient.

    :param tensors: leaves of the graph, such as unconstrained parameters.

    >>> w = torch.ones(2, requires_grad=True)
    >>> w.sum().backward()
    >>> zero_grads([w])
    >>> w.grad is None
    True
    """
    for tensor in tensors:
        tensor.grad = None
