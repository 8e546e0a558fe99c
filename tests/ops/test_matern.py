"""Matérn processes against the matrix exponential, Lyapunov's equation, and the kernel itself."""

import math

import pytest
import torch
from scipy import integrate, special
from torch import Tensor

from pyro.ops.matern import process_covariance, stationary_covariance, transition
from tests.helpers import assert_close

ORDERS = [0, 1, 2, 3, 4]
LIKE = torch.zeros((), dtype=torch.float64)
TIMES = torch.tensor([[0.0, 0.1], [1.0, 7.3]], dtype=torch.float64)


def drift(order: int) -> Tensor:
    """The equation's matrix: (d/dt + 1) ** (order + 1) of the process is white noise."""
    matrix = torch.diag(torch.ones(order, dtype=torch.float64), 1)
    matrix[-1] = torch.tensor([-math.comb(order + 1, k) for k in range(order + 1)])
    return matrix


def kernel(order: int, time: float) -> float:
    """The correlation in units where sqrt(2 nu) / length_scale is 1, by Bessel's function."""
    nu = order + 0.5
    if time == 0:
        return 1.0
    return float(2 ** (1 - nu) / special.gamma(nu) * time**nu * special.kv(nu, time))


@pytest.mark.parametrize("order", ORDERS)
def test_transitions_are_matrix_exponentials(order: int) -> None:
    expected = torch.linalg.matrix_exp(TIMES[..., None, None] * drift(order))
    assert_close(transition(order, TIMES), expected, atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_the_stationary_covariance_stays(order: int) -> None:
    covariance = stationary_covariance(order, LIKE)
    flow = drift(order) @ covariance
    change = flow + flow.T
    white = change[-1, -1].clone()
    change[-1, -1] = 0.0
    assert_close(change, torch.zeros_like(change), atol=1e-9)
    assert white < 0, "what is lost is put back by the noise"
    assert torch.linalg.eigvalsh(covariance).min() > 0


@pytest.mark.parametrize("order", ORDERS)
def test_correlations_are_the_kernel(order: int) -> None:
    covariance = stationary_covariance(order, LIKE)
    for time in (0.0, 0.2, 1.0, 5.0):
        carried = transition(order, LIKE + time) @ covariance
        assert_close(carried[0, 0], kernel(order, time), atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_noise_makes_up_for_what_is_forgotten(order: int) -> None:
    stationary, carry = stationary_covariance(order, LIKE), transition(order, TIMES)
    expected = stationary - carry @ stationary @ carry.mT
    assert_close(process_covariance(order, TIMES), expected, atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("time", [1e-6, 1e-3, 0.3])
def test_noise_keeps_its_digits_over_short_times(order: int, time: float) -> None:
    covariance = process_covariance(order, LIKE + time)
    white = (
        1
        / integrate.quad(
            lambda s: (s**order / math.factorial(order) * math.exp(-s)) ** 2, 0, math.inf
        )[0]
    )
    for i in range(order + 1):
        for j in range(order + 1):

            def product(s: float, i: int = i, j: int = j) -> float:
                response = transition(order, LIKE + s)[:, -1]
                return float(response[i] * response[j])

            exact = white * integrate.quad(product, 0.0, time, epsabs=0.0, epsrel=1e-10)[0]
            assert float(covariance[i, j]) == pytest.approx(exact, rel=1e-7)
    assert torch.linalg.cholesky_ex(covariance).info == 0


@pytest.mark.parametrize("order", [0, 2])
def test_gradients(order: int) -> None:
    time = torch.tensor([0.2, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: transition(order, t), [time])
    assert torch.autograd.gradcheck(lambda t: process_covariance(order, t), [time])
