"""Laws of absolute values."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import AbsTransform, constraints

from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.feasible import feasible_point
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class FoldedDistribution(TransformedDistribution):
    r"""Law of :math:`|x|`, where :math:`x` follows a base law of single numbers.

    :math:`p(y)=p_x(y)+p_x(-y)` for :math:`y\geq0`; a discrete base law has a single 0, which counts
    once.

    :param base_dist: the base law.
    :param validate_args: whether to check values.
    :raises ValueError: where the base law is one of vectors.

    >>> from pyro.distributions.normal import Normal
    >>> FoldedDistribution(Normal(0.0, 1.0)).log_prob(torch.tensor(0.0))
    tensor(-0.2258)

    Source: Leone, Nelson and Nottingham 1961, *The Folded Normal Distribution*, Technometrics 3(4).
    """

    support = constraints.nonnegative

    def __init__(self, base_dist: Any, validate_args: bool | None = None) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"FoldedDistribution takes a law of single numbers, but the event shape of "
                f"{base_dist} is {tuple(base_dist.event_shape)}. Fold first, then call to_event()."
            )
        super().__init__(base_dist, AbsTransform(), validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "FoldedDistribution":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new: FoldedDistribution = super().expand(batch_shape, _instance)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, minus infinity where the value is negative.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        base: Any = self.base_dist
        right, left = _log_prob_within(base, value), _log_prob_within(base, -value)
        density = torch.logaddexp(right, left)
        if base.has_enumerate_support or base.support.is_discrete:
            density = torch.where(value == 0, right, density)
        return density.masked_fill(value < 0, -math.inf)


def _log_prob_within(law: Any, value: Tensor) -> Tensor:
    """Score a value that may lie outside of a law's support, where the result is minus infinity."""
    support = law.support
    if support is constraints.real:
        density: Tensor = law.log_prob(value)
        return density
    inside = support.check(value)
    point = feasible_point(support, NO_SHAPE)
    if point is not None:
        value = torch.where(inside, value, point)
    return torch.where(inside, law.log_prob(value), -math.inf)
