"""Laws drawn by rejection: their draws, densities, and gradients."""

import copy
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.distributions.rejector import Rejector
from pyro.distributions.remembered import origin_of
from pyro.distributions.testing.gof import auto_goodness_of_fit
from pyro.distributions.testing.naive_dirichlet import NaiveBeta, NaiveDirichlet
from pyro.distributions.testing.rejection_exponential import RejectionExponential
from pyro.distributions.testing.rejection_gamma import (
    RejectionGamma,
    RejectionStandardGamma,
    ShapeAugmentedBeta,
    ShapeAugmentedDirichlet,
    ShapeAugmentedGamma,
)
from tests.helpers import assert_close, assert_mean


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def thinned(rate: Tensor, x: Tensor) -> Tensor:
    return -rate * x


def rejector(rate: Tensor) -> Rejector:
    """The exponential law of rate ``1 + rate``, from proposals of rate 1."""
    propose = dist.Exponential(torch.ones_like(rate))
    return Rejector(propose, partial(thinned, rate), -torch.log1p(rate))


LAWS: dict[str, tuple[Any, Any]] = {
    "rejector": (rejector(doubles(0.5, 3.0)), dist.Exponential(doubles(1.5, 4.0))),
    "exponential": (
        RejectionExponential(doubles(0.5, 3.0), doubles(0.3)),
        dist.Exponential(doubles(0.5, 3.0)),
    ),
    "standard gamma": (
        RejectionStandardGamma(doubles(0.4, 3.0)),
        dist.Gamma(doubles(0.4, 3.0), 1.0),
    ),
    "gamma": (RejectionGamma(doubles(0.4, 3.0), 2.0), dist.Gamma(doubles(0.4, 3.0), 2.0)),
    "augmented gamma": (
        ShapeAugmentedGamma(doubles(0.4, 3.0), 2.0, boost=2),
        dist.Gamma(doubles(0.4, 3.0), 2.0),
    ),
    "augmented beta": (
        ShapeAugmentedBeta(doubles(0.4, 3.0), doubles(1.5)),
        dist.Beta(doubles(0.4, 3.0), doubles(1.5)),
    ),
    "augmented dirichlet": (
        ShapeAugmentedDirichlet(doubles(0.4, 3.0, 1.0), boost=3),
        dist.Dirichlet(doubles(0.4, 3.0, 1.0)),
    ),
    "naive beta": (
        NaiveBeta(doubles(0.4, 3.0), doubles(1.5)),
        dist.Beta(doubles(0.4, 3.0), doubles(1.5)),
    ),
    "naive dirichlet": (
        NaiveDirichlet(doubles(0.4, 3.0, 1.0)),
        dist.Dirichlet(doubles(0.4, 3.0, 1.0)),
    ),
}
every_law = pytest.mark.parametrize("law, plain", LAWS.values(), ids=list(LAWS))


@every_law
def test_densities_are_those_of_the_plain_law(law: Any, plain: Any) -> None:
    value = plain.sample((50,))
    assert_close(law.log_prob(value), plain.log_prob(value))
    with pytest.raises(ValueError, match="must lie within the support"):
        law.log_prob(-value)


@every_law
def test_draws_follow_the_density(law: Any, plain: Any) -> None:
    """False-alarm rate 2e-5 an entry."""
    value = law((4000,))
    if not law.event_dim:
        for i, column in enumerate(value.unbind(-1)):
            probs = plain.log_prob(value).exp()[:, i]
            assert auto_goodness_of_fit(column, probs) > 1e-5
    assert_mean(value, plain.mean, plain.stddev)
    assert_mean(value.square(), plain.variance + plain.mean.square())


@every_law
def test_shapes_copies_and_generators(law: Any, plain: Any) -> None:
    for other in (law.expand_by([3]), pickle.loads(pickle.dumps(law)), copy.deepcopy(law)):
        assert type(other) is type(law)
        value = other()
        assert value.shape == other.shape()
        assert_close(other.log_prob(value), plain.log_prob(value))
    assert law.has_rsample and law.sample().requires_grad is False
    if not isinstance(law, (NaiveBeta, NaiveDirichlet)):
        generator = torch.Generator().manual_seed(3)
        first, second = (law.rsample((2,), generator=generator) for _ in range(2))
        assert (first != second).any()
        torch.manual_seed(99)
        undisturbed = torch.rand(3)
        torch.manual_seed(99)
        again = law.rsample((2,), generator=generator.manual_seed(3))
        assert_close(again, first)
        assert_close(torch.rand(3), undisturbed)


def half(rate: Tensor) -> Rejector:
    """The exponential law of rate ``rate + 1``, with the parameter in the proposals."""
    propose = dist.Exponential(rate)
    return Rejector(propose, partial(thinned, torch.ones_like(rate)), -torch.log1p(1 / rate))


