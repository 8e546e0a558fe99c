"""Laws of absolute values."""

import math

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_probabilities

T = torch.tensor


def test_folding_at_the_middle_gives_the_half_laws() -> None:
    x = T([0.0, 0.5, 3.0])
    for base, half in ((dist.Normal, dist.HalfNormal), (dist.Cauchy, dist.HalfCauchy)):
        assert_close(dist.FoldedDistribution(base(0.0, 2.0)).log_prob(x), half(2.0).log_prob(x))


def test_a_base_law_on_an_interval_is_folded_with_checks_on() -> None:
    law = dist.FoldedDistribution(dist.Uniform(-1.0, 2.0))
    assert_close(law.log_prob(T([0.5, 1.5])).exp(), [2 / 3, 1 / 3])
    assert law.log_prob(T(2.5)) == -math.inf
    leaf = T(1.5, requires_grad=True)
    positive = dist.FoldedDistribution(dist.Gamma(leaf, 2.0)).log_prob(T(0.7))
    assert_close(positive, dist.Gamma(1.5, 2.0).log_prob(T(0.7)))
    assert torch.autograd.grad(positive, leaf)[0].isfinite()


def test_the_zero_of_a_discrete_law_counts_once() -> None:
    base = dist.Empirical(T([-2.0, -1.0, 0.0, 1.0]), T([0.1, 0.2, 0.3, 0.4]).log())
    law = dist.FoldedDistribution(base)
    masses = law.log_prob(T([0.0, 1.0, 2.0])).exp()
    assert_close(masses, [0.3, 0.6, 0.1])
    assert not law.has_rsample
    assert_fits_probabilities(law.sample((4000,)), masses)


def test_a_law_of_counts_is_left_as_it_is() -> None:
    counts = torch.arange(6.0)
    for base in (dist.Poisson(2.0), dist.ExtendedBinomial(3, T(0.4)), dist.Binomial(5, T(0.4))):
        assert_close(dist.FoldedDistribution(base).log_prob(counts), base.log_prob(counts))


def test_gradients_flow_through_draws_and_values() -> None:
    loc = T([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
    law = dist.FoldedDistribution(dist.Normal(loc, 0.1))
    (slope,) = torch.autograd.grad(law.rsample().sum(), loc)
    assert_close(slope, [-1.0, 1.0])


def test_vectors_are_not_folded() -> None:
    with pytest.raises(ValueError, match=r"law of single numbers, .* Fold first, then call to_eve"):
        dist.FoldedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1))
    folded = dist.FoldedDistribution(dist.Normal(torch.zeros(2), 1.0)).to_event(1)
    assert folded.log_prob(torch.ones(2)).shape == ()
    unchecked = dist.FoldedDistribution(dist.Normal(0.0, 1.0), validate_args=False)
    assert unchecked.log_prob(T(-1.0)) == -math.inf
