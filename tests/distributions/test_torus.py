"""Pairs of angles, and skewed ones: normalisers by quadrature and series, draws by moments."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_cdf, assert_mean

Sine = dist.SineBivariateVonMises

SHAPES = [
    (0.001, 0.001, 0.0),
    (0.1, 0.2, -20.0),
    (2.0, 3.0, 1.5),
    (30.0, 20.0, -15.0),
    (1.0, 1e-4, 10.0),
    (5.0, 5.0, 5.0),
]


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def sine(phi: float, psi: float, rho: float, **parameters: Any) -> Any:
    return Sine(*double(0.4, -1.0, phi, psi), correlation=double(rho)[0], **parameters)


def torus(count: int = 240) -> tuple[Tensor, float]:
    angles = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count) - math.pi
    return torch.stack(torch.meshgrid(angles, angles, indexing="ij"), -1), (
        2 * math.pi / count
    ) ** 2


@pytest.mark.parametrize("phi, psi, rho", SHAPES)
def test_densities_integrate_to_one(phi: float, psi: float, rho: float) -> None:
    values, area = torus()
    assert_close((sine(phi, psi, rho).log_prob(values).exp() * area).sum(), 1.0)


def series(phi: float, psi: float, rho: float, terms: int) -> float:
    """Sum binom(2m, m) (rho^2 / 4 k1 k2)^m I_m(k1) I_m(k2) (Singh et al. 2002)."""
    m = np.arange(terms)
    logs = special.gammaln(2 * m + 1) - 2 * special.gammaln(m + 1)
    logs = logs + m * np.log(rho**2 / (4 * phi * psi))
    logs = logs + np.log(special.ive(m, phi)) + np.log(special.ive(m, psi)) + phi + psi
    return float(math.log(4 * math.pi**2) + special.logsumexp(logs))


@pytest.mark.parametrize(
    "phi, psi, rho, terms",
    [(2.0, 3.0, 1.5, 40), (100.0, 80.0, 50.0, 100), (400.0, 300.0, -340.0, 300)],
)
def test_the_normaliser_is_singhs_series(phi: float, psi: float, rho: float, terms: int) -> None:
    assert_close(sine(phi, psi, rho).norm_const, series(phi, psi, rho, terms), rtol=1e-12)


@pytest.mark.parametrize("phi, psi, rho", [(1e4, 1.0, 1e4), (1e6, 1e6, 9e5), (0.1, 1e3, 1e3)])
def test_more_points_make_no_difference(phi: float, psi: float, rho: float) -> None:
    law, finer = sine(phi, psi, rho), sine(phi, psi, rho)
    points = law._num_points()
    finer._num_points = lambda: 3 * points
    assert_close(law.norm_const, finer.norm_const, rtol=1e-13)


def test_without_correlation_the_angles_are_independent() -> None:
    law = sine(2.0, 3.0, 0.0)
    values = law.sample((20,))
    expected = stats.vonmises(2.0, 0.4).logpdf(values[:, 0].numpy())
    expected = expected + stats.vonmises(3.0, -1.0).logpdf(values[:, 1].numpy())
    assert_close(law.log_prob(values), torch.as_tensor(expected))


def test_close_to_its_mode_it_is_normal() -> None:
    law = sine(1e8, 2e8, -1e8)
    precision = torch.tensor([[1e8, 1e8], [1e8, 2e8]], dtype=torch.float64)
    normal = dist.MultivariateNormal(law.mean, precision_matrix=precision)
    assert_close(law.log_prob(law.mean), normal.log_prob(law.mean), atol=1e-6)


@pytest.mark.parametrize("phi, psi, rho", SHAPES)
def test_gradients_of_the_normaliser(phi: float, psi: float, rho: float) -> None:
    parameters = [double(x)[0].requires_grad_() for x in (phi, psi, rho)]

    def normaliser(*shape: Tensor) -> Tensor:
        constant: Tensor = Sine(0.0, 0.0, *shape, validate_args=False).norm_const
        return constant

    assert torch.autograd.gradcheck(normaliser, parameters)


@pytest.mark.parametrize("phi, psi, rho", SHAPES)
def test_draws_follow_the_density(phi: float, psi: float, rho: float) -> None:
    law = sine(phi, psi, rho)
    draws = law.sample((1500,))
    assert ((draws >= -math.pi) & (draws < math.pi)).all()
    values, area = torus()
    mass = law.log_prob(values).exp() * area
    angles = values[:, 0, 0]
    for which in (0, 1):
        ends = mass.sum(1 - which).cumsum(0)  # at the middle between an angle and the next
        middle = angles + math.pi / 240
        assert_fits_cdf(
            draws[:, which],
            lambda x, m=middle, e=ends: torch.as_tensor(np.interp(x.numpy(), m.numpy(), e.numpy())),
        )

    def statistics(x: Tensor) -> Tensor:
        phi, psi = (x - law.mean).unbind(-1)
        return torch.stack([phi.cos(), psi.cos(), phi.sin() * psi.sin(), (2 * phi + psi).cos()], -1)

    expected = (statistics(values) * mass[..., None]).sum((0, 1))
    assert_mean(statistics(draws), expected)


def test_few_proposals_are_rejected_whatever_the_shape() -> None:
    """Were 1 in 3 taken, one of 2000 draws would wait for 60 with a chance of 5e-8."""
    law = Sine(0.0, 0.0, *[10 ** torch.linspace(-3, 6, 40)] * 2, weighted_correlation=0.999)
    law.max_sample_iter = 60
    assert law.sample((50,)).isfinite().all()
    law.max_sample_iter = 0
    with pytest.raises(ValueError, match="a draw was rejected 0 times. Look for parameters"):
        law.sample()


def test_the_correlation_may_be_relative() -> None:
    law = Sine(*double(0.4, -1.0, 2.0, 3.0), weighted_correlation=double(0.5)[0])
    assert_close(law.correlation, 0.5 * math.sqrt(6))
    with pytest.raises(ValueError, match="takes either 'correlation' or 'weighted_correlation'"):
        Sine(0.0, 0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="'correlation' and 'weighted_correlation' was given"):
        Sine(0.0, 0.0, 1.0, 1.0, 0.1, 0.1)
    shapes = Sine.infer_shapes(phi_loc=(2,), psi_loc=(), phi_concentration=(3, 1))
    assert shapes == (torch.Size([3, 2]), torch.Size([2]))


SKEWNESS = double(0.6, -0.4)
BASES = [sine(2.0, 3.0, -1.5), dist.VonMises(double(0.4, -1.0), double(2.0, 1.0)).to_event(1)]


@pytest.mark.parametrize("base", BASES)
def test_skewed_densities_integrate_to_one(base: Any) -> None:
    values, area = torus()
    law = dist.SineSkewed(base, SKEWNESS)
    # torch approximates the normaliser of VonMises to about seven digits
    assert_close((law.log_prob(values).exp() * area).sum(), 1.0, atol=1e-6)
    straight = dist.SineSkewed(base, torch.zeros_like(SKEWNESS))
    assert_close(straight.log_prob(values), base.log_prob(values))


@pytest.mark.parametrize("base", BASES)
def test_skewed_draws_follow_the_density(base: Any) -> None:
    values, area = torus()
    law = dist.SineSkewed(base, SKEWNESS)
    mass = law.log_prob(values).exp() * area

    def statistics(x: Tensor) -> Tensor:
        y = x - base.mean
        first, second = y.unbind(-1)
        return torch.cat([y.sin(), y.cos(), (first + second).sin()[..., None]], -1)

    draws = law.sample((4000,))
    assert ((draws >= -math.pi) & (draws < math.pi)).all()
    assert_mean(statistics(draws), (statistics(values) * mass[..., None]).sum((0, 1)))


def test_the_skewness_of_one_angle() -> None:
    """The mean of sin(x - mu) under a von Mises law skewed by l is l times that of its square."""
    base = dist.VonMises(double(0.4), double(2.0)).to_event(1)
    draws = dist.SineSkewed(base, double(0.8)).sample((4000,))
    square = special.ive(1, 2.0) / special.ive(0, 2.0) / 2.0
    assert_mean((draws - 0.4).sin(), 0.8 * square)


def test_a_skewness_for_each_angle() -> None:
    with pytest.raises(
        ValueError, match=r"'skewness' has shape \(2,\) and 'base_dist' event shape"
    ):
        dist.SineSkewed(dist.VonMises(0.0, torch.ones(2)), SKEWNESS)
    law = dist.SineSkewed(BASES[1], SKEWNESS.expand(3, 2))
    assert law.batch_shape == (3,) and law.base_dist.batch_shape == (3,)
    assert "skewness: (3, 2)" in repr(law)
