"""Counts whose probabilities are drawn: sums, mixtures, conjugacy, extremes, extended ranges."""

import math
from typing import Any

import pytest
import torch
from scipy import integrate
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.distributions.conjugate import draw_log_odds, draw_split
from pyro.distributions.counts import draw_poisson
from pyro.infer.reparam import ConjugateReparam
from tests.helpers import assert_close, assert_fits_cdf, assert_fits_probabilities, trace_of

DOUBLE = torch.float64
T = torch.tensor


def double(*numbers: float) -> Tensor:
    return T(numbers, dtype=DOUBLE)


def counts(most: int) -> Tensor:
    return torch.arange(most + 1, dtype=DOUBLE)


def moments(values: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    mean = (masses * values).sum(0)
    return mean, (masses * (values - mean) ** 2).sum(0)


def compositions(total: int, parts: int) -> Tensor:
    """All counts of so many parts with this sum."""
    grid = torch.cartesian_prod(*[counts(total)] * parts).reshape(-1, parts)
    return grid[grid.sum(-1) == total]


# exact sums


def test_beta_binomial_moments_are_sums_over_the_support() -> None:
    law = dist.BetaBinomial(double(2.0, 0.1, 50.0), double(1.5, 0.2, 9.0), 12)
    values = law.enumerate_support()
    masses = law.log_prob(values).exp()
    assert_close(masses.sum(0), torch.ones(3, dtype=DOUBLE))
    mean, variance = moments(values, masses)
    assert_close(law.mean, mean)
    assert_close(law.variance, variance)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_dirichlet_multinomial_moments_are_sums_over_the_support(is_sparse: bool) -> None:
    law = dist.DirichletMultinomial(double(2.0, 0.1, 5.0, 0.7), 5, is_sparse)
    values = compositions(5, 4)
    masses = law.log_prob(values).exp()
    assert_close(masses.sum(), 1.0)
    mean, variance = moments(values, masses[:, None])
    assert_close(law.mean, mean)
    assert_close(law.variance, variance)


def test_gamma_poisson_moments_are_sums() -> None:
    law = dist.GammaPoisson(double(2.0, 0.3), double(1.5, 0.5))
    values = counts(400)[:, None]
    masses = law.log_prob(values).exp()
    assert_close(masses.sum(0), torch.ones(2, dtype=DOUBLE))
    mean, variance = moments(values, masses)
    assert_close(law.mean, mean)
    assert_close(law.variance, variance)


def test_gamma_poisson_is_the_negative_binomial_law() -> None:
    shape, rate = double(2.0, 0.3), double(1.5, 0.5)
    other = dist.NegativeBinomial(shape, logits=-rate.log())
    value = counts(9)[:, None]
    assert_close(dist.GammaPoisson(shape, rate).log_prob(value), other.log_prob(value))


def test_two_categories_make_a_beta_binomial_law() -> None:
    concentration = double(0.6, 2.5)
    pairs = torch.stack([counts(7), 7 - counts(7)], -1)
    joint = dist.DirichletMultinomial(concentration, 7)
    single = dist.BetaBinomial(*concentration, 7)
    assert_close(joint.log_prob(pairs), single.log_prob(counts(7)))
    assert_close(joint.mean[0], single.mean)
    assert_close(joint.variance[0], single.variance)


# mixtures


def test_the_laws_are_integrals_over_the_drawn_probability() -> None:
    def integral(prior: Any, likelihood: Any, high: float) -> float:
        def integrand(p: float) -> float:
            at = T(p, dtype=DOUBLE)
            return float((prior.log_prob(at) + likelihood(at)).exp())

        return float(integrate.quad(integrand, 0, high, epsabs=1e-12)[0])

    a, b, k = T(2.0, dtype=DOUBLE), T(1.5, dtype=DOUBLE), T(3.0, dtype=DOUBLE)
    beta = integral(dist.Beta(a, b), lambda p: dist.Binomial(5, p).log_prob(k), 1.0)
    assert_close(dist.BetaBinomial(a, b, 5).log_prob(k).exp(), beta, rtol=1e-9)
    gamma = integral(dist.Gamma(a, b), lambda p: dist.Poisson(p).log_prob(k), math.inf)
    assert_close(dist.GammaPoisson(a, b).log_prob(k).exp(), gamma, rtol=1e-9)


# conjugacy: the evidence of a conjugate model is the mixture's probability


def test_the_evidence_of_a_poisson_count() -> None:
    prior, k = dist.Gamma(double(2.0, 0.3), double(1.5, 0.5)), double(4.0, 1.0)
    # a Poisson probability is, as a function of the rate, the density of Gamma(k + 1, 1)
    updated, log_evidence = prior.conjugate_update(dist.Gamma(k + 1, 1.0))
    assert_close(log_evidence, dist.GammaPoisson(prior.concentration, prior.rate).log_prob(k))
    assert_close(updated.concentration, prior.concentration + k)
    assert_close(updated.rate, prior.rate + 1)


def test_the_evidence_of_a_binomial_count() -> None:
    prior, k, n = dist.Beta(double(2.0, 0.3), double(1.5, 0.5)), double(4.0, 1.0), 6
    updated, log_evidence = prior.conjugate_update(dist.Beta(k + 1, n - k + 1))
    law = dist.BetaBinomial(prior.concentration1, prior.concentration0, n)
    # the binomial probability is that density over n + 1
    assert_close(log_evidence - math.log(n + 1), law.log_prob(k))
    assert_close(updated.concentration1, prior.concentration1 + k)


def test_the_evidence_of_multinomial_counts() -> None:
    prior, k, n = dist.Dirichlet(double(2.0, 0.3, 1.0)), double(4.0, 0.0, 2.0), 6
    updated, log_evidence = prior.conjugate_update(dist.Dirichlet(k + 1))
    law = dist.DirichletMultinomial(prior.concentration, n)
    assert_close(log_evidence + math.lgamma(n + 1) - math.lgamma(n + 3), law.log_prob(k))
    assert_close(updated.concentration, prior.concentration + k)


def test_draws_of_a_conjugate_reparameterisation_weigh_what_the_mixture_says() -> None:
    k = T(3.0, dtype=DOUBLE)
    shape, rate = T(2.0, dtype=DOUBLE), T(1.5, dtype=DOUBLE)

    def model() -> None:
        mean = pyro.sample("mean", dist.Gamma(shape, rate))
        pyro.sample("count", dist.Poisson(mean), obs=k)

    how = ConjugateReparam(dist.Gamma(k + 1, T(1.0, dtype=DOUBLE)))
    record = trace_of(pyro.poutine.reparam(model, config={"mean": how}))
    assert_close(record.log_prob_sum(), dist.GammaPoisson(shape, rate).log_prob(k))


# extremes


@pytest.mark.parametrize("shape", [1e3, 1e6, 1e9])
def test_weak_overdispersion_tends_to_the_poisson_law_in_single_precision(shape: float) -> None:
    k = torch.arange(12.0)
    law = dist.GammaPoisson(T(shape), T(shape / 4))
    exact = dist.GammaPoisson(T(shape).double(), T(shape / 4).double()).log_prob(k.double())
    assert_close(law.log_prob(k), exact, rtol=5e-6)
    assert (exact - dist.Poisson(4.0).log_prob(k)).abs().max() < 40 / shape + 1e-5


@pytest.mark.parametrize("weight", [1e2, 1e5, 1e8])
def test_a_strong_prior_tends_to_the_binomial_law_in_single_precision(weight: float) -> None:
    a, b, k = T(0.3 * weight), T(0.7 * weight), torch.arange(11.0)
    exact = dist.BetaBinomial(a.double(), b.double(), 10).log_prob(k.double())
    assert_close(dist.BetaBinomial(a, b, 10).log_prob(k), exact, rtol=1e-5, atol=2e-5)
    assert (exact - dist.Binomial(10, T(0.3)).log_prob(k)).abs().max() < 200 / weight + 1e-5
    joint = dist.DirichletMultinomial(torch.stack([a, b]), 10)
    assert_close(joint.log_prob(torch.stack([k, 10 - k], -1)), exact, rtol=1e-5, atol=2e-5)


def test_large_counts_keep_their_digits_in_single_precision() -> None:
    shape, rate, k = T(2.5), T(1e-5), T(2e5)
    exact = dist.GammaPoisson(shape.double(), rate.double()).log_prob(k.double())
    assert_close(dist.GammaPoisson(shape, rate).log_prob(k), exact, rtol=1e-5)


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 1e-3, 1e-6])
def test_the_tolerance_of_log_probabilities_holds(tolerance: float) -> None:
    law = dist.BetaBinomial(double(2.0, 0.1), double(1.5, 0.2), 12)
    values = law.enumerate_support()
    exact = law.log_prob(values)
    law.approx_log_prob_tol = tolerance
    error = (law.log_prob(values) - exact).abs().max()
    assert error <= 3 * tolerance  # of three terms
    assert error > 1e-9 or tolerance < 3e-4


