"""Running covariances against those of all draws at once."""

import pytest
import torch

from pyro.ops.arrowhead import SymmArrowhead
from pyro.ops.welford import WelfordArrowheadCovariance, WelfordCovariance
from tests.helpers import assert_close


def shrunk(covariance: torch.Tensor, n: int) -> torch.Tensor:
    return covariance * n / (n + 5) + 1e-3 * 5 / (n + 5) * torch.eye(len(covariance))


@pytest.mark.parametrize("regularize", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_estimates(n: int, size: int, regularize: bool) -> None:
    mixing = torch.randn(size, size, dtype=torch.float64)
    draws = torch.randn(n, size, dtype=torch.float64) @ mixing + 100.0
    covariance = torch.cov(draws.T).reshape(size, size)
    expected = shrunk(covariance, n) if regularize else covariance
    full, diagonal = WelfordCovariance(diagonal=False), WelfordCovariance()
    heads = [WelfordArrowheadCovariance(head) for head in range(size + 1)]
    for _ in range(2):  # once more after a reset
        for estimate in [full, diagonal, *heads]:
            estimate.reset()
            for draw in draws:
                estimate.update(draw)
            assert estimate.n_samples == n
        tolerance = 1e-10  # departures have lost the digits of the mean, 100
        assert_close(full.get_covariance(regularize), expected, atol=tolerance)
        assert_close(diagonal.get_covariance(regularize), expected.diagonal(), atol=tolerance)
        for head, estimate in enumerate(heads):
            arrowhead = estimate.get_covariance(regularize)
            assert isinstance(arrowhead, SymmArrowhead)
            assert_close(arrowhead.top, expected[:head], atol=tolerance)
            assert_close(arrowhead.bottom_diag, expected.diagonal()[head:], atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_large_mean_costs_no_digits(dtype: torch.dtype) -> None:
    large = 2.0**20
    estimate = WelfordCovariance()
    for x in (-1.0, 0.0, 1.0, 0.0) * 16:
        estimate.update(torch.tensor([large + x], dtype=dtype))
    variance = estimate.get_covariance(regularize=False)
    assert variance.dtype == dtype
    # Means are off by an ulp of 2**20, which is 2**-3 in single precision.
    assert_close(variance, [32 / 63], rtol=0.02)


@pytest.mark.parametrize(
    "make", [WelfordCovariance, lambda: WelfordCovariance(False), WelfordArrowheadCovariance]
)
def test_one_sample_is_too_few(make) -> None:  # type: ignore[no-untyped-def]
    estimate = make()
    for count in (0, 1):
        with pytest.raises(RuntimeError, match=f"two samples or more, and there are {count}"):
            estimate.get_covariance()
        estimate.update(torch.ones(2))


def test_samples_must_be_vectors_of_one_size() -> None:
    estimate = WelfordCovariance()
    with pytest.raises(ValueError, match=r"shape \(2, 2\), expected a vector\."):
        estimate.update(torch.ones(2, 2))
    estimate.update(torch.ones(2))
    with pytest.raises(ValueError, match=r"shape \(3,\), expected a vector of size 2, as before"):
        estimate.update(torch.ones(3))
    with pytest.raises(ValueError, match="size 1, less than the head's, which is 2"):
        WelfordArrowheadCovariance(2).update(torch.ones(1))
