"""Directions of normal vectors: their density against closed forms, and against draws."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import pyro.distributions as dist
from pyro.distributions.projected_normal import log_radial_integral
from tests.helpers import assert_close, assert_fits_cdf


@pytest.mark.parametrize("power", [2, 3, 5, 12])
def test_the_radial_integral_is_one(power: int) -> None:
    for t in (-30.0, -3.0, 0.0, 1.0, 25.0):
        peak = (t + math.sqrt(t * t + 4 * power)) / 2
        top = (power - 1) * math.log(peak) + peak * t - peak**2 / 2
        value, _ = integrate.quad(
            lambda r, t=t, top=top: math.exp((power - 1) * math.log(r) + r * t - r * r / 2 - top),
            0.0,
            peak + 40,
            points=[peak],
            epsabs=0.0,
            epsrel=1e-12,
            limit=200,
        )
        actual = log_radial_integral(torch.tensor(t, dtype=torch.float64), power)
        assert_close(actual, top + math.log(value), atol=1e-11)


def test_the_density_in_the_plane_is_that_of_the_angle() -> None:
    """p = phi(|mu|) (1/sqrt(2 pi) + t Phi(t) exp(t^2 / 2)) / sqrt(2 pi), up to exp(-t^2/2)."""
    mu = torch.tensor([0.6, -1.2], dtype=torch.float64)
    angle = torch.linspace(0, 2 * math.pi, 33, dtype=torch.float64)[:-1]
    x = torch.stack([angle.cos(), angle.sin()], -1)
    t = (x @ mu).numpy()
    level = math.exp(-0.5 * float(mu @ mu)) / (2 * math.pi)
    expected = level * (1 + t * stats.norm.cdf(t) / stats.norm.pdf(t))
    assert_close(dist.ProjectedNormal(mu).log_prob(x).exp(), torch.as_tensor(expected))


def test_densities_integrate_to_one() -> None:
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(80))
    turn = torch.arange(80, dtype=torch.float64) * (2 * math.pi / 80)
    radius = (1 - nodes**2).sqrt()[:, None]
    x = torch.stack([radius * turn.cos(), radius * turn.sin(), nodes[:, None].expand(80, 80)], -1)
    law = dist.ProjectedNormal(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    total = (law.log_prob(x).exp() * weights[:, None]).sum() * 2 * math.pi / 80
    assert_close(total, 1.0)


def test_draws_in_the_plane_follow_the_density() -> None:
    law = dist.ProjectedNormal(torch.tensor([0.6, -1.2], dtype=torch.float64))
    draws = law.sample((2000,))
    grid = torch.linspace(-math.pi, math.pi, 2001, dtype=torch.float64)
    density = law.log_prob(torch.stack([grid.cos(), grid.sin()], -1)).exp().numpy()
    cdf = integrate.cumulative_simpson(density, x=grid.numpy(), initial=0.0)
    angles = torch.atan2(draws[:, 1], draws[:, 0])
    assert_fits_cdf(angles, lambda a: torch.as_tensor(np.interp(a.numpy(), grid.numpy(), cdf)))


def test_the_mean_is_a_direction() -> None:
    law = dist.ProjectedNormal(torch.tensor([3.0, 4.0]))
    assert_close(law.mean, [0.6, 0.8])
    assert_close(law.mode, [0.6, 0.8])
    assert law.support.check(dist.ProjectedNormal(torch.zeros(2)).mean)
    with pytest.raises(ValueError, match="'concentration' is a vector"):
        dist.ProjectedNormal(torch.tensor(1.0))
