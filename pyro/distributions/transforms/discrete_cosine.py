"""The discrete cosine transform, as a map between arrays."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints
from pyro.ops.signals import dct, idct

__all__ = ["DiscreteCosineTransform"]


class DiscreteCosineTransform(Transform):
    r"""Map a series to the amplitudes of waves, by the discrete cosine transform of type II.

    Amplitudes are scaled by :math:`w_k=(k+\tfrac12)^s/c`, with :math:`c` such that the product of
    all is 1, so that volume is preserved; without smoothing the transform is orthonormal.

    :param dim: the dimension of time, negative; it and those right of it make one event.
    :param smooth: the exponent :math:`s`, at which a series whose amplitudes fall off as the
        frequency to this power has an image that is white; 0 for white noise, 1 for Brownian
        motion.
    :param cache_size: 1 to remember the latest pair of value and image.
    :raises ValueError: where ``dim`` is not negative.

    >>> DiscreteCosineTransform()(torch.ones(4))
    tensor([2., 0., 0., 0.])

    Source: Ahmed, Natarajan and Rao 1974, *Discrete Cosine Transform*, IEEE Transactions on
    Computers C-23(1).
    """

    bijective = True
    volume_preserving = True

    def __init__(self, dim: int = -1, smooth: float = 0.0, cache_size: int = 0) -> None:
        if not (isinstance(dim, int) and dim < 0):
            raise ValueError(
                f"DiscreteCosineTransform: 'dim' counts from the right, below 0; it is {dim}."
            )
        self.dim = dim
        self.smooth = float(smooth)
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
        return isinstance(other, DiscreteCosineTransform) and (other.dim, other.smooth) == (
            self.dim,
            self.smooth,
        )

    def with_cache(self, cache_size: int = 1) -> "DiscreteCosineTransform":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        return DiscreteCosineTransform(self.dim, self.smooth, cache_size)

    def _weights(self, like: Tensor) -> Tensor:
        size = like.size(self.dim)
        frequency = torch.arange(size, dtype=like.dtype, device=like.device) + 0.5
        log_weight = self.smooth * frequency.log()
        weight = (log_weight - log_weight.mean()).exp()
        return weight.reshape(weight.shape + (1,) * (-self.dim - 1))

    def _call(self, x: Tensor) -> Tensor:
        y = dct(x, self.dim)
        return y * self._weights(y) if self.smooth else y

    def _inverse(self, y: Tensor) -> Tensor:
        return idct(y / self._weights(y) if self.smooth else y, self.dim)

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


def checked_rank(shape: Any, dim: int) -> torch.Size:
    """Return the shape of a value, where it has a dimension.

    :param shape: the shape.
    :param dim: the dimension, negative.
    :raises ValueError: where it is missing.

    >>> checked_rank([2, 3], -2)
    torch.Size([2, 3])
    """
    if len(shape) < -dim:
        raise ValueError(f"A value of shape {tuple(shape)} has no dimension {dim}.")
    return torch.Size(shape)
