"""Another order of the entries of a vector."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import without_memory

__all__ = ["Permute", "permute"]


class Permute(Transform):
    """Put the entries along a dimension into another order.

    Between autoregressive transforms it lets every entry depend on every other.

    :param permutation: which entry comes to each place.
    :param dim: the dimension, negative; it and those right of it make one event.
    :param cache_size: 1 to remember the latest pair of value and image.
    :raises ValueError: where ``permutation`` does not hold each of 0, 1, … once, or ``dim`` is not
        negative.

    >>> Permute(torch.tensor([2, 0, 1]))(torch.tensor([10.0, 11.0, 12.0]))
    tensor([12., 10., 11.])
    """

    bijective = True
    volume_preserving = True

    def __init__(self, permutation: Tensor, *, dim: int = -1, cache_size: int = 1) -> None:
        super().__init__(cache_size=cache_size)
        if dim >= 0:
            raise ValueError(f"Permute: 'dim' counts from the right, below 0; it is {dim}.")
        if sorted(permutation.tolist()) != list(range(len(permutation))):
            raise ValueError(
                f"Permute: 'permutation' holds each of 0, …, {len(permutation) - 1} once; it is "
                f"{permutation.tolist()}."
            )
        self.permutation = permutation
        self.dim = dim
        self._back = permutation.argsort()

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Permute):
            return False
        return self.dim == other.dim and torch.equal(self.permutation, other.permutation)

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        """All real tensors of the event's rank."""
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        """All real tensors of the event's rank."""
        return constraints.independent(constraints.real, -self.dim)

    @property
    def inv_permutation(self) -> Tensor:
        """The permutation that undoes this one."""
        return self._back

    def with_cache(self, cache_size: int = 1) -> "Permute":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        return Permute(self.permutation, dim=self.dim, cache_size=cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return x.index_select(self.dim, self.permutation.to(x.device))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.index_select(self.dim, self._back.to(y.device))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change: zero.

        :param x: a value.
        :param y: its image.
        """
        return x.new_zeros(x.shape[: self.dim])


def permute(input_dim: int | Sequence[int], permutation: Any = None, dim: int = -1) -> Permute:
    """Make a :class:`Permute`.

    :param input_dim: the size of the dimension; for ``dim=-2`` or lower the shape of the event.
    :param permutation: which entry comes to each place; a random order if None.
    :param dim: the dimension, negative.
    :raises ValueError: where the event's rank is not that of ``dim``, or as for :class:`Permute`.

    >>> permute(3, [1, 2, 0])(torch.tensor([10.0, 11.0, 12.0]))
    tensor([11., 12., 10.])
    """
    sizes = [input_dim] if isinstance(input_dim, int) else list(input_dim)
    if dim >= 0 or len(sizes) != -dim:
        raise ValueError(
            f"permute(): 'input_dim' gives the sizes of dimensions 'dim' to -1, with 'dim' below "
            f"0; got {input_dim!r} and {dim}."
        )
    if permutation is None:
        return Permute(torch.randperm(sizes[0]), dim=dim)
    return Permute(torch.as_tensor(permutation), dim=dim)
