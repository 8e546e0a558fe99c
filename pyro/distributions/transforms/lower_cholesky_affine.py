"""The affine map that turns white noise into a correlated normal vector."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import without_memory
from pyro.ops.shapes import broadcast_shape

__all__ = ["LowerCholeskyAffine"]


class LowerCholeskyAffine(Transform):
    r"""Map a vector by :math:`y = \mu + L x` with a lower triangular matrix.

    :param loc: :math:`\mu`, shape ``(…, D)``.
    :param scale_tril: :math:`L`, shape ``(…, D, D)``, with a diagonal that is not zero.
    :param cache_size: 1 to remember the latest pair of value and image.
    :raises ValueError: where the shapes do not agree.

    >>> scale_tril = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    >>> LowerCholeskyAffine(torch.zeros(2), scale_tril)(torch.ones(2))
    tensor([1., 5.])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    volume_preserving = False

    def __init__(self, loc: Tensor, scale_tril: Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        if loc.dim() < 1 or scale_tril.shape[-2:] != loc.shape[-1:] * 2:
            raise ValueError(
                f"LowerCholeskyAffine: 'loc' is a vector and 'scale_tril' a square matrix of its "
                f"size; their shapes are {tuple(loc.shape)} and {tuple(scale_tril.shape)}."
            )
        self.loc = loc
        self.scale_tril = scale_tril

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def with_cache(self, cache_size: int = 1) -> "LowerCholeskyAffine":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        return LowerCholeskyAffine(self.loc, self.scale_tril, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + (self.scale_tril @ x.unsqueeze(-1)).squeeze(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        centred = (y - self.loc).unsqueeze(-1)
        x: Tensor = torch.linalg.solve_triangular(self.scale_tril, centred, upper=False)
        return x.squeeze(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change, that of the product of the diagonal.

        :param x: a vector.
        :param y: its image.
        """
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        return log_det.expand(broadcast_shape(log_det.shape, x.shape[:-1]))
