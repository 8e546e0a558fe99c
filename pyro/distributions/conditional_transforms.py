"""Transforms that wait for a context."""

from abc import ABC, abstractmethod
from typing import Any

from torch import nn
from torch.distributions.transforms import Transform

from pyro.distributions.torch_transform import ComposeTransformModule

__all__ = [
    "ConditionalComposeTransformModule",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConstantConditionalTransform",
]


class ConditionalTransform(ABC):
    """Base of transforms that depend on a context."""

    @abstractmethod
    def condition(self, context: Any) -> Any:
        """Return the transform at a context.

        :param context: the context.
        """


class ConditionalTransformModule(ConditionalTransform, nn.Module):
    """Base of transforms that depend on a context, through parameters to be learnt.

    >>> import torch
    >>> from torch.distributions.transforms import AffineTransform
    >>> class Shift(ConditionalTransformModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.by = nn.Linear(2, 1)
    ...     def condition(self, context):
    ...         return AffineTransform(self.by(context), 1.0)
    >>> shift, context, x = Shift(), torch.ones(2), torch.zeros(1)
    >>> y = shift.condition(context)(x)
    >>> bool(shift.inv.condition(context)(y) == x)
    True
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @property
    def inv(self) -> "ConditionalTransformModule":
        """The inverse, which depends on the context too; it has the same parameters."""
        return _ConditionalInverse(self)


class _ConditionalInverse(ConditionalTransformModule):
    def __init__(self, transform: ConditionalTransformModule) -> None:
        super().__init__()
        self._transform = transform

    @property
    def inv(self) -> ConditionalTransformModule:
        return self._transform

    def condition(self, context: Any) -> Any:
        return self._transform.condition(context).inv


def _clear_cache(transform: Any) -> None:
    for part in getattr(transform, "parts", [transform]):
        if hasattr(part, "_cached_x_y"):
            part._cached_x_y = None, None


class ConstantConditionalTransform(ConditionalTransform):
    """A transform that is the same at each context.

    :param transform: the transform.

    >>> import torch
    >>> exp = torch.distributions.ExpTransform()
    >>> ConstantConditionalTransform(exp).condition(None) is exp
    True
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def condition(self, context: Any) -> Transform:
        """Return the transform.

        :param context: of no account.
        """
        return self.transform

    def clear_cache(self) -> None:
        """Let the transform forget the pair of value and image that it remembers."""
        _clear_cache(self.transform)


def as_conditional(transform: Any) -> ConditionalTransform:
    """Return a transform as one that depends on a context, if only in form.

    :param transform: a transform, conditional or not.
    """
    if isinstance(transform, ConditionalTransform):
        return transform
    return ConstantConditionalTransform(transform)


class ConditionalComposeTransformModule(ConditionalTransformModule, nn.ModuleList):
    """Several transforms, one after the other, which may depend on a context.

    :param transforms: the transforms, conditional or not, in the order in which they apply. Those
        that are modules are its members as a list of modules.
    :param cache_size: 1 to let each transform remember the latest pair of value and image.

    >>> import torch
    >>> from pyro.distributions.transforms.planar import conditional_planar, planar
    >>> flow = ConditionalComposeTransformModule([conditional_planar(3, 2), planar(3)])
    >>> flow.condition(torch.ones(2))(torch.zeros(3)).shape
    torch.Size([3])
    """

    def __init__(self, transforms: Any, cache_size: int = 0) -> None:
        parts = list(transforms)
        super().__init__(part for part in parts if isinstance(part, nn.Module))
        self.transforms = [as_conditional(part) for part in parts]
        self.cache_size = cache_size

    def condition(self, context: Any) -> ComposeTransformModule:
        """Return the transform at a context.

        :param context: the context, of which all transforms take note.
        """
        parts = [transform.condition(context) for transform in self.transforms]
        return ComposeTransformModule(parts, cache_size=self.cache_size)
