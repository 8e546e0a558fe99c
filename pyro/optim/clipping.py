"""Clips the gradients of many parameters in few operations, each by itself."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pyro.optim.arguments import Arguments

Bounds = tuple[float | None, float | None]


def clip_bounds(arguments: Arguments) -> Bounds:
    """Read the arguments that say how to clip.

    :param arguments: with the optional keys ``clip_norm``, the largest norm of a parameter's
        gradient, and ``clip_value``, the largest magnitude of an element of it.
    :returns: the two, None where there is no such bound.
    :raises TypeError: where there is another key.

    >>> clip_bounds({"clip_value": 1.0})
    (None, 1.0)
    """
    unknown = sorted(arguments.keys() - {"clip_norm", "clip_value"})
    if unknown:
        raise TypeError(
            f"clip_args has no key {', '.join(map(repr, unknown))}; "
            "it takes 'clip_norm' and 'clip_value'."
        )
    return arguments.get("clip_norm"), arguments.get("clip_value")


@torch.no_grad()
def clip_gradients(params: Iterable[tuple[Tensor, Bounds]]) -> None:
    """Scale gradients down to their largest norm, then clip their elements, in place.

    :param params: parameters and the bounds of their gradients.

    >>> x = torch.zeros(2, requires_grad=True)
    >>> x.grad = torch.tensor([3.0, 4.0])
    >>> clip_gradients([(x, (2.5, 1.75))])
    >>> x.grad
    tensor([1.5000, 1.7500])
    """
    by_bounds: dict[Bounds, list[Tensor]] = {}
    for p, bounds in params:
        if p.grad is not None and bounds != (None, None):
            by_bounds.setdefault(bounds, []).append(_elements(p, p.grad))
    for (norm, value), gradients in by_bounds.items():
        if norm is not None:
            _scale_down(gradients, norm)
        if value is not None:
            torch._foreach_clamp_min_(gradients, -value)
            torch._foreach_clamp_max_(gradients, value)


def _elements(p: Tensor, gradient: Tensor) -> Tensor:
    """Give the elements of a gradient as one tensor that shares their memory."""
    if not gradient.is_sparse:
        return gradient
    p.grad = gradient.coalesce()
    return p.grad.values()


def _scale_down(gradients: list[Tensor], largest: float) -> None:
    factors = torch._foreach_norm(gradients)
    torch._foreach_add_(factors, 1e-6)  # as torch.nn.utils.clip_grad_norm_ does
    torch._foreach_reciprocal_(factors)
    torch._foreach_mul_(factors, largest)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)
