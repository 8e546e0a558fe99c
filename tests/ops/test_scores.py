"""Scores of predictions, against their definitions as sums over all pairs."""

import math

import pytest
import torch
from scipy.stats import genpareto

from pyro.ops.stats import crps_empirical, energy_score_empirical, fit_generalized_pareto, waic
from tests.helpers import assert_close

DOUBLE = torch.float64


@pytest.mark.parametrize("count", [1, 2, 9])
def test_crps_is_the_mean_over_all_pairs(count: int) -> None:
    x, y = torch.randn(count, 4, 2, dtype=DOUBLE), torch.randn(4, 2, dtype=DOUBLE)
    pairs = (x - x.unsqueeze(1)).abs().mean((0, 1))
    assert_close(crps_empirical(x, y), (x - y).abs().mean(0) - pairs / 2)


@pytest.mark.parametrize("pred_batch_size", [None, 1, 4, 100])
def test_energy_score_is_the_mean_over_all_pairs(pred_batch_size: int | None) -> None:
    x, y = torch.randn(3, 9, 2, dtype=DOUBLE), torch.randn(3, 5, 2, dtype=DOUBLE)
    pairs = (x.unsqueeze(1) - x.unsqueeze(2)).norm(dim=-1).mean((1, 2))
    error = (x.unsqueeze(1) - y.unsqueeze(2)).norm(dim=-1).mean(2)
    expected = error - pairs.unsqueeze(-1) / 2
    assert_close(energy_score_empirical(x, y, pred_batch_size), expected, atol=1e-7)
    assert_close(energy_score_empirical(x, y[:, 0], pred_batch_size), expected[:, 0], atol=1e-7)


def test_the_energy_score_in_one_dimension_is_crps() -> None:
    x, y = torch.randn(9, 1, dtype=DOUBLE), torch.randn(1, dtype=DOUBLE)

    def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one.unsqueeze(-2) - other.unsqueeze(-3)).abs().sum(-1)

    assert_close(energy_score_empirical(x, y, cdist=distance), crps_empirical(x, y)[0])


def test_waic_by_hand() -> None:
    scores = torch.randn(6, 3, dtype=DOUBLE)
    lppd = scores.exp().mean(0).log()
    p = scores.var(0)
    assert_close(waic(scores), (-2 * (lppd - p).sum(), p.sum()))
    assert_close(waic(scores, pointwise=True), (-2 * (lppd - p), p))
    assert_close(waic(scores.t(), pointwise=True, dim=1), (-2 * (lppd - p), p))


def test_waic_of_weighted_samples_by_hand() -> None:
    scores, log_weights = torch.randn(6, 3, dtype=DOUBLE), torch.randn(6, dtype=DOUBLE)
    shares = (log_weights.exp() / log_weights.exp().sum()).unsqueeze(-1)
    lppd = (shares * scores.exp()).sum(0).log()
    p = 6 / 5 * (shares * (scores - (shares * scores).sum(0)) ** 2).sum(0)
    assert_close(waic(scores, log_weights + 7.0), (-2 * (lppd - p).sum(), p.sum()))
    equal = torch.full((6,), math.log(1 / 6), dtype=DOUBLE)
    assert_close(waic(scores, equal), waic(scores))


@pytest.mark.parametrize("k", [-0.4, 0.1, 0.5, 0.9])
def test_a_generalized_pareto_law_is_found_from_its_quantiles(k: float) -> None:
    """At 20 000 equally likely quantiles the estimate is within 0.01 of the law's own k."""
    levels = (torch.arange(20_000, dtype=DOUBLE) + 0.5) / 20_000
    x = torch.tensor(genpareto.ppf(levels.numpy(), k, scale=2.0))
    found, sigma = fit_generalized_pareto(x[torch.randperm(len(x))])
    assert_close(found, k, atol=0.01)
    assert_close(sigma, 2.0, atol=0.02)


def test_the_shape_is_drawn_towards_one_half() -> None:
    """With the weight of ten observations, and the fit before that does not depend on scale."""
    x = torch.tensor(genpareto.ppf([0.1, 0.3, 0.5, 0.7, 0.9], 0.2))
    k, sigma = fit_generalized_pareto(x)
    scaled, stretched = fit_generalized_pareto(3 * x)
    assert_close((scaled, stretched), (k, 3 * sigma))
    assert abs(k - 0.5) < 10 / 15 * 0.5 + 0.1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pred has shape \(6, 3\), expected .* \(N, 2\)"):
        crps_empirical(torch.zeros(6, 3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"pred has shape \(6, 5, 3\), expected"):
        energy_score_empirical(torch.zeros(6, 5, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="X holds positive exceedances"):
        fit_generalized_pareto(torch.tensor([1.0, 0.0]))
