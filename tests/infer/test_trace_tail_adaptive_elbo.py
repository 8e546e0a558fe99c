from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import Trace_ELBO, TraceTailAdaptive_ELBO
from tests.helpers import assert_close, trace_of
from tests.infer.exact import Drawing, double, leaves

EPS = {"z1": double(0.5, -1.2, 0.1, 2.0), "z2": double(-0.3, 0.4, 1.5, -0.8)}
BETAS = pytest.mark.parametrize("beta", [-1.0, -0.5, 0.0])


def model() -> None:
    slope = pyro.param("slope", double(1.3))
    z1 = pyro.sample("z1", dist.Normal(double(0.0), 1.0))
    z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
    with pyro.plate("data", 3, subsample_size=2) as batch:
        data = double(1.0, 2.0, 3.0)[batch]
        pyro.sample("x", dist.Normal(slope * z2, 1.0), obs=data)


def guide() -> None:
    loc, scale = pyro.param("loc", double(0.3)), pyro.param("scale", double(0.7))
    z1 = pyro.sample("z1", dist.Normal(loc, scale))
    pyro.sample("z2", dist.Normal(loc + 0.5 * z1, 2 * scale))


def log_weights(slope: Any, loc: Any, scale: Any, is_cut: bool) -> Any:
    z1 = loc + scale * EPS["z1"]
    z2 = loc + 0.5 * z1 + 2 * scale * EPS["z2"]
    gain = dist.Normal(double(0.0), 1.0).log_prob(z1) + dist.Normal(z1, 1.0).log_prob(z2)
    data = dist.Normal(slope * z2.unsqueeze(-1), 1.0).log_prob(double(1.0, 3.0)).sum(-1)
    if is_cut:
        loc, scale = loc.detach(), scale.detach()
    charge = dist.Normal(loc, scale).log_prob(z1)
    charge = charge + dist.Normal(loc + 0.5 * z1, 2 * scale).log_prob(z2)
    return gain + 1.5 * data - charge


def shares(weights: Any, beta: float) -> Any:
    """By sorting, where the objective counts."""
    count = len(weights)
    powers = torch.zeros(count, dtype=torch.double)
    for place, index in enumerate(weights.argsort(descending=True).tolist(), 1):
        powers[index] = (place / count) ** beta
    return powers / powers.sum()


def loss_at_eps(elbo: Any, vectorize: bool, guide: Any = guide) -> Any:
    turn = {name: iter(eps) for name, eps in EPS.items()}

    def normal(name: str) -> Any:
        return lambda fn: (
            fn.loc
            + fn.scale
            * (EPS[name] if vectorize else next(turn[name])).reshape((-1, 1) if vectorize else ())
        )

    draws = {name: normal(name) for name in EPS}
    with Drawing({**draws, "data": lambda fn: torch.tensor([0, 2])}):
        return elbo.differentiable_loss(model, guide)


@BETAS
@pytest.mark.parametrize("vectorize", [True, False])
def test_gradient_is_the_formula_s(beta: Any, vectorize: Any) -> None:
    elbo = TraceTailAdaptive_ELBO(
        4, vectorize_particles=vectorize, max_plate_nesting=1, tail_adaptive_beta=beta
    )
    loss = loss_at_eps(elbo, vectorize)
    params = leaves("slope", "loc", "scale")
    plain = log_weights(*params, is_cut=False)
    assert_close(loss, -plain.mean())
    expected = -(shares(plain.detach(), beta) * log_weights(*params, is_cut=True)).sum()
    assert_close(torch.autograd.grad(loss, params), torch.autograd.grad(expected, params))


def test_ties_share_the_rank_of_the_lowest() -> None:
    def flat() -> None:
        pyro.sample("z", dist.Normal(double(0.0), 1.0))

    def shifted() -> None:
        pyro.sample("z", dist.Normal(pyro.param("m", double([[0.0]] * 4)).squeeze(), 1.0))

    elbo = TraceTailAdaptive_ELBO(4, vectorize_particles=True, max_plate_nesting=0)
    with Drawing({"z": lambda fn: fn.loc + double(1.0, -1.0, 2.0, -0.5)}):
        loss = elbo.differentiable_loss(flat, shifted)
    gradient = torch.autograd.grad(loss, leaves("m"))[0]
    assert_close(gradient, torch.zeros(4, 1))  # the guide is the posterior: each share counts 0


def test_beta_0_is_unbiased_for_the_elbo() -> None:
    """Both are means of the same gradient, over the nodes of a quadrature in place of draws."""
    nodes = EPS["z1"]

    def small_model() -> None:
        z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=double(2.0))

    def small_guide() -> None:
        scale = pyro.param("scale", double(0.7))
        pyro.sample("z", dist.Normal(pyro.param("loc", double(0.3)), scale))

    trace_of(small_guide)
    params = leaves("loc", "scale")
    nodes = double(-(3**0.5), 0.0, 0.0, 0.0, 0.0, 3**0.5)  # of equal weight 1/6
    answers = []
    for Elbo, options in ((TraceTailAdaptive_ELBO, {"tail_adaptive_beta": 0.0}), (Trace_ELBO, {})):
        elbo = Elbo(6, vectorize_particles=True, max_plate_nesting=0, **options)
        with Drawing({"z": lambda fn: fn.loc + fn.scale * nodes}):
            loss = elbo.differentiable_loss(small_model, small_guide)
        answers.append([loss, *torch.autograd.grad(loss, params)])
    assert_close(*answers)


def test_draws_that_are_not_differentiable_are_refused() -> None:
    def coin() -> None:
        pyro.sample("z1", dist.Bernoulli(0.5))

    with pytest.raises(NotImplementedError, match="At site 'z1': draws .* cannot be different"):
        TraceTailAdaptive_ELBO(2).loss_and_grads(coin, coin)


def test_a_fit_covers_both_modes() -> None:
    """Where the ELBO's guide sits on one of two modes, this one is as wide as both."""

    def two_modes() -> None:
        law = dist.Normal(torch.tensor([-4.0, 4.0]), 0.7)
        z = pyro.sample("z", dist.Normal(0.0, 20.0))
        pyro.factor("x", law.log_prob(z.unsqueeze(-1)).logsumexp(-1))

    def wide() -> None:
        scale = pyro.param("scale", torch.tensor(3.0), constraint=dist.constraints.positive)
        pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(2.0)), scale))

    spreads = []
    for Elbo in (TraceTailAdaptive_ELBO, Trace_ELBO):
        pyro.clear_param_store()
        elbo = Elbo(100, vectorize_particles=True, max_plate_nesting=0)
        svi = pyro.infer.SVI(two_modes, wide, pyro.optim.Adam({"lr": 0.1}), elbo)
        for _ in range(80):
            svi.step()
        spreads.append(pyro.param("scale").item())
    assert spreads[0] > 3 and spreads[1] < 1.5, spreads
