import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, ReweightedWakeSleep
from tests.helpers import assert_close, trace_of
from tests.infer.exact import COIN, Drawing, constant, double, leaves

DATA = {"x": double(1.0, 0.0)}


def model(observations: Any = DATA) -> None:
    prior, rate = pyro.param("prior", double(0.3)), pyro.param("rate", double(0.2, 0.7))
    with pyro.plate("data", 2):
        z = pyro.sample("z", dist.Bernoulli(prior))
        pyro.sample("x", dist.Bernoulli(rate[z.long()]), obs=observations["x"])


def guide(observations: Any = DATA) -> None:
    with pyro.plate("data", 2):
        table = pyro.param("table", double(0.4, 0.8))
        pyro.sample("z", dist.Bernoulli(table[observations["x"].long()]))


def log_p(z: Any, x: Any, prior: Any, rate: Any) -> Any:
    density = dist.Bernoulli(prior).log_prob(z) + dist.Bernoulli(rate[z.long()]).log_prob(x)
    return density.sum(-1)


def log_q(z: Any, x: Any, table: Any) -> Any:
    return dist.Bernoulli(table[x.long()]).log_prob(z).sum(-1)


def params() -> Any:
    trace_of(model)
    trace_of(guide)
    return leaves("prior", "rate", "table")


def drawing(values: Any, vectorize: bool) -> Drawing:
    turn = {name: iter(value) for name, value in values.items()}

    def draw(name: str) -> Any:
        return lambda fn: values[name] if vectorize else next(turn[name])

    return Drawing({name: draw(name) for name in values})


def exact_losses(z: Any, prior: Any, rate: Any, table: Any) -> tuple[Any, Any]:
    charge = log_q(z, DATA["x"], table)
    log_weights = log_p(z, DATA["x"], prior, rate) - charge.detach()
    weights = log_weights.detach().exp()
    return -log_weights.exp().mean().log(), -(weights / weights.sum() * charge).sum()


ALL_Z = torch.cartesian_prod(COIN, COIN)


@pytest.mark.parametrize("vectorize", [True, False])
def test_losses_and_gradients_are_the_formulas_for_every_outcome(vectorize: Any) -> None:
    leaves_of_all = params()
    rws = ReweightedWakeSleep(2, vectorize_particles=vectorize, max_plate_nesting=1)
    for i in range(4):
        for j in range(4):
            z = ALL_Z[[i, j]]
            with drawing({"z": z}, vectorize):
                loss = rws.differentiable_loss(model, guide)
            wake_theta, wake_phi = exact_losses(z, *leaves_of_all)
            with drawing({"z": z}, vectorize):
                assert_close(list(rws.loss(model, guide)), [wake_theta, wake_phi])
            expected = torch.autograd.grad(wake_theta + wake_phi, leaves_of_all)
            assert_close(torch.autograd.grad(loss, leaves_of_all), expected)


