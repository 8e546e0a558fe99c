"""Laws that wait for a context.

``condition(context)`` makes an ordinary law, or transform, of each.
"""

from abc import ABC, abstractmethod
from typing import Any

from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.conditional_transforms import (
    ConditionalComposeTransformModule,
    ConditionalTransform,
    ConditionalTransformModule,
    ConstantConditionalTransform,
    as_conditional,
)

__all__ = [
    "ConditionalComposeTransformModule",
    "ConditionalDistribution",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConditionalTransformedDistribution",
    "ConstantConditionalDistribution",
    "ConstantConditionalTransform",
]


class ConditionalDistribution(ABC):
    """Base of laws that depend on a context."""

    @abstractmethod
    def condition(self, context: Any) -> Any:
        """Return the law at a context.

        :param context: the context.
        """


class ConstantConditionalDistribution(ConditionalDistribution):
    """A law that is the same at each context.

    :param base_dist: the law.

    >>> from pyro.distributions.normal import Normal
    >>> ConstantConditionalDistribution(Normal(3.0, 1.0)).condition(None).mean
    tensor(3.)
    """

    def __init__(self, base_dist: Any) -> None:
        self.base_dist = base_dist

    def condition(self, context: Any) -> Any:
        """Return the law.

        :param context: of no account.
        """
        return self.base_dist


class ConditionalTransformedDistribution(ConditionalDistribution):
    r"""Law of :math:`y = f(x; c)`, where law and transforms may depend on a context :math:`c`.

    :param base_dist: the law of :math:`x`, conditional or not.
    :param transforms: the transforms, conditional or not, in the order in which they apply.

    >>> import torch
    >>> from pyro.distributions.normal import Normal
    >>> from pyro.distributions.transforms.planar import conditional_planar
    >>> noise = Normal(torch.zeros(3), 1.0).to_event(1)
    >>> law = ConditionalTransformedDistribution(noise, [conditional_planar(3, context_dim=2)])
    >>> law.condition(torch.ones(5, 2)).sample().shape
    torch.Size([5, 3])
    """

    def __init__(self, base_dist: Any, transforms: Any) -> None:
        if not isinstance(base_dist, ConditionalDistribution):
            base_dist = ConstantConditionalDistribution(base_dist)
        self.base_dist = base_dist
        self.transforms = [as_conditional(transform) for transform in transforms]

    def condition(self, context: Any) -> TransformedDistribution:
        """Return the law at a context.

        :param context: the context, of which the base law and all transforms take note.
        """
        transforms = [transform.condition(context) for transform in self.transforms]
        return TransformedDistribution(self.base_dist.condition(context), transforms)

    def clear_cache(self) -> None:
        """Let transforms that do not depend on the context forget what they remember."""
        for transform in self.transforms:
            if isinstance(transform, ConstantConditionalTransform):
                transform.clear_cache()
