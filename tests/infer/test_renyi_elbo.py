import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import RenyiELBO, Trace_ELBO
from tests.helpers import assert_close, trace_of
from tests.infer.exact import (
    COIN,
    Drawing,
    constant,
    double,
    expected_gradient,
    leaves,
    normal_outcomes,
    weighted_outcomes,
)

X = double(1.7)
ALPHAS = pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0, -1.0])


def coin_model() -> None:
    with pyro.plate("data", 2):
        z = pyro.sample("z", dist.Bernoulli(double(0.4)))
        pyro.sample("x", dist.Normal(z, 1.0), obs=double(0.3, 2.0))


def coin_guide() -> None:
    with pyro.plate("data", 2):
        pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.3, 0.6))))


def coin_log_weights(z: Any, p: Any) -> Any:
    """For values of shape (particles, 2)."""
    gain = dist.Bernoulli(double(0.4)).log_prob(z) + dist.Normal(z, 1.0).log_prob(double(0.3, 2.0))
    return (gain - dist.Bernoulli(p).log_prob(z)).sum(-1)


def bound_of(log_weights: Any, alpha: float) -> Any:
    order = 1 - alpha
    return ((order * log_weights).exp().mean(0)).log() / order


def pairs_of_coins(p: Any) -> Any:
    shape = {"z": (2, 2)}
    return weighted_outcomes({"z": COIN}, shape, lambda x: dist.Bernoulli(p).log_prob(x["z"]).sum())


@ALPHAS
def test_two_particles_of_discrete_draws_are_unbiased(alpha: Any) -> None:
    trace_of(coin_guide)
    (p,) = leaves("p")
    expected = torch.zeros(())
    for _, draws in pairs_of_coins(p):
        z = draws["z"](None)
        weight = dist.Bernoulli(p).log_prob(z).sum().exp()
        expected = expected - weight * bound_of(coin_log_weights(z, p), alpha)
    elbo = RenyiELBO(alpha, num_particles=2, vectorize_particles=True, max_plate_nesting=1)
    loss, grads = expected_gradient(elbo, coin_model, coin_guide, pairs_of_coins(p), [p])
    assert_close(loss, expected)
    assert_close(grads, list(torch.autograd.grad(expected, [p])))


def normal_model() -> None:
    z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=X)


def normal_guide() -> None:
    loc = pyro.param("loc", double(0.4))
    scale = pyro.param("scale", double(0.8))
    pyro.sample("z", dist.Normal(loc, scale))


def normal_log_weights(eps: Any, loc: Any, scale: Any) -> Any:
    z = loc + scale * eps
    gain = dist.Normal(double(0.0), 1.0).log_prob(z) + dist.Normal(z, 1.0).log_prob(X)
    return gain - dist.Normal(loc, scale).log_prob(z)


@ALPHAS
@pytest.mark.parametrize("vectorize", [True, False])
def test_value_and_pathwise_gradient_are_the_formula_s(alpha: Any, vectorize: Any) -> None:
    trace_of(normal_guide)
    params = leaves("loc", "scale")
    eps = double(-1.3, 0.2, 0.9)
    given = iter(eps)

    def draw(fn: Any) -> Any:
        return fn.loc + fn.scale * (eps if vectorize else next(given))

    elbo = RenyiELBO(alpha, 3, vectorize_particles=vectorize, max_plate_nesting=0)
    with Drawing({"z": draw}):
        loss = elbo.differentiable_loss(normal_model, normal_guide)
    expected = -bound_of(normal_log_weights(eps, *params), alpha)
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, params), torch.autograd.grad(expected, params))


def test_alpha_0_is_the_importance_weighted_autoencoder() -> None:
    """log 1/K sum_k w_k, and its gradient sum_k w_k / sum_j w_j grad log w_k."""
    trace_of(normal_guide)
    params = leaves("loc", "scale")
    eps = double(-1.3, 0.2, 0.9)
    elbo = RenyiELBO(0, 3, vectorize_particles=True, max_plate_nesting=0)
    with Drawing({"z": lambda fn: fn.loc + fn.scale * eps}):
        loss = elbo.differentiable_loss(normal_model, normal_guide)
    log_weights = normal_log_weights(eps, *params)
    assert_close(loss, -log_weights.exp().mean().log())
    each = [torch.autograd.grad(w, params, retain_graph=True) for w in log_weights]
    shares = log_weights.detach().exp() / log_weights.detach().exp().sum()
    expected = [-sum(s * g[i] for s, g in zip(shares, each, strict=True)) for i in range(2)]
    assert_close(torch.autograd.grad(loss, params), expected)


@pytest.mark.parametrize("programs", [(normal_model, normal_guide), (coin_model, coin_guide)])
def test_towards_alpha_1_it_is_the_elbo(programs: Any) -> None:
    """With an error of the order of (1 - alpha), which halves with it."""
    answers = []
    for elbo in (Trace_ELBO(8), RenyiELBO(1 - 1e-4, 8), RenyiELBO(1 - 5e-5, 8)):
        pyro.set_rng_seed(0)
        answers.append(elbo.loss(*programs))
    errors = [answer - answers[0] for answer in answers[1:]]
    assert 0 < abs(errors[0]) < 1e-3
    assert abs(errors[0] / errors[1] - 2) < 1e-2


