"""The same kind of transform several times over."""

from collections.abc import Callable
from typing import Any

from pyro.distributions.torch_transform import ComposeTransformModule

__all__ = ["iterated"]


def iterated(
    repeats: int, base_fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> ComposeTransformModule:
    """Compose transforms of one kind, each with parameters of its own.

    :param repeats: how many, at least 1.
    :param base_fn: makes one of them.
    :param args: what it takes.
    :param kwargs: what it takes by name.
    :raises ValueError: where there are none.

    >>> from pyro.distributions.transforms.planar import planar
    >>> len(iterated(3, planar, input_dim=2))
    3
    """
    if repeats < 1:
        raise ValueError(f"iterated() composes one transform at least, not {repeats}.")
    return ComposeTransformModule([base_fn(*args, **kwargs) for _ in range(repeats)])
