"""The uniform law."""

import math
from typing import Any

import torch
from torch.distributions import constraints

from pyro.distributions.checking import belongs, quick_test, surely_belongs
from pyro.distributions.parameters import (
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    blank,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape

_POSITIVE = quick_test(constraints.positive)


class Uniform(ReparameterisedLaw, torch.distributions.Uniform, TorchDistributionMixin):
    r"""Uniform law on an interval, its ends included, with density :math:`1/(b-a)`.

    :param low: the lower end :math:`a`.
    :param high: the upper end :math:`b`, above the lower.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the ends are the wrong way round.

    >>> Uniform(0.0, 2.0).log_prob(torch.tensor(1.0))
    tensor(-0.6931)
    """

    low = Parameter()
    high = Parameter()
    arg_constraints = {  # each depends on the other; _check_order looks at both
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }

    def __init__(self, low: Real, high: Real, validate_args: bool | None = None) -> None:
        self._hold(Uniform, low=low, high=high)
        self._check_parameters(validate_args)
        if self._validate_args:
            self._check_order()

    def _check_order(self) -> None:
        low, high = self._given_as("low"), self._given_as("high")
        if not isinstance(low, float) or not isinstance(high, float):
            width = torch.as_tensor(high - low)
            if belongs(width, constraints.positive, _POSITIVE):
                return
        elif low < high:
            return
        raise ValueError(
            f"Uniform: parameter 'low' must lie below 'high', but low is {low} and high is {high}. "
            f"Swap them, or widen the interval."
        )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """The interval, with its ends."""
        return constraints.interval(self._given_as("low"), self._given_as("high"))

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        low: Shape = NO_SHAPE, high: Shape = NO_SHAPE
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param low: the shape of the lower end.
        :param high: the shape of the upper end.
        """
        return torch.Size(broadcast_shape(low, high)), NO_SHAPE

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = self._extended_shape(sample_shape)
        numbers = self._numbers()
        if numbers is not None and numbers["low"] <= numbers["high"]:
            draw = torch.empty(shape, dtype=self._dtype)
            return draw.uniform_(numbers["low"], numbers["high"])
        low, high = self.low, self.high
        return torch.lerp(low, high, blank(shape, low).uniform_())

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, minus infinity outside the interval.

        :param value: the value.
        """
        inside = self._validate_args and self._is_inside(value)
        low, high = self._operands(value)
        if isinstance(low, float) and isinstance(high, float) and low < high:
            level = -math.log(high - low)
            if inside or surely_belongs(value, quick_test(self.support)):
                shape = value.shape if value.dim() else self._batch_shape
                result = torch.full(shape, level, dtype=self._dtype, device=value.device)
                return self._over_batch(result)
            result = constant(level, value)
        else:
            low, high = as_operand(low, value), as_operand(high, value)
            result = (high - low).log().neg()
            if inside:
                spread = result.expand(broadcast_shape(value.shape, result.shape))
                return self._over_batch(spread.clone())
        outside = value.clamp(low, high) != value
        return self._over_batch(result.masked_fill(outside, -math.inf))
