"""Laplace's law made asymmetric, smooth, or both."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_cdf

DOUBLE = torch.float64


def number(x: float) -> Tensor:
    return torch.tensor(x, dtype=DOUBLE)


LAWS: dict[str, Any] = {
    "sharp": lambda: dist.AsymmetricLaplace(number(0.5), number(2.0), number(0.7)),
    "soft": lambda: dist.SoftLaplace(number(0.5), number(2.0)),
    "both": lambda: dist.SoftAsymmetricLaplace(number(0.5), number(2.0), number(0.7), number(0.3)),
    "very soft": lambda: dist.SoftAsymmetricLaplace(number(0.5), 1.0, number(3.0), number(8.0)),
}
each_law = pytest.mark.parametrize("name", LAWS)
with_quantiles = pytest.mark.parametrize("name", ["sharp", "soft"])


def by_legendre(f: Callable[[Tensor], Tensor], ends: list[float]) -> Tensor:
    """Integrate what is smooth between these ends, with 200 points for each piece."""
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(200))
    total = torch.zeros((), dtype=DOUBLE)
    for low, high in zip(ends, ends[1:], strict=False):
        half = (high - low) / 2
        total = total + half * (weights * f(low + half * (nodes + 1))).sum()
    return total


def expectation(law: Any, f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Integrate over the density, in pieces that meet at the mode of the sharp law."""

    def integrand(x: Tensor) -> Tensor:
        log_density = law.log_prob(x)
        product: Tensor = log_density.exp() * f(x, log_density)
        return product

    return by_legendre(integrand, [-300.0, -40.0, -8.0, 0.5, 9.0, 40.0, 300.0])


@each_law
def test_moments_are_those_of_the_density(name: str) -> None:
    law = LAWS[name]()
    mean = expectation(law, lambda x, _: x)
    assert_close(law.mean, mean, rtol=1e-10)
    variance = expectation(law, lambda x, _: (x - mean) ** 2)
    assert_close(law.variance, variance, rtol=1e-10)


@with_quantiles
def test_entropies_are_those_of_the_density(name: str) -> None:
    law = LAWS[name]()
    assert_close(law.entropy(), -expectation(law, lambda _, log_p: log_p), rtol=1e-10)


@with_quantiles
def test_quantiles_undo_the_distribution_function(name: str) -> None:
    law = LAWS[name]()
    level = torch.tensor([1e-12, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-9], dtype=DOUBLE, requires_grad=True)
    x = law.icdf(level)
    assert_close(law.cdf(x), level, rtol=1e-9)
    (slope,) = torch.autograd.grad(x.sum(), level)
    assert_close(slope.log(), -law.log_prob(x), rtol=1e-6)  # the quantile density


@with_quantiles
def test_the_distribution_function_is_finite_with_its_gradient_far_out(name: str) -> None:
    x = torch.tensor([-1e4, 1e4], dtype=DOUBLE, requires_grad=True)
    level = LAWS[name]().cdf(x)
    assert_close(level, [0.0, 1.0])
    assert_close(torch.autograd.grad(level.sum(), x)[0], [0.0, 0.0])


@each_law
def test_draws_follow_the_density(name: str) -> None:
    law = LAWS[name]()
    grid = torch.linspace(-80.0, 80.0, 40_001, dtype=DOUBLE)
    levels = torch.cumulative_trapezoid(law.log_prob(grid).exp(), grid)  # exact to 1e-5

    def cdf(x: Tensor) -> Tensor:
        return torch.as_tensor(np.interp(x.numpy(), grid[1:].numpy(), levels.numpy()))

    assert_fits_cdf(law.sample((4000,)), cdf)


def sum_over_the_noise(x: float, left: float, right: float, soft: float) -> Tensor:
    """Integrate the sharp density against the normal one: the definition of the soft law."""
    sharp = dist.AsymmetricLaplace(0.0, number(math.sqrt(left * right)), math.sqrt(left / right))
    normal = dist.Normal(number(0.0), 1.0)

    def integrand(noise: Tensor) -> Tensor:
        return (normal.log_prob(noise) + sharp.log_prob(x - soft * noise)).exp()

    kink = min(max(x / soft, -12.0), 12.0)
    return by_legendre(integrand, [-12.0, (kink - 12) / 2, kink, (kink + 12) / 2, 12.0])


