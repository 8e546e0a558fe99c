"""Flows that map every entry by an increasing polynomial, set by what comes before it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import TransformModule
from pyro.ops.monotone import solve_in_order, solve_increasing
from pyro.ops.networks import AutoRegressiveNN

__all__ = ["Polynomial", "polynomial"]


class Polynomial(TransformModule):
    r"""An increasing polynomial of each entry: :math:`y_i = c_i + \int_0^{x_i} \sum_k p_{ik}^2`.

    The coefficients of the polynomials :math:`p_{ik}` are what an autoregressive network computes
    from :math:`x_{<i}`. With :math:`a_r` for those of one of them,
    :math:`\int_0^x p^2 = x \sum_{rs} \frac{a_r x^r\, a_s x^s}{r + s + 1}`. The inverse takes one
    pass of the network for each entry, and solves for the entry to rounding.

    :param autoregressive_nn: the network, as :class:`~pyro.ops.networks.AutoRegressiveNN` with
        ``param_dims=[(count_degree + 1) * count_sum]``; its attribute ``permutation`` is the order.
    :param input_dim: the size of the vector.
    :param count_degree: the degree of each :math:`p`.
    :param count_sum: the number of :math:`k`.

    >>> flow, x = polynomial(3), torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-3))
    True

    Source: Jaini, Selby and Yu 2019, *Sum-of-Squares Polynomial Flow*, arXiv:1905.02325.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    autoregressive = True

    powers: Tensor
    power_mask: Tensor
    mask: Tensor

    def __init__(
        self, autoregressive_nn: nn.Module, input_dim: int, count_degree: int, count_sum: int
    ) -> None:
        super().__init__(cache_size=1)
        self.arn: Any = autoregressive_nn
        self.input_dim = input_dim
        self.count_degree = count_degree
        self.count_sum = count_sum
        self.c = nn.Parameter(torch.empty(input_dim))
        # Constants, but part of the state in files of these flows; the last, whose numbers are
        # rounded to the dtype in which they were made, is for these alone.
        powers = torch.arange(1.0, count_degree + 2)
        self.register_buffer("powers", powers)
        self.register_buffer("power_mask", powers + powers.unsqueeze(-1) - 1)
        self.register_buffer("mask", 1 / self.power_mask)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the constants anew, uniform with variance about one over the size."""
        bound = 1 / math.sqrt(self.input_dim)
        nn.init.uniform_(self.c, -bound, bound)

    def _coefficients(self, x: Tensor) -> Tensor:
        """Return the coefficients, ``(…, count_sum, count_degree + 1, D)``."""
        sizes = self.count_sum, self.count_degree + 1
        coefficients: Tensor = self.arn(x).unflatten(-2, sizes)
        return coefficients

    def _evaluate(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integral, and its slope."""
        monomials = x.unsqueeze(-2) ** (self.powers - 1).unsqueeze(-1)
        terms = coefficients * monomials.unsqueeze(-3)
        integral: Tensor = x * (terms * (self.power_mask.reciprocal() @ terms)).sum((-3, -2))
        return integral, terms.sum(-2).square().sum(-2)

    def _call(self, x: Tensor) -> Tensor:
        integral, slope = self._evaluate(x, self._coefficients(x))
        self._keep(x, slope)
        return self.c + integral

    def _inverse(self, y: Tensor) -> Tensor:
        integrals = y - self.c

        def entry(i: int, before: Tensor) -> tuple[Tensor, Tensor]:
            coefficients = self._coefficients(before)[..., i : i + 1]
            target = integrals[..., i : i + 1]
            x = solve_increasing(
                lambda x: self._evaluate(x, coefficients), target, torch.zeros_like(target)
            )
            return x.squeeze(-1), self._evaluate(x, coefficients)[1].squeeze(-1)

        x, slope = solve_in_order(self.arn.permutation, y, entry)
        self._keep(x, slope)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        slope = self._kept_at(x)
        if slope is None:
            _, slope = self._evaluate(x, self._coefficients(x))
        total: Tensor = slope.log().sum(-1)
        return total


def polynomial(input_dim: int, hidden_dims: Sequence[int] | None = None) -> Polynomial:
    """Make a :class:`Polynomial` of three polynomials of degree 4, with a masked network.

    :param input_dim: the size of the vector.
    :param hidden_dims: the sizes of the network's hidden layers; one of ``10 * input_dim`` if None.

    >>> polynomial(3).arn.hidden_dims
    [30]
    """
    degree, count = 4, 3
    sizes = [10 * input_dim] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, sizes, [(degree + 1) * count])
    return Polynomial(network, input_dim, degree, count)
