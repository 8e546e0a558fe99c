"""Stable laws, which have draws but no density."""

import pickle

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions.stable import skew_excess, stable_from_noise
from tests.helpers import assert_close, assert_fits_cdf, assert_mean

HALF_PI = torch.pi / 2


def noise(count: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    angle = torch.empty(count, dtype=dtype).uniform_(-HALF_PI, HALF_PI)
    return angle, torch.empty(count, dtype=dtype).exponential_()


def number(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def log_characteristic(alpha: float, beta: float, t: Tensor) -> Tensor:
    """Nolan's formula in S0, with scale 1 and location 0, for positive t."""
    excess = skew_excess(number(alpha), t.log())
    return -(t**alpha) * torch.complex(torch.ones_like(t), beta * excess)


def test_the_excess_is_a_product_with_the_tangent() -> None:
    z = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)
    for alpha in (0.4, 0.9, 1.3, 2.0):
        tangent = torch.tan(number(HALF_PI * alpha))
        assert_close(skew_excess(number(alpha), z), tangent * torch.expm1((1 - alpha) * z))
    assert_close(skew_excess(number(1.0), z), z / HALF_PI)


@pytest.mark.parametrize("alpha", [0.3, 0.8, 1.2, 1.7, 2.0])
@pytest.mark.parametrize("beta", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_variables_are_those_of_chambers_mallows_and_stuck(alpha: float, beta: float) -> None:
    """As printed: in the coordinates S, from which S0 lies tau away."""
    angle, wait = noise(200)
    tau = beta * torch.tan(number(HALF_PI * alpha))
    turn = tau.atan() / alpha
    expected = (
        (1 + tau**2) ** (1 / (2 * alpha))
        * (alpha * (angle + turn)).sin()
        / angle.cos() ** (1 / alpha)
        * ((angle - alpha * (angle + turn)).cos() / wait) ** ((1 - alpha) / alpha)
    )
    actual = stable_from_noise(number(alpha), number(beta), angle, wait)
    assert_close(actual, expected - tau, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.7])
def test_variables_are_smooth_through_exponent_one(beta: float) -> None:
    angle, wait = noise(200)
    c = HALF_PI + beta * angle
    expected = c * angle.tan() - beta * (HALF_PI * wait * angle.cos() / c).log()
    at_one = stable_from_noise(number(1.0), number(beta), angle, wait)
    assert_close(at_one, expected / HALF_PI)
    alpha = torch.full((), 1.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(stable_from_noise(alpha, number(beta), angle, wait).sum(), alpha)
    step = 1e-5
    sides = [
        stable_from_noise(number(1 + s), number(beta), angle, wait).sum() for s in (-step, step)
    ]
    assert_close(slope, (sides[1] - sides[0]) / (2 * step), rtol=1e-5)


def test_single_precision_keeps_its_digits_near_exponent_one() -> None:
    angle, wait = noise(500, torch.float32)
    wide = angle.double(), wait.double()
    for alpha in (0.999, 1.0, 1.0001, 1.01):
        narrow = torch.tensor(alpha)
        values = stable_from_noise(narrow, torch.tensor(0.5), angle, wait)
        exact = stable_from_noise(narrow.double(), number(0.5), *wide)
        error = (values.double() - exact).abs() / (1 + exact.abs())
        assert error.median() < 1e-6


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0, 1.1, 1.5, 1.9])
@pytest.mark.parametrize("beta", [-0.5, 1.0])
def test_draws_have_the_characteristic_function(alpha: float, beta: float) -> None:
    x = dist.Stable(number(alpha), number(beta)).sample((100_000,))
    t = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    expected = log_characteristic(alpha, beta, t).exp()
    assert_mean((x[:, None] * t).cos(), expected.real)
    assert_mean((x[:, None] * t).sin(), expected.imag)


def test_special_cases_are_the_laws_of_cauchy_levy_and_gauss() -> None:
    def draws(alpha: float, beta: float, coords: str = "S") -> Tensor:
        law = dist.Stable(number(alpha), number(beta), 1.5, 0.3, coords=coords)
        return (law.sample((4000,)) - 0.3) / 1.5

    for law, x in [
        (stats.cauchy, draws(1.0, 0.0)),
        (stats.levy, draws(0.5, 1.0)),
        (stats.norm(scale=2**0.5), draws(2.0, 0.7, "S0")),
    ]:
        assert_fits_cdf(x, lambda v, law=law: torch.as_tensor(law.cdf(v.numpy())))


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.6])
def test_coordinates_differ_by_a_shift(alpha: float) -> None:
    one = dist.Stable(number(alpha), 0.6, 2.0, 0.3, coords="S")
    other = dist.Stable(number(alpha), 0.6, 2.0, 0.3)
    shift = 1.2 * (
        torch.tan(number(HALF_PI * alpha)) if alpha != 1 else number(2.0).log() / HALF_PI
    )
    assert_close(one.loc_s0 - other.loc_s0, shift)
    torch.manual_seed(0)
    x = one.sample((5,))
    torch.manual_seed(0)
    assert_close(x - other.sample((5,)), shift.expand(5))
    mean = one.mean
    if alpha > 1:
        assert_close(mean, 0.3)
        assert_close(other.mean, 0.3 - shift)
    else:
        assert mean.isnan() and other.mean.isnan()


def test_gradients_of_draws_are_right() -> None:
    parameters = [number(v).requires_grad_() for v in (1.3, 0.4, 1.5, 0.3)]

    def draw(*values: Tensor) -> Tensor:
        torch.manual_seed(3)
        return dist.Stable(*values, coords="S").rsample((20,))

    assert torch.autograd.gradcheck(draw, parameters)


def test_shapes_copies_and_refusals() -> None:
    law = dist.Stable(torch.tensor([0.5, 1.5]), 0.0, coords="S")
    assert law.expand([3, 2]).coords == "S" and law.expand([3, 2])().shape == (3, 2)
    assert law.variance.tolist() == [torch.inf] * 2
    assert dist.Stable(2.0, 0.0, 3.0).variance == 18
    assert pickle.loads(pickle.dumps(law)).coords == "S"
    with pytest.raises(NotImplementedError, match=r"no density in closed form.*MinimalReparam"):
        law.log_prob(torch.zeros(2))
    with pytest.raises(ValueError, match="coords is 'S1', expected 'S0' or 'S'"):
        dist.Stable(1.5, 0.0, coords="S1")
    with pytest.raises(ValueError, match="'skew' must satisfy"):
        dist.Stable(1.5, 1.5)