def test_the_model_s_gradient_is_unbiased_and_the_guide_s_consistent() -> None:
    """Over all outcomes of K particles, and against the exact posterior of the guide's loss."""
    prior, rate, table = params()
    posterior = log_p(ALL_Z, DATA["x"], prior, rate).softmax(0).detach()
    exact_phi = -(posterior * log_q(ALL_Z, DATA["x"], table)).sum()
    (exact,) = torch.autograd.grad(exact_phi, table)
    guess = log_q(ALL_Z, DATA["x"], table).exp().detach()
    errors = []
    for count in (2, 3, 4):
        rws = ReweightedWakeSleep(count, max_plate_nesting=1)
        bound, phi = torch.zeros(()), torch.zeros(2)
        theta = [torch.zeros(()), torch.zeros(2)]
        for index in torch.combinations(torch.arange(4), count, with_replacement=True):
            repeats = index.bincount(minlength=4)
            ways = math.factorial(count) / math.prod(math.factorial(r) for r in repeats.tolist())
            weight = ways * guess[index].prod()
            with drawing({"z": ALL_Z[index]}, True):
                loss = rws.differentiable_loss(model, guide)
            *of_model, of_guide = torch.autograd.grad(loss, [prior, rate, table])
            theta = [t + weight * g for t, g in zip(theta, of_model, strict=True)]
            phi = phi + weight * of_guide
            charge = log_q(ALL_Z[index], DATA["x"], table).detach()
            log_weights = log_p(ALL_Z[index], DATA["x"], prior, rate) - charge
            bound = bound - weight * (log_weights.logsumexp(0) - math.log(count))
        assert_close(theta, list(torch.autograd.grad(bound, [prior, rate])))
        errors.append((phi - exact).abs().max().item())
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("vectorize", [True, False])
@pytest.mark.parametrize("insomnia", [0.0, 0.3])
def test_sleep_is_the_formula_for_every_dream(vectorize: Any, insomnia: Any) -> None:
    """And its gradient, averaged over dreams, is unbiased: the formula is linear in them."""
    prior, rate, table = params()
    rws = ReweightedWakeSleep(
        2,
        insomnia,
        num_sleep_particles=3,
        vectorize_particles=vectorize,
        max_plate_nesting=1,
    )
    awake = ALL_Z[[1, 3]]
    for shift in range(4):
        dreamt_z, dreamt_x = ALL_Z[[shift, 0, 2]], ALL_Z[[3, shift, 1]]
        turn = iter([awake, dreamt_z] if vectorize else [*awake, *dreamt_z])
        told = iter([dreamt_x] if vectorize else dreamt_x)
        draws = {"z": lambda fn, turn=turn: next(turn), "x": lambda fn, told=told: next(told)}
        with Drawing(draws):
            loss = rws.differentiable_loss(model, guide)
        wake_theta, wake_phi = exact_losses(awake, prior, rate, table)
        asleep = -log_q(dreamt_z, dreamt_x, table).mean()
        expected = wake_theta + insomnia * wake_phi + (1 - insomnia) * asleep
        assert_close(loss, expected)
        found = torch.autograd.grad(loss, [prior, rate, table])
        assert_close(found, torch.autograd.grad(expected, [prior, rate, table]))


def test_a_model_without_parameters_gets_no_gradient() -> None:
    prior, rate, table = params()
    with Drawing({"z": constant(ALL_Z[[0, 3]])}):
        losses = ReweightedWakeSleep(model_has_params=False, max_plate_nesting=1).loss_and_grads(
            model, guide
        )
    assert_close(losses[0], exact_losses(ALL_Z[[0, 3]], prior, rate, table)[0])
    assert prior.grad is None and rate.grad is None and table.grad is not None


@pytest.mark.parametrize("insomnia", [0.0, 0.5, 1.0])
def test_a_fit_by_svi_finds_the_exact_posterior(insomnia: Any) -> None:
    """Of fixed coins, whose posterior a table holds exactly; both losses come back as numbers."""

    def learner(observations: Any = DATA) -> None:
        table = pyro.param("table", double(0.5, 0.5), constraint=dist.constraints.unit_interval)
        with pyro.plate("data", 2):
            pyro.sample("z", dist.Bernoulli(table[observations["x"].long()]))

    def fixed(observations: Any = DATA) -> None:
        with pyro.plate("data", 2):
            z = pyro.sample("z", dist.Bernoulli(double(0.3)))
            pyro.sample("x", dist.Bernoulli(double(0.2, 0.7)[z.long()]), obs=observations["x"])

    rws = ReweightedWakeSleep(50, insomnia, model_has_params=False, num_sleep_particles=50)
    svi = SVI(fixed, learner, pyro.optim.Adam({"lr": 0.1}), rws)
    losses = [svi.step(observations=DATA) for _ in range(60)]
    assert all(isinstance(x, float) for pair in losses for x in pair)
    joint = double([0.7 * 0.8, 0.3 * 0.3], [0.7 * 0.2, 0.3 * 0.7])
    exact = joint[:, 1] / joint.sum(1)
    assert (pyro.param("table") - exact).abs().max() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_particles": 1}, "two particles or more, got 1"),
        ({"insomnia": 1.5}, "insomnia must be from 0 to 1, got 1.5"),
        ({"num_sleep_particles": 0}, "num_sleep_particles must be positive, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        ReweightedWakeSleep(**options)


def test_a_guide_that_cannot_be_told_of_dreams_is_refused() -> None:
    def deaf() -> None:
        guide(DATA)

    with pytest.raises(TypeError, match=r"def guide\(..., observations\)"):
        ReweightedWakeSleep(insomnia=0.5).loss(model, deaf)
    assert len(ReweightedWakeSleep().loss(model, deaf)) == 2