def surrogate(law: Any, value: Tensor, cost: Tensor) -> Tensor:
    """What has the gradient of the expected cost, by the parts that the law tells."""
    _, score, _ = law.score_parts(value)
    return cost + cost.detach() * score


MAKERS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], Tensor], float]] = {
    # with the expectation of log x, and a parameter
    "rejector": (rejector, lambda r: -torch.log1p(r) - 0.5772156649015329, 1.5),
    "half": (half, lambda r: -torch.log1p(r) - 0.5772156649015329, 1.5),
    "standard gamma": (RejectionStandardGamma, torch.digamma, 1.3),
    "gamma": (lambda a: RejectionGamma(a, 2 * a), lambda a: a.digamma() - (2 * a).log(), 1.3),
    "augmented": (
        lambda a: ShapeAugmentedGamma(a, 2 * a, boost=2),
        lambda a: a.digamma() - (2 * a).log(),
        0.7,
    ),
    "beta": (
        lambda a: ShapeAugmentedBeta(a, 2 * a),
        lambda a: a.digamma() - (3 * a).digamma(),
        0.7,
    ),
    "naive beta": (lambda a: NaiveBeta(a, 2 * a), lambda a: a.digamma() - (3 * a).digamma(), 0.7),
}


@pytest.mark.parametrize("make, expectation, at", MAKERS.values(), ids=list(MAKERS))
def test_gradients_of_expectations_are_unbiased(make: Any, expectation: Any, at: float) -> None:
    """False-alarm rate 7e-6 each, against the derivative in closed form."""
    exact = torch.autograd.functional.jacobian(expectation, doubles(at))
    theta = torch.full((20_000,), at, dtype=torch.float64, requires_grad=True)
    law = make(theta)
    value = law.rsample()
    (gradient,) = torch.autograd.grad(surrogate(law, value, value.log()).sum(), theta)
    assert_mean(gradient, exact.squeeze())


