"""Powers of numbers of either sign."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints
from pyro._foundation.validation import is_validation_enabled
from pyro.distributions.torch_transform import without_memory

__all__ = ["PositivePowerTransform"]


class PositivePowerTransform(Transform):
    r"""Raise the size of a number to a power and keep its sign: :math:`y = \pm |x|^p`.

    The prior that makes a value more heavy-tailed, or less, without skewing it.

    :param exponent: :math:`p`, positive.
    :param cache_size: 1 to remember the latest pair of value and image.
    :param validate_args: whether to check the exponent; the switch for all laws decides if None.
    :raises ValueError: where the exponent is not positive.

    >>> PositivePowerTransform(torch.tensor(2.0))(torch.tensor([-3.0, 3.0]))
    tensor([-9.,  9.])
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(
        self, exponent: Any, *, cache_size: int = 0, validate_args: bool | None = None
    ) -> None:
        super().__init__(cache_size=cache_size)
        self.exponent = torch.as_tensor(exponent)
        is_checked = is_validation_enabled() if validate_args is None else validate_args
        if is_checked and not bool((self.exponent > 0).all()):
            raise ValueError(
                f"PositivePowerTransform: 'exponent' is positive, or zero would have no image; it "
                f"is {exponent}. A negative power is torch's PowerTransform, of positive numbers."
            )

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PositivePowerTransform):
            return False
        return torch.equal(self.exponent, other.exponent)

    def with_cache(self, cache_size: int = 1) -> "PositivePowerTransform":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        return PositivePowerTransform(self.exponent, cache_size=cache_size, validate_args=False)

    def _call(self, x: Tensor) -> Tensor:
        return x.abs().pow(self.exponent.to(x.dtype)) * x.sign()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.abs().pow(self.exponent.to(y.dtype).reciprocal()) * y.sign()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\log p + (p - 1) \log |x|`.

        :param x: a number.
        :param y: its image.
        """
        exponent = self.exponent.to(x.dtype)
        return exponent.log() + torch.xlogy(exponent - 1, x.abs())

    def forward_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the image, that of the value broadcast with the exponent.

        :param shape: the value's.
        """
        return torch.Size(torch.broadcast_shapes(shape, self.exponent.shape))

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the value, that of the image broadcast with the exponent.

        :param shape: the image's.
        """
        return torch.Size(torch.broadcast_shapes(shape, self.exponent.shape))
