"""Approximate binomial laws, sparse Poisson laws, and a defect of torch's Wishart law."""

import math
from collections.abc import Iterator

import pytest
import torch

import pyro.distributions as dist
from pyro import settings
from tests.helpers import assert_close, assert_fits_probabilities, assert_mean


@pytest.fixture(autouse=True)
def settings_restored() -> Iterator[None]:
    yield
    dist.Binomial.approx_sample_thresh = math.inf
    dist.Binomial.approx_log_prob_tol = 0.0


@pytest.mark.parametrize("probs", [0.03, 0.3, 0.9])
@pytest.mark.parametrize("count", [17, 40])
def test_counts_split_in_halves_are_binomial(probs: float, count: int) -> None:
    law = dist.Binomial(count, torch.tensor(probs))
    exact = law.log_prob(law.enumerate_support()).exp()
    with settings.context(binomial_approx_sample_thresh=5):
        draws = law.sample((20_000,))
    # pool what is too rare for the chi-square test: expected counts of five or more
    common = exact * 20_000 >= 5
    low, high = int(common.nonzero()[0]), int(common.nonzero()[-1])
    pooled = torch.cat(
        [exact[:low].sum(0, True), exact[low : high + 1], exact[high + 1 :].sum(0, True)]
    )
    where = draws.clamp(low - 1, high + 1) - (low - 1)
    keep = pooled * 20_000 >= 5
    remap = keep.long().cumsum(0) - 1
    inside = keep[where.long()]
    assert_fits_probabilities(remap[where.long()[inside]], pooled[keep])


@pytest.mark.parametrize("probs", [0.0, 1.0])
def test_sure_outcomes_stay_sure(probs: float) -> None:
    with settings.context(binomial_approx_sample_thresh=2):
        assert (dist.Binomial(100, torch.tensor(probs)).sample((50,)) == 100 * probs).all()


def test_a_batch_of_counts_is_split_where_it_must() -> None:
    count = torch.tensor([3.0, 1000.0, 0.0])
    with settings.context(binomial_approx_sample_thresh=10):
        draws = dist.Binomial(count, torch.tensor(0.25)).sample((4000,))
    assert (draws <= count).all() and (draws >= 0).all() and (draws % 1 == 0).all()
    assert_mean(draws[:, :2], count[:2] * 0.25)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-3, 1e-6])
def test_the_tolerance_of_log_probabilities_holds(tolerance: float) -> None:
    law = dist.Binomial(50, torch.tensor(0.3, dtype=torch.float64))
    value = law.enumerate_support()
    exact = law.log_prob(value)
    with settings.context(binomial_approx_log_prob_tol=tolerance):
        error = (law.log_prob(value) - exact).abs().max()
    assert error <= tolerance
    assert error > 0 or tolerance < 3e-4


def test_settings_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="binomial_approx_sample_thresh must be a positive number"):
        settings.set(binomial_approx_sample_thresh=-1)
    with pytest.raises(ValueError, match="binomial_approx_log_prob_tol must not be negative"):
        settings.set(binomial_approx_log_prob_tol=-0.5)
    assert settings.get("binomial_approx_sample_thresh") == math.inf


def test_a_sparse_poisson_law_scores_alike() -> None:
    rate = torch.tensor([[0.1, 2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    dense = dist.Poisson(rate).log_prob(value)
    sparse = dist.Poisson(rate, is_sparse=True).log_prob(value)
    assert_close(sparse, dense)
    gradients = [torch.autograd.grad(scored.sum(), rate)[0] for scored in (dense, sparse)]
    assert_close(gradients[1], gradients[0])
    assert dist.Poisson(rate, is_sparse=True).expand([4, 3]).is_sparse


def test_multinomial_takes_one_count() -> None:
    with pytest.raises(NotImplementedError, match="one total_count for its whole batch"):
        dist.Multinomial(torch.tensor([1, 2]), torch.ones(2))  # type: ignore[arg-type]


def test_wishart_draws_have_the_right_mean() -> None:
    covariance = torch.tensor([[1.5, 0.4], [0.4, 0.8]])
    law = dist.Wishart(torch.tensor([4.0, 6.0]), covariance)
    draws = law((4000,))  # torch's own law warns here that regular matrices are singular
    assert_mean(draws, law.mean)
