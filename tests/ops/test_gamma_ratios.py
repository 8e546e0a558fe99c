"""Ratios of gamma functions keep their digits."""

import math

import pytest
import torch

from pyro.ops.gamma_ratios import log_multichoose, stirling_error
from tests.helpers import assert_close

THINGS = [1, 2, 15, 16, 17, 1000, 10**6, 10**9]
CHOICES = [0, 1, 2, 15, 16, 400, 10**4]
EPS = {torch.float32: 2**-23, torch.float64: 2**-52}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("things", THINGS)
def test_choices_are_counted_as_by_whole_numbers(things: int, dtype: torch.dtype) -> None:
    c = torch.tensor(float(things), dtype=dtype, requires_grad=True)
    c_exact = int(c.item())
    for k in CHOICES:
        expected = math.log(math.comb(c_exact + k - 1, k))
        result = log_multichoose(c, torch.tensor(float(k), dtype=dtype))
        # below 1e4 logarithms of gamma functions are subtracted, of which the largest is 8e4
        lost = 2 * EPS[torch.float64] * math.lgamma(c_exact + k) if c_exact + k < 1e4 else 0.0
        assert abs(result.item() - expected) <= 10 * EPS[dtype] * (1 + expected) + lost
        (slope,) = torch.autograd.grad(result, c)
        harmonic = math.fsum(1 / (c_exact + i) for i in range(k))
        lost = 20 * EPS[torch.float64] if c_exact + k < 1e4 else 0.0
        assert abs(slope.item() - harmonic) <= 30 * EPS[dtype] * harmonic + lost


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("c", [1e-30, 1e-6, 0.3, 2.7, 20.5])
def test_fractions_of_a_thing_are_allowed(c: float, dtype: torch.dtype) -> None:
    tensor = torch.tensor(c, dtype=dtype)
    for k in (1, 5, 300):
        expected = math.fsum(math.log((tensor.item() + i) / (i + 1)) for i in range(k))
        actual = log_multichoose(tensor, torch.tensor(k)).item()
        lost = 2 * EPS[torch.float64] * abs(math.lgamma(c + k))
        assert abs(actual - expected) <= 10 * EPS[dtype] * (1 + abs(expected)) + lost


def test_not_choosing_at_all_depends_on_nothing() -> None:
    c = torch.tensor([1e-38, 0.5, 1e30], requires_grad=True)
    result = log_multichoose(c, torch.zeros(3))
    assert (result == 0).all()
    assert (torch.autograd.grad(result.sum(), c)[0] == 0).all()


def test_gradients_of_first_and_second_order() -> None:
    c = torch.tensor([0.3, 5.0, 15.99, 16.01, 400.0], dtype=torch.float64, requires_grad=True)
    k = torch.tensor([[1.0], [20.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_multichoose, (c, k))
    assert torch.autograd.gradgradcheck(log_multichoose, (c, k))


def test_stirlings_formula_is_completed() -> None:
    z = torch.tensor([0.1, 1.0, 15.9, 16.0, 16.1, 300.0], dtype=torch.float64)
    main = (z - 0.5) * z.log() - z + 0.5 * math.log(2 * math.pi)
    assert_close(main + stirling_error(z), z.lgamma())
