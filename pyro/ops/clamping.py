"""Clamps."""

from torch import Tensor


def clamp_preserve_gradients(x: Tensor, min: float, max: float) -> Tensor:
    """Clamp numbers, with the gradient of leaving them as they are.

    What lies outside of the bounds keeps a gradient, so that it can learn its way back.

    :param x: the numbers.
    :param min: the lower bound.
    :param max: the upper bound.

    >>> import torch
    >>> x = torch.tensor([-3.0, 0.5], requires_grad=True)
    >>> y = clamp_preserve_gradients(x, -1.0, 1.0)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([-1.0000,  0.5000]), tensor([1., 1.]))
    """
    held = x.detach()
    return x + (held.clamp(min, max) - held)