def test_means_that_a_poisson_law_cannot_count_to_are_drawn_as_they_are() -> None:
    rate = T([0.0, 3.0, 1e17, 1e25, math.inf])
    draws = draw_poisson(rate)
    assert (draws >= 0).all() and (draws % 1 == 0).all()
    assert_close(draws[2:4], rate[2:4], rtol=1e-6)
    assert draws[4] == torch.finfo(torch.float32).max
    assert dist.GammaPoisson(T(2.0), T(1e-30)).sample((50,)).min() > 1e20
    assert dist.NegativeBinomial(T(2.0), logits=T(60.0)).sample((50,)).min() > 1e20


@pytest.mark.parametrize("a, b", [(1e-4, 2e-4), (0.02, 0.01), (0.6, 30.0)])
def test_log_odds_of_small_concentrations_are_drawn_right(a: float, b: float) -> None:
    odds = draw_log_odds(torch.full((4000,), a), torch.full((4000,), b)).double()

    def cdf(x: Tensor) -> Tensor:
        """The beta distribution function, also where the proportion underflows."""
        from scipy.special import betainc, betaln

        tail = torch.as_tensor(betainc(a, b, x.sigmoid().numpy()))
        upper = 1 - torch.as_tensor(betainc(b, a, (-x).sigmoid().numpy()))
        low = (a * x - math.log(a) - float(betaln(a, b))).exp()  # the leading term of its series
        high = 1 - (-b * x - math.log(b) - float(betaln(a, b))).exp()
        inner = torch.where(x < 0, tail, upper)
        return torch.where(x < -40, low, torch.where(x > 40, high, inner))

    assert_fits_cdf(odds, cdf)


