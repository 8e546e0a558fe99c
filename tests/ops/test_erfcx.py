"""The logarithm of the scaled complementary error function."""

import math

import pytest
import torch
from scipy.special import erfcx

from pyro.ops.erfcx import log_erfcx
from tests.helpers import assert_close

SEAM = [5.9999, 6.0, 6.0001]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_are_scipys(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 0.3, 1.0, 4.0, *SEAM, 30.0, 1e3, 1e10], dtype=dtype)
    expected = torch.as_tensor(erfcx(x.double().numpy())).log()
    assert_close(log_erfcx(x).double(), expected, rtol=4 * torch.finfo(dtype).eps)


def test_gradients_follow_the_differential_equation() -> None:
    x = torch.tensor([0.0, 0.5, 2.0, *SEAM, 8.0], dtype=torch.float64, requires_grad=True)
    result = log_erfcx(x)
    (slope,) = torch.autograd.grad(result.sum(), x, create_graph=True)
    assert_close(slope, 2 * x - 2 / math.sqrt(math.pi) * (-result).exp())
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert_close(curvature, 2 + (2 * x - slope) * slope, rtol=1e-10)  # by the equation, once more


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("x", [200.0, 1e3, 1e5])
def test_gradients_far_out_keep_their_digits(x: float, dtype: torch.dtype) -> None:
    far = torch.tensor(x, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(log_erfcx(far), far)
    expected = (
        -1 / x + 1 / x**3 - 2.5 / x**5
    )  # the asymptotic series; the next term is x**-6 smaller
    assert abs(slope.item() / expected - 1) < 4 * torch.finfo(dtype).eps + 10 / x**6
