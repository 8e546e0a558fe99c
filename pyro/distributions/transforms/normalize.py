"""A map to vectors of length 1."""

from typing import Any

import torch
from torch.distributions import transform_to
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints

__all__ = ["Normalize"]


class Normalize(Transform):
    """Map a vector to the one of length 1 that points in its direction.

    It is one way back: the length is forgotten.

    :param p: the order of the norm that measures length, at least 1.
    :param cache_size: 1 to remember the latest pair of value and image.
    :raises ValueError: for another order.

    >>> Normalize()(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """

    domain = constraints.real_vector
    codomain = constraints.sphere

    def __init__(self, p: float = 2, cache_size: int = 0) -> None:
        if not p >= 1:
            raise ValueError(f"Normalize: 'p' is the order of a norm, at least 1, not {p}.")
        self.p = p
        super().__init__(cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Normalize) and other.p == self.p

    def with_cache(self, cache_size: int = 1) -> "Normalize":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        return self if cache_size == self._cache_size else Normalize(self.p, cache_size)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x, p=self.p, dim=-1)

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return y


@transform_to.register(constraints.sphere)
def _to_sphere(constraint: Any) -> Transform:
    return Normalize()