@pytest.mark.parametrize("left, right, soft", [(1.0, 1.0, 1.0), (0.5, 3.0, 0.2), (0.3, 0.2, 5.0)])
def test_the_soft_law_is_a_sum_of_a_sharp_and_a_normal_variable(
    left: float, right: float, soft: float
) -> None:
    scale, asymmetry = math.sqrt(left * right), math.sqrt(left / right)
    law = dist.SoftAsymmetricLaplace(0.0, number(scale), asymmetry, soft / scale)
    for x in (-2.0, -0.3, 0.0, 0.7, 4.0):
        expected = sum_over_the_noise(x, left, right, soft)
        assert_close(law.log_prob(number(x)).exp(), expected, rtol=1e-9)


@pytest.mark.parametrize("softness", [1e-4, 1e-2, 1.0, 30.0, 1e4])
def test_single_precision_keeps_its_digits_and_its_gradients(softness: float) -> None:
    values = torch.tensor([-1e3, -30.0, -2.0, 0.5, 8.0, 100.0])

    def scored(dtype: torch.dtype) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        leaves = [torch.tensor(v).to(dtype).requires_grad_() for v in (1.0, 0.8, softness)]
        x = values.to(dtype).requires_grad_()
        law = dist.SoftAsymmetricLaplace(torch.zeros((), dtype=dtype), *leaves)
        result = law.log_prob(x)
        slopes = [torch.autograd.grad(r, [x, *leaves], retain_graph=True) for r in result]
        return result, slopes

    single, slopes = scored(torch.float32)
    double, exact = scored(DOUBLE)
    assert_close(single, double, rtol=5e-7, atol=5e-7)
    for row, exact_row in zip(slopes, exact, strict=True):
        for slope, wanted in zip(row, exact_row, strict=True):
            # the two tails pull apart near the mode, where a slope is a difference of theirs
            scale = 1 + 1 / softness if softness < 1 else 1.0
            assert_close(slope.double(), wanted, rtol=2e-5, atol=2e-6 * scale)


def test_the_soft_law_tends_to_the_sharp_and_to_the_normal_one() -> None:
    x = torch.linspace(-4.0, 4.0, 10, dtype=DOUBLE)
    sharp = dist.AsymmetricLaplace(number(0.0), 1.0, 0.7)
    soft = dist.SoftAsymmetricLaplace(number(0.0), 1.0, 0.7, 1e-7)
    assert_close(soft.log_prob(x), sharp.log_prob(x), rtol=1e-6)
    wide = dist.SoftAsymmetricLaplace(number(0.0), 1e-7, 0.7, 1e7)
    assert_close(wide.log_prob(x), dist.Normal(number(0.0), 1.0).log_prob(x), rtol=1e-6)


def test_an_equal_asymmetry_gives_laplaces_law() -> None:
    x = torch.linspace(-4.0, 4.0, 10, dtype=DOUBLE)
    law, plain = dist.AsymmetricLaplace(number(0.5), 2.0, 1.0), dist.Laplace(number(0.5), 2.0)
    assert_close(law.log_prob(x), plain.log_prob(x))
    assert_close(law.cdf(x), plain.cdf(x))
    assert_close(law.entropy(), plain.entropy())


def test_the_smooth_laws_have_curvature_at_the_mode() -> None:
    for law in (dist.SoftLaplace(number(0.0), 2.0), dist.Logistic(number(0.0), 2.0)):
        curvature = torch.autograd.functional.hessian(law.log_prob, number(0.0))
        step = 1e-3
        a, b, c = (law.log_prob(number(x)) for x in (-step, 0.0, step))
        assert_close(curvature, (a - 2 * b + c) / step**2, rtol=1e-5)
