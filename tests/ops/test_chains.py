"""Diagnostics of chains, against their formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro.ops.stats import (
    autocorrelation,
    autocovariance,
    effective_sample_size,
    gelman_rubin,
    split_gelman_rubin,
)
from tests.helpers import assert_close


def walks(*shape: int) -> Tensor:
    noise = torch.randn(shape, dtype=torch.float64)
    return noise + 0.3 * torch.randn(shape, dtype=torch.float64).cumsum(1)


def covariances(series: np.ndarray) -> list[float]:
    apart, count = series - series.mean(), len(series)
    return [float(apart[: count - k] @ apart[k:]) / (count - k) for k in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7, 16, 33])
def test_autocovariance_is_the_mean_of_products(count: int) -> None:
    x = walks(3, count)
    expected = torch.tensor(np.array([covariances(row.numpy()) for row in x]))
    assert_close(autocovariance(x, dim=1), expected)
    assert_close(autocovariance(x.t(), dim=0), expected.t())
    assert_close(autocovariance(x.float(), dim=-1), expected.float(), atol=1e-5)


def test_autocorrelation_begins_at_one() -> None:
    x = walks(2, 9)
    covariance = autocovariance(x, 1)
    assert_close(autocorrelation(x, 1), covariance / covariance[:, :1])


def r_hat(chains: np.ndarray) -> float:
    count = chains.shape[1]
    within = chains.var(1, ddof=1).mean()
    return math.sqrt((count - 1) / count + chains.mean(1).var(ddof=1) / within)


def test_gelman_rubin_is_its_formula() -> None:
    x = walks(4, 11, 2)
    expected = [r_hat(x[..., i].numpy()) for i in range(2)]
    assert_close(gelman_rubin(x), expected)
    assert_close(gelman_rubin(x.permute(2, 1, 0), chain_dim=2, sample_dim=1), expected)


@pytest.mark.parametrize("count", [4, 10, 11])
def test_split_gelman_rubin_is_that_of_half_chains(count: int) -> None:
    x = walks(1, count)
    half = count // 2
    halves = torch.cat([x[:, :half], x[:, count - half :]])
    assert_close(split_gelman_rubin(x), r_hat(halves.numpy()))


def sample_size(chains: np.ndarray) -> float:
    """Geyer's estimate, one step after another."""
    many, count = chains.shape
    within = chains.var(1, ddof=1).mean()
    pooled = within * (count - 1) / count
    pooled = pooled + chains.mean(1).var(ddof=1) if many > 1 else pooled
    covariance = np.mean([covariances(row) for row in chains], axis=0)
    rho = 1 - ((within if many > 1 else pooled) - covariance) / pooled
    rho[0] = 1.0
    tau, before = -1.0, math.inf
    for t in range(count // 2):
        pair = rho[2 * t] + rho[2 * t + 1]
        if pair <= 0:
            break
        before = min(before, pair)
        tau += 2 * before
    return many * count / tau


@pytest.mark.parametrize("chains", [1, 4])
@pytest.mark.parametrize("count", [2, 9, 60])
def test_effective_sample_size_is_geyers(chains: int, count: int) -> None:
    x = walks(chains, count, 2)
    assert_close(effective_sample_size(x), [sample_size(x[..., i].numpy()) for i in range(2)])


@pytest.mark.slow
def test_effective_sample_size_of_an_autoregression() -> None:
    """N (1 - a) / (1 + a) of N; the estimate from 2e5 samples is good to a few percent."""
    x, a = torch.zeros(4, 50_000, dtype=torch.float64), 0.5
    noise = torch.randn(50_000, 4, dtype=torch.float64)
    state = torch.zeros(4, dtype=torch.float64)
    for t in range(50_000):
        x[:, t] = state = a * state + noise[t]
    assert_close(effective_sample_size(x), 2e5 / 3, rtol=0.05)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match=r"chain_dim=0 holds 1\. Run several, or use split"):
        gelman_rubin(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="holds 1 samples along sample_dim=1, expected 2"):
        gelman_rubin(torch.zeros(2, 1))
    with pytest.raises(ValueError, match="holds 3 samples along sample_dim=1, expected 4"):
        split_gelman_rubin(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="holds 1 samples"):
        effective_sample_size(torch.zeros(2, 1))
