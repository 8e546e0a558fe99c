"""Laws with more zeros than their base laws have."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from tests.helpers import assert_close, assert_fits_probabilities

DOUBLE = torch.float64
T = torch.tensor


def double(*numbers: float) -> Tensor:
    return T(numbers, dtype=DOUBLE)


def counts(most: int) -> Tensor:
    return torch.arange(most + 1, dtype=DOUBLE)[:, None]


LAWS: dict[str, Any] = {
    "poisson": lambda **gate: dist.ZeroInflatedPoisson(double(3.0, 0.5), **gate),
    "negative binomial": lambda **gate: dist.ZeroInflatedNegativeBinomial(
        double(3.0, 1.5), probs=double(0.3, 0.6), **gate
    ),
    "binomial": lambda **gate: dist.ZeroInflatedDistribution(
        dist.Binomial(7, double(0.3, 0.6)), **gate
    ),
}
each_law = pytest.mark.parametrize("name", LAWS)


@each_law
def test_masses_and_moments_are_sums(name: str) -> None:
    law = LAWS[name](gate=double(0.3, 0.8))
    with dist.validation_enabled(False):
        values = counts(7 if name == "binomial" else 300)
        masses = law.log_prob(values).exp()
    assert_close(masses.sum(0), torch.ones(2, dtype=DOUBLE))
    mean = (masses * values).sum(0)
    assert_close(law.mean, mean)
    assert_close(law.variance, (masses * (values - mean) ** 2).sum(0))


@each_law
def test_a_mass_is_that_of_the_mixture(name: str) -> None:
    gate = double(0.3, 0.8)
    law = LAWS[name](gate=gate)
    base = law.base_dist.log_prob(counts(5)).exp()
    zero = torch.zeros_like(base)
    zero[0] = 1
    assert_close(law.log_prob(counts(5)).exp(), gate * zero + (1 - gate) * base)
    by_logits = LAWS[name](gate_logits=gate.logit())
    assert_close(by_logits.log_prob(counts(5)), law.log_prob(counts(5)))
    assert_close(by_logits.gate, gate)
    assert_close(law.gate_logits, gate.logit())
    assert_close(law.expand([3, 2]).log_prob(counts(5)[..., None])[:, 0], law.log_prob(counts(5)))


def test_a_law_expands_after_its_gate_has_been_read_both_ways() -> None:
    law = dist.ZeroInflatedPoisson(double(3.0, 0.5), gate=0.3)
    assert_close(law.gate_logits, T(0.3).double().logit().expand(2))
    assert law.expand([4, 2]).log_prob(double(1.0, 0.0)).shape == (4, 2)
    assert_close(law.expand([4, 2]).rate, double(3.0, 0.5).expand(4, 2))


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
def test_gradients_are_right_also_where_the_gate_is_shut_or_open(gate: float) -> None:
    rate = T(2.0, dtype=DOUBLE, requires_grad=True)
    leaf = T(gate, dtype=DOUBLE, requires_grad=True)
    at_zero = dist.ZeroInflatedPoisson(rate, gate=leaf).log_prob(T(0.0))
    slopes = torch.autograd.grad(at_zero, [leaf, rate])
    base = math.exp(-2.0)
    mass = gate + (1 - gate) * base
    assert_close(at_zero, math.log(mass))
    assert_close(slopes[0], (1 - base) / mass)
    assert_close(slopes[1], -(1 - gate) * base / mass)
    if gate == 1:
        return  # what comes next then has probability 0, and no gradient
    elsewhere = dist.ZeroInflatedPoisson(rate, gate=leaf).log_prob(double(0.0, 1.0))
    assert_close(torch.autograd.grad(elsewhere[0], leaf)[0], slopes[0])


def test_masses_far_below_the_smallest_number_are_kept() -> None:
    value = T(0.0)
    shut = dist.ZeroInflatedPoisson(T(500.0), gate=T(0.0))
    assert_close(shut.log_prob(value), -500.0)
    nearly = dist.ZeroInflatedPoisson(T(500.0), gate_logits=T(-300.0))
    assert_close(nearly.log_prob(value), -300.0)
    assert_close(nearly.log_prob(T(500.0)), dist.Poisson(T(500.0)).log_prob(T(500.0)))
    full = dist.ZeroInflatedPoisson(T(2.0), gate=T(1.0))
    assert_close(full.log_prob(T([0.0, 1.0])), [0.0, -math.inf])


@pytest.mark.parametrize("base", [dist.LogNormal, dist.Gamma, dist.Normal])
@pytest.mark.parametrize("gate", [{"gate": 0.3}, {"gate_logits": math.log(3 / 7)}])
def test_a_continuous_law_has_a_mass_at_zero_and_a_density_elsewhere(base: Any, gate: Any) -> None:
    leaf = T(1.5, requires_grad=True)
    law = dist.ZeroInflatedDistribution(base(leaf, 1.0), **gate)
    value = T([0.0, 2.0])
    scored = law.log_prob(value)
    assert_close(scored[0], math.log(0.3))
    assert_close(scored[1], math.log(0.7) + base(1.5, 1.0).log_prob(T(2.0)))
    assert torch.autograd.grad(scored[0], leaf, retain_graph=True)[0] == 0
    assert torch.autograd.grad(scored[1], leaf)[0].isfinite()
    assert law.support.check(T([0.0, 0.5])).all() and not law.support.is_discrete
    draws = law.sample((4000,))
    assert_fits_probabilities(draws != 0, T([0.3, 0.7]))
    empty = dist.ZeroInflatedDistribution(base(1.5, 1.0), gate=0.0)
    assert empty.log_prob(T(0.0)) == -math.inf


@each_law
def test_draws_follow_the_law(name: str) -> None:
    law = LAWS[name](gate=double(0.3, 0.8))
    draws = law.sample((4000,))
    for column in range(2):
        masses = law.log_prob(counts(4)).exp()[:, column]
        masses = torch.cat([masses, 1 - masses.sum(0, True)])
        masses, merged = masses.clone(), draws[:, column].clamp(max=5)
        rare = masses * 4000 < 5
        first = int(rare.nonzero()[0]) if rare.any() else 5
        masses = torch.cat([masses[:first], masses[first:].sum(0, True)])
        if masses[-1] * 4000 < 5:
            masses = torch.cat([masses[:-2], masses[-2:].sum(0, True)])
        assert_fits_probabilities(merged.clamp(max=len(masses) - 1), masses)


def test_what_can_be_listed_is_listed_with_zero() -> None:
    law = dist.ZeroInflatedDistribution(dist.Binomial(3, T(0.4)), gate=T(0.3))
    assert law.has_enumerate_support and law.enumerate_support().tolist() == [0, 1, 2, 3]
    listed = dist.ZeroInflatedDistribution(dist.Empirical(T([0.0, 2.0]), T([0.0, 0.0])), gate=0.5)
    assert_close(listed.log_prob(T([0.0, 2.0])).exp(), [0.75, 0.25])
    positive = dist.Empirical(T([1.0, 2.0]), T([0.3, -0.2]))
    law = dist.ZeroInflatedDistribution(positive, gate=T(0.3))
    values = law.enumerate_support()
    assert values.tolist() == [0, 1, 2]
    assert_close(law.log_prob(values).exp().sum(), 1.0)
    assert not dist.ZeroInflatedPoisson(1.0, gate=0.5).has_enumerate_support
    mixed = dist.Empirical(T([[0.0, 1.0], [1.0, 2.0]]), torch.zeros(2, 2))
    with pytest.raises(NotImplementedError, match="can be 0 for a part of its batch only"):
        dist.ZeroInflatedDistribution(mixed, gate=0.5).enumerate_support()


def test_a_hidden_count_is_summed_out() -> None:
    def model() -> None:
        law = dist.ZeroInflatedDistribution(dist.Binomial(3, T(0.4)), gate=T(0.3))
        count = pyro.sample("count", law)
        pyro.sample("x", dist.Normal(count, 1.0), obs=T(1.5))

    law = dist.ZeroInflatedDistribution(dist.Binomial(3, T(0.4)), gate=T(0.3))
    values = law.enumerate_support()
    evidence = (law.log_prob(values) + dist.Normal(values, 1.0).log_prob(T(1.5))).logsumexp(0)
    elbo: Trace_ELBO = TraceEnum_ELBO(max_plate_nesting=0)
    loss = elbo.loss(config_enumerate(model, "parallel"), lambda: None)
    assert_close(-loss, evidence)


def test_refusals_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"law of single numbers, .* Call to_event\(\) on the"):
        dist.ZeroInflatedDistribution(dist.Poisson(torch.ones(2)).to_event(1), gate=0.5)
    with pytest.raises(ValueError, match="takes either 'gate' or 'gate_logits', but none of them"):
        dist.ZeroInflatedPoisson(1.0)
    with pytest.raises(ValueError, match="'gate' and 'gate_logits' was given"):
        dist.ZeroInflatedPoisson(1.0, gate=0.5, gate_logits=0.0)
    with pytest.raises(ValueError, match="either 'probs' or 'logits'"):
        dist.ZeroInflatedNegativeBinomial(1.0, gate=0.5)


def test_a_law_shows_its_base_and_its_gate() -> None:
    law = dist.ZeroInflatedPoisson(2.0, gate=0.5)
    assert repr(law) == "ZeroInflatedPoisson(Poisson(rate: 2.0), gate: 0.5)"
    assert repr(dist.ZeroInflatedPoisson(2.0, gate=torch.ones(3))).endswith(
        "gate: torch.Size([3]))"
    )