def test_counts_of_tiny_concentrations_fall_on_one_side() -> None:
    law = dist.BetaBinomial(T(1e-20), T(2e-20), 10)
    draws = law.sample((3000,))
    assert ((draws == 0) | (draws == 10)).all()
    assert_fits_probabilities(draws / 10, T([2 / 3, 1 / 3]))
    assert_close(law.log_prob(T([0.0, 10.0])).exp(), [2 / 3, 1 / 3])


# draws


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_counts_are_split_by_the_dirichlet_multinomial_law(parts: int) -> None:
    concentration = double(2.0, 0.1, 5.0, 0.7, 1.0)[:parts]
    law = dist.DirichletMultinomial(concentration, 3)
    support = compositions(3, parts)
    draws = law.sample((6000,))
    where = (draws[:, None] == support).all(-1)
    assert where.any(-1).all()
    probabilities = law.log_prob(support).exp()
    common = probabilities * 6000 >= 5
    which = where.long().argmax(-1)
    remap = common.long().cumsum(0) - 1
    kept = common[which]
    if common.sum() > 1:
        assert_fits_probabilities(remap[which[kept]], probabilities[common])


def test_different_numbers_of_trials_are_split() -> None:
    total = T([0.0, 3.0, 1e6])
    draws = dist.DirichletMultinomial(T([2.0, 0.5, 1.0]), total).sample((5,))
    assert_close(draws.sum(-1), total.expand(5, 3))
    assert draw_split(T(1e6), torch.ones(1000)).sum() == 1e6


def test_a_support_with_different_numbers_of_trials_is_not_listed() -> None:
    law = dist.BetaBinomial(1.0, 1.0, T([2.0, 3.0]))
    with pytest.raises(NotImplementedError, match="different numbers of trials"):
        law.enumerate_support()
    assert_close(law.support.upper_bound, [2.0, 3.0])
    assert dist.BetaBinomial(torch.ones(2), 1.0, 3).enumerate_support(False).shape == (4, 1)


def test_a_concentration_needs_a_dimension() -> None:
    with pytest.raises(ValueError, match="'concentration' needs a dimension"):
        dist.DirichletMultinomial(T(1.0))


