"""The density of stable laws, against integrals of another kind and laws in closed form."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions.stable_log_prob import (
    create_integrator,
    integrate,
    set_integrator,
    standard_log_density,
)
from pyro.distributions.stable_noise import skew_excess
from tests.helpers import assert_close

# The rule and the range that it covers leave about ten digits.
DIGITS = {"rtol": 1e-8, "atol": 1e-8}


def number(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def fourier(alpha: float, beta: float, x: Tensor) -> Tensor:
    """Invert the characteristic function by equidistant points in log t, without any rotation."""
    y = torch.arange(-40.0, 5.0, 0.002, dtype=torch.float64)
    t = y.exp()
    phase = -(t**alpha) * beta * skew_excess(number(alpha), y)
    integrand = (y - t**alpha).exp() * torch.cos(t * x[:, None] - phase)
    return integrand.sum(-1) * 0.002 / math.pi


@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.15, 0.6])
@pytest.mark.parametrize("alpha", [0.85, 0.999, 1.0, 1.05, 1.15, 1.5, 2.0])
def test_agrees_with_the_inverted_characteristic_function(alpha: float, beta: float) -> None:
    x = torch.linspace(-3.0, 3.0, 7, dtype=torch.float64)
    expected = fourier(alpha, beta, x)
    actual = standard_log_density(number(alpha), number(beta), x).exp()
    assert_close(actual, expected, rtol=1e-7, atol=1e-10)


def test_special_cases_are_the_laws_of_cauchy_levy_and_gauss() -> None:
    x = torch.tensor([-1e6, -30.0, -1.0, 0.0, 0.5, 3.0, 1e8], dtype=torch.float64)
    cauchy = dist.StableWithLogProb(number(1.0), 0.0, 2.0, 0.3)
    assert_close(cauchy.log_prob(x), dist.Cauchy(number(0.3), 2.0).log_prob(x), **DIGITS)
    z = x.clamp(-40, 40)
    normal = dist.StableWithLogProb(number(2.0), 0.7, 2.0, 0.3)
    assert_close(normal.log_prob(z), dist.Normal(number(0.3), 8**0.5).log_prob(z), **DIGITS)
    levy = dist.StableWithLogProb(number(0.5), 1.0, 2.0, 0.3, coords="S")
    positive = torch.tensor([1e-2, 0.1, 1.0, 50.0, 1e7], dtype=torch.float64)
    expected = torch.as_tensor(stats.levy(0.3, 2.0).logpdf((0.3 + positive).numpy()))
    assert_close(levy.log_prob(0.3 + positive), expected, **DIGITS)
    assert levy.log_prob(number(0.2)) == -math.inf
    mirrored = dist.StableWithLogProb(number(0.5), -1.0, 2.0, 0.3, coords="S")
    assert_close(mirrored.log_prob(0.3 - positive), expected, **DIGITS)


@pytest.mark.parametrize("alpha, beta", [(0.4, 0.3), (0.7, -0.9), (1.3, 0.6), (1.8, 0.0)])
def test_agrees_with_scipy(alpha: float, beta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats.levy_stable, "parameterization", "S0")
    x = torch.tensor([-4.0, -0.5, 0.1, 2.0], dtype=torch.float64)
    expected = stats.levy_stable.pdf(x.numpy(), alpha, beta, 0.3, 2.0)
    law = dist.StableWithLogProb(number(alpha), beta, 2.0, 0.3)
    # SciPy's own quadrature is good to about seven digits
    assert_close(law.log_prob(x).exp(), torch.as_tensor(expected), rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.6, 0.9, 1.0, 1.1, 1.7])
def test_tails_fall_off_as_a_power(alpha: float) -> None:
    """x^(1 + a) p(x) tends to a (1 + b) sin(pi a / 2) Gamma(a) / pi (Nolan 2020, theorem 1.2)."""
    # farther out, near exponent 1, the needle is narrower than the digits of the angle
    beta, far = 0.4, number(1e9 if abs(alpha - 1) < 0.2 else 1e14)
    law = dist.StableWithLogProb(number(alpha), beta)
    constant = alpha * math.sin(math.pi * alpha / 2) * math.gamma(alpha) / math.pi
    for side in (-1.0, 1.0):
        scaled = law.log_prob(side * far) + (1 + alpha) * far.log()
        assert_close(scaled, math.log(constant * (1 + side * beta)), rtol=1e-6, atol=1e-6)


def test_the_density_is_smooth_where_the_formulas_change() -> None:
    x = torch.tensor([-50.0, -1.0, 0.0, 0.4, 20.0], dtype=torch.float64)
    edges = [
        ((0.9, 0.1), (1, 0)),
        ((1.1, 0.1), (1, 0)),
        ((1.0, 0.2), (0, 1)),
        ((0.95, 0.2), (0, 1)),
    ]
    for (alpha, beta), (toward_alpha, toward_beta) in edges:
        sides = [
            standard_log_density(
                number(alpha + sign * 1e-9 * toward_alpha),
                number(beta + sign * 1e-9 * toward_beta),
                x,
            )
            for sign in (-1, 1)
        ]
        assert_close(*sides, rtol=3e-8, atol=3e-8)
    centre = number(-0.5 * math.tan(math.pi * 0.75))
    near = centre + torch.tensor([-2.001e-5, -1.999e-5, 0.0, 1.999e-5, 2.001e-5]).double()
    values = standard_log_density(number(1.5), number(0.5), near)
    slope = (values[-1] - values[0]) / 4.002e-5
    assert_close(values, values[2] + slope * (near - centre), rtol=0.0, atol=1e-7)


CASES = [
    (1.5, 0.3, 2.0, 0.1, 0.7),
    (0.7, -0.6, 1.0, 0.0, -1.0),
    (1.0, 0.5, 1.0, 0.0, 2.0),
    (1.0, 0.0, 1.0, 0.0, 0.4),
    (1.03, 0.1, 0.5, -1.0, 3.0),
    (0.9995, -0.6, 1.0, 0.0, 0.3),
    (1.8, 0.0, 1.0, 0.5, 0.5),
]


@pytest.mark.parametrize("case, coords", [*((c, "S0") for c in CASES), (CASES[1], "S")], ids=str)
def test_gradients_are_those_of_finite_differences(case: tuple[float, ...], coords: str) -> None:
    leaves = [number(v).requires_grad_() for v in case]

    def score(*v: Tensor) -> Tensor:
        return dist.StableWithLogProb(*v[:4], coords=coords).log_prob(v[4])

    assert torch.autograd.gradcheck(score, leaves, eps=1e-4, atol=1e-5, rtol=1e-4)


def test_shapes_dtypes_and_checks() -> None:
    law = dist.StableWithLogProb(torch.tensor([0.5, 1.0, 1.5]), 0.0)
    assert law.log_prob(torch.zeros(4, 1)).shape == (4, 3)
    assert law.log_prob(torch.zeros(3)).dtype is torch.float32
    assert law.expand([2, 3]).log_prob(torch.zeros(3)).shape == (2, 3)
    assert dist.StableWithLogProb(1.5, 0.0).log_prob(torch.zeros(2)).shape == (2,)
    with pytest.raises(ValueError, match="must lie within the support Real"):
        law.log_prob(torch.tensor([0.0, math.nan, 0.0]))
    values = torch.tensor([0.3, -1.0])
    one = dist.StableWithLogProb(torch.tensor(1.5), 0.2)
    assert_close(torch.func.vmap(one.log_prob)(values), one.log_prob(values))


def test_integrators() -> None:
    ends = torch.tensor([[0.0, -1.0], [2.0, 3.0]], dtype=torch.float64)
    rule = create_integrator(60)
    assert_close(
        rule(lambda t: -0.5 * (t - ends[0]).log(), ends),
        (2 * (ends[1] - ends[0]).sqrt()).log(),
        rtol=1e-7,
    )
    assert_close(rule(torch.zeros_like, ends).exp(), [2.0, 4.0], rtol=1e-9)
    with pytest.raises(ValueError, match="num_points is 1, expected 2 or more"):
        create_integrator(1)
    x = number(0.3)
    fine = standard_log_density(number(1.5), number(0.3), x)
    try:
        set_integrator(6)
        coarse = standard_log_density(number(1.5), number(0.3), x)
        assert 1e-4 < (coarse - fine).abs() < 1
    finally:
        set_integrator(100)
    assert_close(integrate(torch.zeros_like, ends).exp(), [2.0, 4.0], rtol=1e-9)
