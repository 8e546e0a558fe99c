"""The beta law on any interval."""

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions.inverse_gamma import InverseGamma
from tests.helpers import assert_close, assert_fits_cdf

DOUBLE = torch.float64
T = torch.tensor


def law_and_scipys() -> tuple[dist.AffineBeta, Tensor]:
    a, b, loc, scale = (T(v, dtype=DOUBLE) for v in (0.7, 2.5, -1.0, 3.0))
    return dist.AffineBeta(a, b, loc, scale), stats.beta(0.7, 2.5, -1.0, 3.0)


def test_moments_are_scipys() -> None:
    law, other = law_and_scipys()
    mean, variance = other.stats("mv")
    assert_close(law.mean, mean)
    assert_close(law.variance, variance)
    assert_close(law.entropy(), other.entropy(), rtol=1e-9)
    assert_close(law.low, -1.0)
    assert_close(law.high, 2.0)
    assert_close(law.sample_size, 3.2)


def test_draws_follow_scipys_law() -> None:
    law, other = law_and_scipys()
    assert_fits_cdf(law.sample((4000,)), lambda x: torch.as_tensor(other.cdf(x.numpy())))


def test_it_is_a_transformed_law() -> None:
    law, _ = law_and_scipys()
    assert isinstance(law, dist.TransformedDistribution)
    plain = dist.TransformedDistribution(law.base_dist, law.transforms)
    x = T([-0.9, 0.3, 1.9], dtype=DOUBLE)
    assert_close(law.log_prob(x), plain.log_prob(x))
    torch.manual_seed(3)
    draw = law.rsample((5,))
    torch.manual_seed(3)
    assert_close(draw, plain.rsample((5,)))


def test_gradients_of_draws_are_implicit() -> None:
    leaves = [T(v, dtype=DOUBLE, requires_grad=True) for v in (0.7, 2.5, -1.0, 3.0)]
    value = dist.AffineBeta(*leaves).rsample()
    slopes = torch.autograd.grad(value, leaves)
    density = dist.AffineBeta(*leaves).log_prob(value).exp().item()
    step = 1e-6
    for which, slope in enumerate(slopes):
        ends = []
        for shift in (-step, step):
            numbers = [leaf.item() for leaf in leaves]
            numbers[which] += shift
            ends.append(stats.beta(*numbers).cdf(value.item()))
        expected = -(ends[1] - ends[0]) / (2 * step) / density
        # torch computes derivatives of beta draws to about three digits
        assert_close(slope, expected, rtol=5e-3, atol=5e-3)


def test_draws_stay_off_the_ends_of_a_narrow_interval() -> None:
    law = dist.AffineBeta(0.01, 0.01, T(100.0), 1e-3)
    draws = law.sample((2000,))
    assert (draws > law.low).all() and (draws < law.high).all()
    assert law.log_prob(draws).isfinite().all()


def test_ends_have_the_density_of_a_limit() -> None:
    with pytest.raises(ValueError, match="must lie within the support"):
        dist.AffineBeta(2.0, 1.0, 0.0, 1.0).log_prob(T(1.5))
    ends = T([-1.0, 1.0])
    assert dist.AffineBeta(2.0, 3.0, -1.0, 2.0).log_prob(ends).tolist() == [-torch.inf] * 2
    assert_close(dist.AffineBeta(1.0, 1.0, -1.0, 2.0).log_prob(ends).exp(), [0.5, 0.5])


def test_shapes_are_inferred() -> None:
    assert dist.AffineBeta.infer_shapes((2,), (), (3, 1), ()) == ((3, 2), ())


def test_the_inverse_gamma_law_has_a_path_of_its_own() -> None:
    assert InverseGamma is dist.InverseGamma
