"""A negative binomial law with a noisy mean, against its integral."""

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_mean

DOUBLE = torch.float64
T = torch.tensor
GRID = torch.cartesian_prod(
    torch.tensor([0.05, 0.7, 3.0, 1e3], dtype=DOUBLE),  # number of failures
    torch.tensor([-4.0, 0.5, 3.0], dtype=DOUBLE),  # log odds
    torch.tensor([0.05, 0.3, 1.0, 2.5], dtype=DOUBLE),  # noise
    torch.tensor([0.0, 1.0, 20.0, 3e4], dtype=DOUBLE),  # count
)


def by_trapezoids(count: Tensor, logits: Tensor, scale: Tensor, value: Tensor) -> Tensor:
    """The integral by equidistant sums, which converge exponentially for a smooth integrand."""
    noise = torch.linspace(-13.0, 13.0, 20_001, dtype=DOUBLE)
    law = dist.NegativeBinomial(count[:, None], logits=logits[:, None] + scale[:, None] * noise)
    terms = law.log_prob(value[:, None]) + dist.Normal(T(0.0, dtype=DOUBLE), 1.0).log_prob(noise)
    return terms.logsumexp(-1) + math.log(26.0 / 20_000)


@functools.cache
def exact_on_the_grid() -> Tensor:
    return by_trapezoids(*GRID.unbind(-1))


def error(points: int) -> tuple[Tensor, Tensor]:
    exact = exact_on_the_grid()
    kept = exact > -60  # the peak of other integrands lies beyond what is summed
    law = dist.LogNormalNegativeBinomial(*GRID[:, :3].unbind(-1), num_quad_points=points)
    assert kept.sum() > 100
    return (law.log_prob(GRID[:, 3]) - exact).abs()[kept], GRID[:, 2][kept]


@pytest.mark.parametrize(
    "points, narrow, middle, wide", [(8, 1e-7, 1e-4, 5e-3), (32, 1e-10, 1e-10, 1e-5)]
)
def test_log_probabilities_err_by_no_more_than_stated(
    points: int, narrow: float, middle: float, wide: float
) -> None:
    errors, scale = error(points)
    assert errors[scale <= 0.3].max() < narrow
    assert errors[scale <= 1].max() < middle
    assert errors.max() < wide


def test_masses_and_moments_are_sums() -> None:
    law = dist.LogNormalNegativeBinomial(
        T([2.0, 0.7], dtype=DOUBLE),
        T([0.3, -1.0], dtype=DOUBLE),
        T([0.3, 0.4], dtype=DOUBLE),
        num_quad_points=24,
    )
    values = torch.arange(3000.0, dtype=DOUBLE)[:, None]
    masses = law.log_prob(values).exp()
    assert_close(masses.sum(0), torch.ones(2, dtype=DOUBLE), atol=1e-8)
    mean = (masses * values).sum(0)
    assert_close(law.mean, mean, rtol=1e-7)
    assert_close(law.variance, (masses * (values - mean) ** 2).sum(0), rtol=1e-7)


def test_draws_have_the_moments() -> None:
    law = dist.LogNormalNegativeBinomial(T([2.0, 30.0]), T([0.3, -1.0]), T([0.3, 0.2]))
    draws = law.sample((20_000,))
    assert_mean(draws, law.mean, law.variance.sqrt())
    frequency = (draws[:, 0] == 1).double()
    assert_mean(frequency, law.log_prob(T([1.0, 1.0]))[0].exp())


def test_gradients_are_those_of_the_integral() -> None:
    leaves = [T(v, dtype=DOUBLE, requires_grad=True) for v in (2.0, 0.5, 0.8)]
    value = T(7.0, dtype=DOUBLE)
    slopes = torch.autograd.grad(
        dist.LogNormalNegativeBinomial(*leaves, num_quad_points=24).log_prob(value), leaves
    )
    exact = by_trapezoids(*(leaf[None] for leaf in leaves), value[None])
    assert_close(list(slopes), list(torch.autograd.grad(exact.sum(), leaves)), rtol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_extreme_parameters_give_finite_results(dtype: torch.dtype) -> None:
    grid: Any = torch.cartesian_prod(
        T([1e-3, 1.0, 1e5], dtype=dtype),
        T([-8.0, 0.0, 8.0], dtype=dtype),
        T([0.05, 5.0], dtype=dtype),
        T([0.0, 1.0, 1e6], dtype=dtype),
    )
    leaves = [column.clone().requires_grad_() for column in grid[:, :3].unbind(-1)]
    scored = dist.LogNormalNegativeBinomial(*leaves).log_prob(grid[:, 3])
    assert scored.isfinite().all() and (scored <= 1e-4).all()
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(scored.sum(), leaves))


def test_no_failures_leave_no_successes() -> None:
    law = dist.LogNormalNegativeBinomial(T(0.0), T(0.5), T(0.3))
    assert_close(law.log_prob(T([0.0, 1.0])), [0.0, -math.inf])
    assert (law.sample((20,)) == 0).all()


def test_a_rule_needs_a_point() -> None:
    with pytest.raises(ValueError, match="num_quad_points is 0, expected at least 1"):
        dist.LogNormalNegativeBinomial(1.0, T(0.0), 1.0, num_quad_points=0)
    law = dist.LogNormalNegativeBinomial(1.0, T(0.0), 1.0, num_quad_points=3)
    assert law.expand([2]).num_quad_points == 3
