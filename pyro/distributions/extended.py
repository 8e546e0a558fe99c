"""Binomial laws that score every whole number, and with a number of trials that may be negative."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.conjugate import BetaBinomial
from pyro.distributions.counts import Binomial


def _split(count: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tell which values can come up, and put 0 of 0 trials in the place of the others."""
    possible = (value >= 0) & (value <= count)
    return possible, torch.where(possible, count, 0.0), torch.where(possible, value, 0.0)


def _where_there_are_trials(moment: Tensor, count: Tensor) -> Tensor:
    return moment.masked_fill(count < 0, math.nan)


class ExtendedBinomial(Binomial):
    r"""Binomial law that gives log probability :math:`-\infty` to counts out of its range.

    So a count may depend on other random counts: with ``total_count`` the difference of two, a
    value that is too large, or a difference that is negative, makes the model's density 0 instead
    of being refused. With a negative number of trials nothing can come up; a draw is then 0, and
    the moments are NaN.

    :param total_count: the number of trials, any whole number.
    :param probs: the probability of success.
    :param logits: its log odds, in its place.
    :param validate_args: whether to check parameters and values.

    >>> ExtendedBinomial(2, torch.tensor(0.5)).log_prob(torch.tensor([-1.0, 1.0, 3.0]))
    tensor([   -inf, -0.6931,    -inf])
    """

    arg_constraints = {**Binomial.arg_constraints, "total_count": constraints.integer}
    support: Any = constraints.integer

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        possible, count, value = _split(self.total_count, value)
        return self._log_probability(count, value).masked_fill(~possible, -math.inf)

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        return _where_there_are_trials(super().mean, self.total_count)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return _where_there_are_trials(super().variance, self.total_count)


class ExtendedBetaBinomial(BetaBinomial):
    r"""Beta-binomial law that gives log probability :math:`-\infty` to counts out of its range.

    It extends :class:`BetaBinomial` as :class:`ExtendedBinomial` does :class:`Binomial`.

    :param concentration1: the concentration of successes, positive.
    :param concentration0: the concentration of failures, positive.
    :param total_count: the number of trials, any whole number.
    :param validate_args: whether to check parameters and values.

    >>> ExtendedBetaBinomial(1.0, 1.0, 1).log_prob(torch.tensor([-1.0, 1.0, 3.0]))
    tensor([   -inf, -0.6931,    -inf])
    """

    arg_constraints = {**BetaBinomial.arg_constraints, "total_count": constraints.integer}
    support: Any = constraints.integer

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        possible, count, value = _split(self.total_count, value)
        return self._log_probability(count, value).masked_fill(~possible, -math.inf)

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        return _where_there_are_trials(super().mean, self.total_count)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return _where_there_are_trials(super().variance, self.total_count)