def test_counts_with_another_sum_are_those_of_as_many_trials() -> None:
    k = T([1.0, 0.0, 2.0])
    few, many = (dist.DirichletMultinomial(T([2.0, 0.7, 1.0]), n) for n in (3, 8))
    assert_close(many.log_prob(k), few.log_prob(k))


def test_a_sparse_law_scores_alike_and_has_the_same_gradients() -> None:
    leaf = double(2.0, 0.3, 1.0).requires_grad_()
    value = double(4.0, 0.0, 2.0).expand(2, 3)
    both = [dist.DirichletMultinomial(leaf.expand(2, 3), 6, flag) for flag in (False, True)]
    dense, sparse = (law.log_prob(value) for law in both)
    assert_close(sparse, dense)
    slopes = [torch.autograd.grad(scored.sum(), leaf)[0] for scored in (dense, sparse)]
    assert_close(slopes[1], slopes[0])
    assert both[1].expand([4, 2]).is_sparse


MAPPED = [
    dist.BetaBinomial(0.7, T(2.0), 5),
    dist.DirichletMultinomial(T([0.7, 2.0]), 5),
    dist.DirichletMultinomial(T([0.7, 2.0]), 5, is_sparse=True),
    dist.GammaPoisson(0.7, T(2.0)),
    dist.LogNormalNegativeBinomial(0.7, T(0.3), 0.5),
    dist.ExtendedBinomial(5, T(0.4)),
    dist.ExtendedBetaBinomial(0.7, T(2.0), 5),
    dist.ZeroInflatedPoisson(T(2.0), gate=T(0.3)),
    dist.ZeroInflatedNegativeBinomial(T(2.0), logits=T(0.5), gate_logits=T(0.3)),
]


@pytest.mark.parametrize("law", MAPPED, ids=lambda law: type(law).__name__)
def test_scores_can_be_mapped_over_values(law: Any) -> None:
    values = law.sample((6,))
    assert_close(torch.func.vmap(law.log_prob)(values), law.log_prob(values))


@pytest.mark.parametrize("law", MAPPED, ids=lambda law: type(law).__name__)
def test_counts_of_an_integer_dtype_score_alike(law: Any) -> None:
    values = law.sample((6,))
    assert_close(law.log_prob(values.long()), law.log_prob(values))


# extended ranges

EXTENDED: list[Any] = [
    (lambda n: dist.ExtendedBinomial(n, T(0.3)), lambda n: dist.Binomial(n, T(0.3))),
    (
        lambda n: dist.ExtendedBetaBinomial(T(0.7), T(2.0), n),
        lambda n: dist.BetaBinomial(T(0.7), T(2.0), n),
    ),
]


@pytest.mark.parametrize("make, plain", EXTENDED)
def test_an_extended_law_scores_every_whole_number(make: Any, plain: Any) -> None:
    value = torch.arange(-3.0, 8.0)
    inside = (value >= 0) & (value <= 4)
    scored = make(4).log_prob(value)
    assert_close(scored[inside], plain(4).log_prob(value[inside]))
    assert (scored[~inside] == -math.inf).all()
    assert isinstance(make(4), type(plain(4)))


@pytest.mark.parametrize("make, plain", EXTENDED)
def test_nothing_comes_up_in_a_negative_number_of_trials(make: Any, plain: Any) -> None:
    count = T([-2.0, 0.0, 3.0])
    law = make(count)
    assert (law.log_prob(torch.arange(-3.0, 4.0)[:, None])[:, 0] == -math.inf).all()
    assert law.mean[0].isnan() and law.variance[0].isnan()
    assert_close(law.mean[1:], plain(count[1:]).mean)
    assert_close(law.variance[1:], plain(count[1:]).variance)
    draws = law.sample((50,))
    assert (draws[:, :2] == 0).all() and (draws[:, 2] <= 3).all()


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_at_impossible_counts_are_zero(which: int) -> None:
    leaf = T(0.3, requires_grad=True)
    law: Any = dist.ExtendedBinomial(2, leaf) if which else dist.ExtendedBetaBinomial(leaf, 1.0, 2)
    scored = law.log_prob(T([-1.0, 1.0, 3.0]))
    assert torch.autograd.grad(scored[1], leaf, retain_graph=True)[0].isfinite()
    for impossible in (0, 2):
        assert torch.autograd.grad(scored[impossible], leaf, retain_graph=True)[0] == 0
