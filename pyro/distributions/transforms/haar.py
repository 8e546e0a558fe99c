"""The Haar wavelet transform, as a map between arrays."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints
from pyro.distributions.transforms.discrete_cosine import checked_rank
from pyro.ops.signals import haar_transform, inverse_haar_transform

__all__ = ["HaarTransform"]


class HaarTransform(Transform):
    """Map a series to the amplitudes of wavelets, by the orthonormal Haar transform.

    :param dim: the dimension of time, negative; it and those right of it make one event.
    :param flip: whether to turn time around first. A series of odd length has its last element
        kept apart, and then its first.
    :param cache_size: 1 to remember the latest pair of value and image.
    :raises ValueError: where ``dim`` is not negative.

    >>> HaarTransform()(torch.tensor([1.0, 1.0, 1.0, 1.0])).round()
    tensor([2., 0., 0., 0.])

    Source: Haar 1910, *Zur Theorie der orthogonalen Funktionensysteme*, Mathematische Annalen 69.
    """

    bijective = True
    volume_preserving = True

    def __init__(self, dim: int = -1, flip: bool = False, cache_size: int = 0) -> None:
        if not (isinstance(dim, int) and dim < 0):
            raise ValueError(f"HaarTransform: 'dim' counts from the right, below 0; it is {dim}.")
        self.dim = dim
        self.flip = flip
        super().__init__(cache_size=cache_size)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Real arrays with the dimensions of an event."""
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Real arrays with the dimensions of an event."""
        return constraints.independent(constraints.real, -self.dim)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HaarTransform) and (other.dim, other.flip) == (self.dim, self.flip)

    def with_cache(self, cache_size: int = 1) -> "HaarTransform":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        return (
            self
            if cache_size == self._cache_size
            else HaarTransform(self.dim, self.flip, cache_size)
        )

    def _call(self, x: Tensor) -> Tensor:
        x = x.movedim(self.dim, -1)
        y = haar_transform(x.flip(-1) if self.flip else x)
        return y.movedim(-1, self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        x = inverse_haar_transform(y.movedim(self.dim, -1))
        return (x.flip(-1) if self.flip else x).movedim(-1, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return zero: volume is preserved.

        :param x: the value.
        :param y: its image.
        """
        return x.new_zeros(x.shape[: x.dim() + self.dim])

    def forward_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the image, that of the value.

        :param shape: the value's.
        """
        return checked_rank(shape, self.dim)

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the value, that of the image.

        :param shape: the image's.
        """
        return checked_rank(shape, self.dim)
