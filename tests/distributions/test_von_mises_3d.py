"""Directions in space: the density against SciPy's and quadrature, draws against both."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_cdf

AXIS = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
LENGTHS = [1e-6, 0.05, 0.0999, 0.1001, 1.0, 30.0, 2000.0]


def points_of_the_sphere(count: int = 60) -> tuple[Tensor, Tensor]:
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(count))
    turn = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    radius = (1 - nodes**2).sqrt()[:, None]
    height = nodes[:, None].expand(count, count)
    x = torch.stack([radius * turn.cos(), radius * turn.sin(), height], -1)
    return x, weights[:, None] * (2 * math.pi / count)


@pytest.mark.parametrize("length", LENGTHS)
def test_agrees_with_scipy(length: float) -> None:
    values = dist.VonMises3D(torch.ones(3, dtype=torch.float64)).sample((20,))
    expected = stats.vonmises_fisher(AXIS.numpy(), length).logpdf(values.numpy())
    found = dist.VonMises3D(length * AXIS).log_prob(values)
    assert_close(found, torch.as_tensor(expected), rtol=1e-8, atol=1e-8)  # as far as SciPy's goes


def test_densities_integrate_to_one() -> None:
    x, weight = points_of_the_sphere()
    for length in (0.0, 0.05, 3.0, 20.0):
        density = dist.VonMises3D(length * AXIS).log_prob(x).exp()
        assert_close((density * weight).sum(), 1.0)


def test_no_direction_is_preferred_at_zero() -> None:
    at = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    value = dist.VonMises3D(at.detach()).sample()
    log_prob = dist.VonMises3D(at).log_prob(value)
    assert_close(log_prob, -math.log(4 * math.pi))
    assert_close(torch.autograd.grad(log_prob, at)[0], value)  # whose mean is 0


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients(length: float) -> None:
    value = dist.VonMises3D(AXIS).sample()
    at = (length * AXIS).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: dist.VonMises3D(c).log_prob(value), at)


@pytest.mark.parametrize("length", [0.0, 0.7, 40.0])
def test_draws_follow_the_density(length: float) -> None:
    draws = dist.VonMises3D(length * AXIS).sample((1500,))

    def height_cdf(w: Tensor) -> Tensor:
        if length == 0:
            return (w + 1) / 2
        return torch.expm1(length * (w + 1)) / math.expm1(2 * length)

    assert_fits_cdf(draws @ AXIS, height_cdf)
    across = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64) / math.sqrt(5)
    turn = torch.atan2(draws @ across, draws @ torch.linalg.cross(AXIS, across))
    assert_fits_cdf(turn, lambda a: a / (2 * math.pi) + 0.5)


def test_a_vector_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"VonMises3D: 'concentration' has shape \(2,\), expected"):
        dist.VonMises3D(torch.zeros(2))