def test_without_its_score_the_gradient_would_be_biased() -> None:
    """The test above can fail: the gradient of the draws alone is off by more than 20 errors."""
    theta = torch.full((20_000,), 1.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(half(theta).rsample().square().sum(), theta)
    exact = -4 / 2.5**3
    assert (gradient.mean() - exact).abs() > 20 * gradient.std() / math.sqrt(len(gradient))


def test_the_gradient_of_the_acceptance_rate_is_exact() -> None:
    """The score of the noise has mean 0: the integral of its law over proposals does not change."""
    from scipy import integrate

    def mass(alpha: Tensor) -> Tensor:
        law = RejectionStandardGamma(alpha)

        def density(z: float) -> float:
            value = doubles(z)
            kept = law.propose_log_prob(value) + law.log_prob_accept(value)
            return float(kept.exp())

        return doubles(integrate.quad(density, 0, math.inf, epsabs=1e-12)[0])

    for alpha in (0.5, 1.0, 4.0):
        law = RejectionStandardGamma(doubles(alpha))
        assert_close(mass(doubles(alpha)), law.log_scale.exp(), rtol=1e-8)
        value = law.sample((20,))
        whole = law.propose_log_prob(value) + law.log_prob_accept(value) - law.log_scale
        assert_close(whole, law.log_prob(value))


def test_the_gradient_is_exact_for_each_exponential_draw() -> None:
    """The draw is the proposal as a function of its noise: its derivative is in closed form."""
    rate = doubles(1.5).requires_grad_()
    law = RejectionExponential(rate, doubles(0.5))
    value = law.rsample((50,))
    (slope,) = torch.autograd.grad(value.sum(), rate, retain_graph=True)
    assert_close(slope, -value.sum().detach()[None] / 1.5)
    # at fixed noise the product of rate and value is fixed, and so is the score
    (score_slope,) = torch.autograd.grad(law.score_parts(value).score_function.sum(), rate)
    assert_close(score_slope, torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("wrap", ["independent", "masked", "expanded", "transformed"])
def test_wrapped_laws_keep_the_score(wrap: str) -> None:
    law = RejectionGamma(doubles(1.5, 2.5), 1.0)
    value = law.rsample()
    score = law.score_parts(value).score_function
    if wrap == "independent":
        parts = law.to_event(1).score_parts(value)
        assert_close(parts.score_function, score.sum())
    elif wrap == "masked":
        parts = law.mask(torch.tensor([True, False])).score_parts(value)
        assert_close(parts.score_function, score)
        assert parts.log_prob[1] == parts.entropy_term[1] == 0
    elif wrap == "expanded":
        expanded = dist.ExpandedDistribution(law, [3, 2])
        assert_close(expanded.score_parts(value).score_function, score.expand(3, 2))
        assert_close(expanded.to_event(1).score_parts(value).score_function, score.sum().expand(3))
    else:
        shifted = dist.TransformedDistribution(law, torch.distributions.ExpTransform())
        assert_close(shifted.score_parts(value.exp()).score_function, score)
        assert shifted.has_rsample
        plain = dist.TransformedDistribution(dist.Normal(0.0, 1.0), [])
        assert plain.score_parts(torch.tensor(1.0)).score_function == 0


@pytest.mark.parametrize("wrap", ["plain", "event", "scaled"])
def test_elbos_fit_through_rejection(wrap: str) -> None:
    """The gradient of an ELBO, 4000 times; false-alarm rate 7e-6, against its closed form."""
    alpha = torch.full((4000, 1), 1.3, dtype=torch.float64, requires_grad=True)
    count = 1 if wrap == "event" else 2

    def model() -> None:
        with pyro.plate("each", 4000, dim=-count):
            prior = dist.Gamma(doubles(2.0), 3.0).expand([4000, 1])
            pyro.sample("x", prior.to_event(2 - count))

    def guide() -> None:
        with pyro.plate("each", 4000, dim=-count):
            pyro.sample("x", RejectionGamma(alpha, 1.0).to_event(2 - count))

    def kl(a: Tensor) -> Tensor:
        return torch.distributions.kl_divergence(dist.Gamma(a, 1.0), dist.Gamma(doubles(2.0), 3.0))

    exact = torch.autograd.functional.jacobian(kl, doubles(1.3)).squeeze()
    scale = 2.0 if wrap == "scaled" else 1.0
    scaled = [pyro.poutine.scale(fn, scale) for fn in (model, guide)]
    loss = pyro.infer.Trace_ELBO().differentiable_loss(*scaled)
    (gradient,) = torch.autograd.grad(loss, alpha)
    assert_mean(gradient[:, 0] / scale, exact)


def test_a_value_that_was_not_drawn_has_no_score() -> None:
    law = ShapeAugmentedGamma(doubles(0.5), 2.0)
    value = law.rsample()
    assert origin_of(value) is not None
    parts = law.score_parts(value)
    assert_close(parts.log_prob, law.log_prob(value))
    with pytest.raises(ValueError, match="the draw behind it is not known. Score it with log_prob"):
        law.score_parts(value.clone())
    with pytest.raises(TypeError, match="takes the value that was drawn"):
        law.score_parts()
    with pytest.raises(TypeError, match="boost is 1.5, expected a whole number"):
        ShapeAugmentedGamma(1.0, 1.0, boost=1.5)  # type: ignore[arg-type]


def test_refusals() -> None:
    accept = partial(thinned, doubles(1.0))
    with pytest.raises(ValueError, match="'propose' is a function, whose shapes are not known"):
        Rejector(torch.rand, accept, doubles(0.0))
    function = Rejector(torch.rand, accept, doubles(0.0), batch_shape=(), event_shape=())
    assert 0 <= function().item() <= 1
    with pytest.raises(NotImplementedError, match="Define support and log_prob in a subclass"):
        function.log_prob(doubles(0.5))
    with pytest.raises(NotImplementedError, match="has a function for its proposals"):
        _ = function.support
    with pytest.raises(ValueError, match="log_prob_accept is NaN for a proposal"):
        Rejector(dist.Normal(0.0, 1.0), lambda x: x * math.nan, doubles(0.0))()
    too_high = Rejector(dist.Exponential(1.0), lambda x: x, doubles(0.0))
    with pytest.raises(ValueError, match="the logarithm of a probability is at most 0"):
        too_high((10,))
    with dist.validation_enabled(False):
        too_high((10,))
    with pytest.raises(ValueError, match="'concentration' must satisfy GreaterThan"):
        RejectionGamma(0.3, 1.0)
    with pytest.raises(ValueError, match="'factor' must satisfy Interval"):
        RejectionExponential(doubles(1.0), doubles(1.5))


@pytest.mark.parametrize("law", [NaiveDirichlet, dist.Dirichlet])
def test_gradients_of_shares_are_unbiased(law: Any) -> None:
    """False-alarm rate 7e-6 an entry; both kinds of gradients, against the closed form."""
    weight = doubles(1.0, -2.0, 0.5)
    leaf = doubles(0.5, 2.0, 1.0).repeat(4000, 1).requires_grad_()
    (gradient,) = torch.autograd.grad((law(leaf).rsample() * weight).sum(), leaf)

    def expectation(a: Tensor) -> Tensor:
        return (weight * a / a.sum()).sum()

    exact = torch.autograd.functional.jacobian(expectation, doubles(0.5, 2.0, 1.0))
    assert_mean(gradient, exact)
