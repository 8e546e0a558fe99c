"""Transforms that are modules of torch, so that they learn and serialise."""

from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.transforms import ComposeTransform, Transform

from pyro.params.module_swap import tensors_in_use

__all__ = ["ComposeTransformModule", "TransformModule"]

_NOTHING = None, None


class CachedTransform(Transform):
    """A transform whose memory follows the tensors that it computes with.

    With ``cache_size=1`` it remembers the latest pair of value and image, as every transform does,
    but forgets them when one of those tensors has changed, or when gradients are asked for and were
    not. Copies and pickles hold no such pair. A subclass says which tensors: :meth:`_tensors`.

    :param cache_size: 1 to remember the latest pair of value and image.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: tuple[Any, Any] = _NOTHING
        self._kept_for: tuple[list[int], list[Tensor]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__) | {"_kept": _NOTHING, "_kept_for": None}

    def _tensors(self) -> list[Tensor]:
        """List the tensors that decide what the map is; here there are none."""
        return []

    def with_cache(self, cache_size: int = 1) -> Any:
        """Return the same map, with the same parameters and another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__getstate__(), _cache_size=cache_size, _cached_x_y=_NOTHING)
        return twin

    def __call__(self, x: Tensor) -> Tensor:
        """Map a value.

        :param x: the value.
        """
        self._forget_if_stale()
        y: Tensor = super().__call__(x)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        self._forget_if_stale()
        x: Tensor = super()._inv_call(y)
        return x

    def _forget_if_stale(self) -> None:
        if self._cache_size == 0:
            return
        # References, not ids, since an id may come back with another tensor.
        tensors = self._tensors()
        state = [torch.is_grad_enabled(), *[tensor._version for tensor in tensors]]
        kept_for = self._kept_for
        if kept_for is None or state != kept_for[0] or not all(map(is_, tensors, kept_for[1])):
            self._cached_x_y = self._kept = _NOTHING
            self._kept_for = state, tensors

    def _keep(self, x: Tensor, terms: Any) -> None:
        """Remember for :meth:`_kept_at` what was computed at a value on the way to its image."""
        if self._cache_size:
            self._kept = x, terms

    def _kept_at(self, x: Tensor) -> Any:
        """Return what was kept at a value, or None."""
        self._forget_if_stale()
        return self._kept[1] if self._kept[0] is x else None


class TransformModule(CachedTransform, nn.Module):
    """A transform whose parameters are those of a module.

    With ``cache_size=1`` it remembers the latest pair of value and image, as every transform does,
    but forgets them when a parameter has changed, or when gradients are asked for and were not.
    Copies, pickles and states hold no such pair.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> class Shift(TransformModule):
    ...     domain = codomain = torch.distributions.constraints.real
    ...     bijective = True
    ...     def __init__(self):
    ...         super().__init__(cache_size=1)
    ...         self.by = nn.Parameter(torch.tensor(1.0))
    ...     def _call(self, x):
    ...         return x + self.by
    ...     def _inverse(self, y):
    ...         return y - self.by
    >>> shift, x = Shift(), torch.tensor(2.0)
    >>> shift(x).item()
    3.0
    >>> shift.load_state_dict({"by": torch.tensor(5.0)})
    <All keys matched successfully>
    >>> shift(x).item()
    7.0
    """

    __hash__ = nn.Module.__hash__

    def _tensors(self) -> list[Tensor]:
        return tensors_in_use(self)


def without_memory(state: dict[str, Any]) -> dict[str, Any]:
    """Return a transform's state for copies and pickles, which hold no values that it mapped.

    :param state: the attributes.
    """
    state = state | {"_inv": None}
    return state | {"_cached_x_y": _NOTHING} if "_cached_x_y" in state else state


class ComposeTransformModule(ComposeTransform, nn.ModuleList):
    """Several transforms, one after the other, some of which are modules.

    Its members as a list of modules are those parts that are modules.

    :param parts: the transforms, in the order in which they apply.
    :param cache_size: 1 to let each part remember the latest pair of value and image.

    >>> from torch.distributions.transforms import ExpTransform
    >>> from pyro.distributions.transforms.planar import Planar
    >>> flow = ComposeTransformModule([Planar(2), ExpTransform()])
    >>> sorted(flow.state_dict())
    ['0.bias', '0.u', '0.w']
    """

    __hash__ = nn.Module.__hash__

    def __init__(self, parts: Any, cache_size: int = 0) -> None:
        super().__init__(list(parts), cache_size=cache_size)
        self.extend(part for part in self.parts if isinstance(part, nn.Module))

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def with_cache(self, cache_size: int = 1) -> Any:
        """Return the same map, with the same parameters and another cache.

        :param cache_size: 1 to let each part remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        return ComposeTransformModule(self.parts, cache_size=cache_size)
