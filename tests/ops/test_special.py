"""Special functions against SciPy."""

import pytest
import torch
from scipy import special as scipy_special

from pyro.ops.special import log_beta, log_binomial
from tests.helpers import assert_close

GRID = torch.tensor([1e-3, 0.1, 0.5, 1.0, 2.5, 30.0, 1e4], dtype=torch.float64)


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 0.02, 0.009, 1.1e-3, 4e-4, 1e-5])
def test_log_beta(tolerance: float) -> None:
    x, y = GRID[:, None], GRID
    expected = torch.as_tensor(scipy_special.betaln(x.numpy(), y.numpy()))
    error = (log_beta(x, y, tolerance) - expected).abs().max()
    assert error <= max(tolerance, 1e-9)
    assert (error > 1e-7) == (tolerance >= 4e-4), "an approximation is used where it may be"


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_log_binomial(tolerance: float) -> None:
    n = torch.tensor([0.0, 1.0, 7.0, 500.0], dtype=torch.float64)
    for share in (0.0, 0.3, 1.0):
        k = (n * share).floor()
        expected = torch.as_tensor(scipy_special.binom(n.numpy(), k.numpy())).log()
        assert_close(log_binomial(n, k, tolerance), expected, atol=max(tolerance, 1e-9))
    assert log_binomial(torch.tensor(3.0), torch.tensor(4.0)) == -float("inf")
