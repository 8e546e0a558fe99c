"""Correlations of LKJ laws, and shapes that matrices of normal laws must have."""

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_cdf


@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("concentration", [0.7, torch.tensor(2.5)])
def test_correlations_of_an_lkj_law_are_those_of_a_beta_law(dim: int, concentration: float) -> None:
    """Of each correlation r, (1 + r) / 2 has both parameters eta + dim / 2 - 1, exactly."""
    from scipy import stats

    factor = dist.LKJCholesky(dim, concentration).sample((2000,)).double()
    row, column = torch.tril_indices(dim, dim, -1)
    correlations = (factor @ factor.mT)[:, row, column]
    exact = stats.beta(*[float(concentration) + dim / 2 - 1] * 2)

    def cdf(r: Tensor) -> Tensor:
        return torch.as_tensor(exact.cdf((1 + r.numpy()) / 2))

    for draws in correlations.T:
        assert_fits_cdf(draws, cdf)
    assert_close(factor.square().sum(-1), torch.ones(2000, dim).double(), atol=1e-6)


def test_an_lkj_law_has_a_correlation() -> None:
    with pytest.raises(ValueError, match="LKJCholesky: 'dim' must be at least 2, but it is 1"):
        dist.LKJCholesky(1)


@pytest.mark.parametrize(
    "shapes", [((2,), (3, 1), (3,)), ((2,), (2,), (2,)), ((), (2, 1), (2,)), ((3,), (3, 1), (2,))]
)
def test_a_low_rank_covariance_must_fit(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shapes \(..., n\), \(..., n, rank\)"):
        dist.LowRankMultivariateNormal(*map(torch.ones, shapes))


def test_a_low_rank_law_is_a_normal_law_with_that_covariance() -> None:
    torch.manual_seed(0)
    loc, factor, diag = (
        torch.randn(4, 3).double(),
        torch.randn(3, 2).double(),
        torch.rand(3).double(),
    )
    low = dist.LowRankMultivariateNormal(loc, factor, diag + 0.1)
    full = dist.MultivariateNormal(loc, factor @ factor.T + (diag + 0.1).diag())
    value = torch.randn(5, 4, 3).double()
    assert_close(low.log_prob(value), full.log_prob(value))
    assert_close(low.expand([2, 4]).log_prob(value[0]), full.expand([2, 4]).log_prob(value[0]))
    assert_close(low.entropy(), full.entropy())
    assert_close(low.covariance_matrix, full.covariance_matrix)
    assert_close(low.precision_matrix, full.precision_matrix)
    assert_close(dist.kl_divergence(low, full), torch.zeros(4).double(), atol=1e-12)


def test_one_factor_serves_a_batch_of_values() -> None:
    factor = torch.tensor([[2.0, 0.0], [1.0, 0.5]]).double()
    value = torch.randn(3, 4, 2).double()
    one = dist.MultivariateNormal(torch.zeros(2).double(), scale_tril=factor)
    many = dist.MultivariateNormal(torch.zeros(2).double(), scale_tril=factor.expand(4, 2, 2))
    assert_close(one.log_prob(value), many.log_prob(value))
    assert one.log_prob(torch.zeros(0, 2).double()).shape == (0,)
