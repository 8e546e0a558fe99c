"""The truncated Polya-gamma law: both series, the sampler's error, the augmented logistic model."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import erfc
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_cdf, assert_mean

DOUBLE = torch.float64
T = torch.tensor
END = 2.5


def law() -> dist.TruncatedPolyaGamma:
    return dist.TruncatedPolyaGamma(torch.ones((), dtype=DOUBLE))


def beyond(x: float) -> float:
    """The probability of what is above, without truncation."""
    terms = (
        (-1) ** n / (2 * n + 1) * math.exp(-((2 * n + 1) ** 2) * math.pi**2 * x / 2)
        for n in range(200)
    )
    return 4 / math.pi * math.fsum(terms)


def left_series(x: float) -> float:
    terms = ((-1) ** n * (2 * n + 1) * math.exp(-((2 * n + 1) ** 2) / (8 * x)) for n in range(200))
    return math.fsum(terms) / math.sqrt(2 * math.pi * x**3)


def right_series(x: float) -> float:
    terms = (
        (-1) ** n * (2 * n + 1) * math.exp(-((2 * n + 1) ** 2) * math.pi**2 * x / 2)
        for n in range(200)
    )
    return 2 * math.pi * math.fsum(terms)


def expectation(f: Callable[[Tensor], Tensor]) -> float:
    """Integrate over the density, which is smooth, in four pieces of 100 points."""
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(100))
    total = 0.0
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.8), (0.8, END)):
        x = low + (high - low) / 2 * (nodes + 1)
        total += (high - low) / 2 * float((weights * law().log_prob(x).exp() * f(x)).sum())
    return total


@pytest.mark.parametrize("x", [0.01, 0.1, 0.159, 1 / (2 * math.pi), 0.16, 0.4, 1.0, 2.5])
def test_the_density_is_that_of_either_series(x: float) -> None:
    normaliser = 1 - beyond(END)
    density = law().log_prob(T(x, dtype=DOUBLE)).exp()
    if x < 0.5:  # beyond, the sum is a small difference of large terms
        assert_close(density, left_series(x) / normaliser, rtol=1e-11)
    if x > 0.05:
        assert_close(density, right_series(x) / normaliser, rtol=1e-11)


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_the_error_of_few_terms_is_as_stated(terms: int) -> None:
    few = law()
    few.num_log_prob_terms = terms
    x = torch.linspace(0.02, END, 400, dtype=DOUBLE)
    error = (few.log_prob(x) - law().log_prob(x)).abs().max().item()
    bound = (2 * terms + 1) * math.exp(-math.pi * terms * (terms + 1))
    assert error < 1.05 * bound + 1e-14
    assert error > 0.5 * bound or bound < 1e-14


def test_the_laplace_transform_is_that_of_the_hyperbolic_cosine() -> None:
    for t in (0.0, 0.5, 3.0, 20.0, 200.0):
        # what is cut off lies above 2.5
        cut = beyond(END) * math.exp(-t * END)
        expected = 1 / math.cosh(math.sqrt(t / 2)) / (1 - beyond(END))
        actual = expectation(lambda x, t=t: (-t * x).exp())
        assert actual <= expected * (1 + 1e-10)
        assert actual >= expected - 1.1 * cut - 1e-11


def test_moments_are_those_of_the_density() -> None:
    mean = expectation(lambda x: x)
    assert_close(law().mean, mean, rtol=1e-11)
    assert_close(law().variance, expectation(lambda x: (x - mean) ** 2), rtol=1e-10)
    assert_close(law().mean, 0.25, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_gradients_are_finite_everywhere(dtype: torch.dtype) -> None:
    x = T([1e-30, 1e-3, 0.15, 0.17, 1.0, END], dtype=dtype, requires_grad=True)
    scored = dist.TruncatedPolyaGamma(x).log_prob(x)
    assert torch.autograd.grad(scored.sum(), x)[0][1:].isfinite().all()
    assert dist.TruncatedPolyaGamma(x).log_prob(T(0.0, dtype=dtype)) == -math.inf
    assert dist.TruncatedPolyaGamma(x.long()) is not None
    inner = x.detach()[1:-1].double().requires_grad_()
    assert torch.autograd.gradcheck(law().log_prob, inner)


def cumulants(count: int) -> tuple[Tensor, float, float]:
    """The weights of the first terms, and mean and variance of the others."""
    k = torch.arange(count, dtype=DOUBLE) + 0.5
    weights = 1 / (2 * (math.pi * k) ** 2)
    return weights, 0.25 - float(weights.sum()), 1 / 24 - float((weights**2).sum())


def transform_of_draws(count: int, t: Tensor) -> Tensor:
    """The transform of a sum of weighted exponential variables and a gamma variable."""
    weights, mean, variance = cumulants(count)
    parts = (1 + weights * t[..., None]).prod(-1) * (1 + variance / mean * t) ** (
        mean**2 / variance
    )
    return 1 / parts


def test_the_sampler_errs_by_no_more_than_stated() -> None:
    count = law().num_gamma_variates
    t = torch.linspace(-5.0, 12.0, 2000, dtype=DOUBLE).exp()
    error = transform_of_draws(count, t) - 1 / (t / 2).sqrt().cosh()
    assert error.abs().max() < 3e-7
    # of densities: at most the integral of the difference of characteristic functions
    log_w = torch.linspace(-5.0, 16.0, 40_001, dtype=DOUBLE)
    w = torch.complex(torch.zeros_like(log_w), -log_w.exp())
    root = (w / 2).sqrt()
    exact = 2 * (-root).exp() / (1 + (-2 * root).exp())
    gap = (transform_of_draws(count, w) - exact).abs() * log_w.exp()
    assert torch.trapezoid(gap, log_w) / math.pi < 2e-4


def cdf(x: Tensor) -> Tensor:
    odd = 2 * torch.arange(60, dtype=DOUBLE) + 1
    sign = 1 - 2 * (torch.arange(60) % 2)
    left = 2 * (sign * torch.as_tensor(erfc((odd / (8 * x[:, None]).sqrt()).numpy()))).sum(-1)
    right = 1 - 4 / math.pi * (sign / odd * (-(odd**2) * math.pi**2 / 2 * x[:, None]).exp()).sum(-1)
    return torch.where(x < 0.2, left, right) / (1 - beyond(END))


def test_draws_follow_the_law() -> None:
    draws = law().sample((20_000,))
    assert_fits_cdf(draws, cdf)
    assert_mean(draws, law().mean, law().variance.sqrt())
    assert (draws > 0).all() and (draws <= END).all()


def test_no_draw_is_above_the_truncation_point() -> None:
    class Short(dist.TruncatedPolyaGamma):
        truncation_point = 0.2

    draws = Short(torch.ones(())).sample((5000,))
    assert (draws <= 0.2).all()
    assert_fits_cdf(draws, lambda x: cdf(x) / cdf(T([0.2], dtype=DOUBLE)))


def test_a_logistic_likelihood_is_a_normal_one_given_the_draw() -> None:
    """sigma(x) = exp(x / 2) / 2 * E exp(-x ** 2 w / 2), the identity that the law is made for."""
    for x in (-3.0, -0.4, 0.0, 1.0, 5.0):
        likelihood = 0.5 * math.exp(x / 2) * expectation(lambda w, x=x: (-x * x * w / 2).exp())
        assert likelihood == pytest.approx(1 / (1 + math.exp(-x)), rel=6e-6)  # the truncation


def test_dtype_follows_the_prototype_and_shape_does_not() -> None:
    wide = dist.TruncatedPolyaGamma(torch.ones(3, 2, dtype=DOUBLE))
    assert wide.batch_shape == () and wide.sample((4,)).dtype == DOUBLE
    assert wide.expand([2, 3])().shape == (2, 3)