@ALPHAS
@pytest.mark.parametrize("programs", [(normal_model, normal_guide), (coin_model, coin_guide)])
def test_one_particle_is_the_elbo(alpha: Any, programs: Any) -> None:
    trace_of(programs[1])
    params = leaves(*pyro.get_param_store())
    losses = []
    for elbo in (Trace_ELBO(), RenyiELBO(alpha, 1)):
        pyro.set_rng_seed(0)
        losses.append(elbo.loss(*programs))
    assert_close(losses[0], losses[1])
    if programs[0] is normal_model:
        outcomes = [list(normal_outcomes(["z"], {"z": True})) for _ in range(2)]
    else:

        def log_q(x: Any) -> Any:
            return dist.Bernoulli(params[0]).log_prob(x["z"]).sum()

        outcomes = [list(weighted_outcomes({"z": COIN}, {"z": (2,)}, log_q)) for _ in range(2)]
    means = [
        expected_gradient(elbo, *programs, iter(each), params)
        for elbo, each in zip((Trace_ELBO(), RenyiELBO(alpha, 1)), outcomes, strict=True)
    ]
    assert_close(means[0][0], means[1][0])
    assert_close(means[0][1], means[1][1])


def test_the_other_particles_as_a_baseline_lower_the_variance() -> None:
    """Against the score function times the whole bound, exactly."""

    def guide() -> None:
        pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.3))))

    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(double(0.4)))
        pyro.sample("x", dist.Normal(z, 1.0), obs=double(2.0))

    trace_of(guide)
    (p,) = leaves("p")

    def log_weights(z: Any) -> Any:
        gain = dist.Bernoulli(double(0.4)).log_prob(z) + dist.Normal(z, 1.0).log_prob(double(2.0))
        return gain - dist.Bernoulli(p).log_prob(z)

    mean, square, weights = torch.zeros(()), torch.zeros(()), []
    elbo = RenyiELBO(0, 2, vectorize_particles=True, max_plate_nesting=0)
    found, found_square = torch.zeros(()), torch.zeros(())
    for pair in torch.cartesian_prod(COIN, COIN):
        score = dist.Bernoulli(p).log_prob(pair).sum()
        weight = score.exp().detach()
        bound = bound_of(log_weights(pair), 0)
        (plain,) = torch.autograd.grad(-bound - bound.detach() * score, p)
        mean, square = mean + weight * plain, square + weight * plain**2
        with Drawing({"z": constant(pair)}):
            (ours,) = torch.autograd.grad(elbo.differentiable_loss(model, guide), p)
        found, found_square = found + weight * ours, found_square + weight * ours**2
        weights.append(weight)
    assert_close(sum(weights), 1.0)
    assert_close(found, mean)
    assert found_square - found**2 < 0.5 * (square - mean**2)


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_more_particles_are_closer_to_the_bound(alpha: Any) -> None:
    """Closer to the bound that the estimate is of, exactly over all outcomes of coins."""
    p = double(0.3, 0.6)
    supports = torch.cartesian_prod(COIN, COIN)
    log_q = dist.Bernoulli(p).log_prob(supports).sum(-1)
    log_w = coin_log_weights(supports, p)
    limit = (log_q + (1 - alpha) * log_w).logsumexp(0) / (1 - alpha)
    errors = []
    for count in (1, 2, 3):
        index = torch.cartesian_prod(*[torch.arange(4)] * count).reshape(-1, count)
        weights = log_q[index].sum(-1).exp()
        mean = sum(w * loss_at(supports[i], alpha) for w, i in zip(weights, index, strict=True))
        errors.append(abs(-mean - limit))
    assert errors[0] > errors[1] > errors[2]


def loss_at(z: Any, alpha: float) -> float:
    values = iter(z)
    with Drawing({"z": lambda fn: next(values)}):
        return RenyiELBO(alpha, len(z)).loss(coin_model, coin_guide)


def test_impossible_particles_do_no_harm() -> None:
    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(double(0.4)))
        pyro.factor("x", torch.where(z > 0.5, double(0.3), double(-math.inf)))

    def guide() -> None:
        pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.3))))

    trace_of(guide)
    for values in ((1.0, 0.0), (1.0, 1.0)):
        elbo = RenyiELBO(0, 2, vectorize_particles=True, max_plate_nesting=0)
        with Drawing({"z": constant(double(*values))}):
            loss = elbo.differentiable_loss(model, guide)
        assert loss.isfinite()
        assert torch.autograd.grad(loss, leaves("p"))[0].isfinite()


def test_alpha_1_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="alpha=1 is the ELBO: use Trace_ELBO"):
        RenyiELBO(alpha=1)
