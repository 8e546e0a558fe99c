"""What laws of absolute values have in common."""

import math
from typing import Any

import torch
from torch.distributions import AbsTransform, Transform, constraints

from pyro.distributions.checking import quick_test, surely_belongs
from pyro.distributions.parameters import Parameter, Real, ReparameterisedLaw

_NONNEGATIVE = quick_test(constraints.nonnegative)


class HalfLaw(ReparameterisedLaw):
    """Law of the absolute value of a law that is symmetric about 0 and has a scale.

    A subclass names that law and scores what is not negative.
    """

    _whole: type
    scale = Parameter()

    def __init__(self, scale: Real, validate_args: bool | None = None) -> None:
        self._hold(type(self), scale=scale)
        self._check_parameters(validate_args)

    @property
    def base_dist(self) -> Any:
        """The law before the sign is dropped."""
        return self._view_as(self._whole, loc=0.0, scale=self._given_as("scale"))

    @property
    def transforms(self) -> list[Transform]:
        """The absolute value."""
        return [AbsTransform()]

    def _log_density(self, value: torch.Tensor, scale: Real) -> torch.Tensor:
        """Return the log density as it is where the value is not negative."""
        raise NotImplementedError

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, minus infinity where the value is negative.

        :param value: the value.
        """
        if not isinstance(value, torch.Tensor):
            value = torch.as_tensor(value, dtype=self._dtype)
        inside = self._validate_args and self._is_inside(value)
        result = self._over_batch(self._log_density(value, self._operand("scale", value)))
        if inside or surely_belongs(value, _NONNEGATIVE):
            return result
        return torch.where(value < 0, -math.inf, result)
