from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import EnergyDistance
from tests.helpers import assert_close, assert_mean
from tests.infer.exact import Drawing, double, leaves

EPS = {
    "z": double(0.3, -1.0, 1.2, 0.1),
    "x": double([0.5, -0.2, 1.1], [0.4, 0.0, -0.7], [-1.3, 0.6, 0.2], [0.9, 1.0, -0.1]),
    "y": double(0.1, -0.6, 0.8, 1.5),
}
X, Y = double(2.0, 0.5, -1.0), double(0.7)


def model() -> None:
    z = pyro.sample("z", dist.Normal(double(0.5), pyro.param("width", double(2.0))))
    with pyro.plate("data", 3):
        pyro.sample("x", dist.Normal(z, pyro.param("noise", double(0.6))), obs=X)
    pyro.sample("y", dist.Normal(2 * z, 1.0), obs=Y)


def guide() -> None:
    pyro.sample("z", dist.Normal(pyro.param("loc", double(0.3)), pyro.param("scale", double(0.8))))


def at_eps(name: str) -> Any:
    return lambda fn: fn.loc + fn.scale * EPS[name].reshape(fn.batch_shape)


def expected_loss(beta: float, prior_scale: float) -> Any:
    width, noise, loc, scale = leaves("width", "noise", "loc", "scale")
    z = loc + scale * EPS["z"]
    x = z.unsqueeze(-1) + noise * EPS["x"]
    y = 2 * z + EPS["y"]
    draws = torch.cat([x, y.unsqueeze(-1)], -1)
    datum = torch.cat([X, Y.reshape(1)])
    to_data = (draws - datum).norm(dim=-1).pow(beta).mean()
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    apart = sum((draws[a] - draws[b]).norm().pow(beta) for a, b in pairs) / 12
    score = to_data - apart / 2
    if prior_scale == 0:
        return score
    return score - prior_scale * dist.Normal(0.5, width).log_prob(z).mean()


@pytest.mark.parametrize("beta", [1.0, 0.5, 1.6])
@pytest.mark.parametrize("prior_scale", [0.0, 0.7])
def test_loss_and_gradient_are_the_formula_s(beta: Any, prior_scale: Any) -> None:
    energy = EnergyDistance(beta, prior_scale, num_particles=4, max_plate_nesting=1)
    with Drawing({name: at_eps(name) for name in EPS}):
        loss = energy(model, guide)
    expected = expected_loss(beta, prior_scale)
    params = leaves("width", "noise", "loc", "scale")
    found, known = (
        torch.autograd.grad(value, params, allow_unused=True) for value in (loss, expected)
    )
    assert_close(loss, expected)
    assert [g is None for g in found] == [g is None for g in known]
    assert_close(*([g for g in gs if g is not None] for gs in (found, known)))
    assert (found[0] is None) == (prior_scale == 0)


def test_the_energy_score_of_a_normal_has_its_closed_form() -> None:
    """E|X - x| - E|X - X'| / 2 for X ~ N(m, s); false-alarm rate 7e-6."""
    loc, scale, datum = 0.4, 1.3, 1.0

    def noisy() -> None:
        with pyro.plate("copies", 1):
            pyro.sample("x", dist.Normal(loc, scale), obs=torch.tensor([datum]))

    w = torch.tensor((datum - loc) / scale, dtype=torch.double)
    law = torch.distributions.Normal(torch.zeros_like(w), 1.0)
    exact = scale * (w * (2 * law.cdf(w) - 1) + 2 * law.log_prob(w).exp() - torch.pi**-0.5)
    energy = EnergyDistance(num_particles=5, max_plate_nesting=1)
    found = [energy.loss(noisy, lambda: None) for _ in range(400)]
    assert_mean(torch.tensor(found), exact)


def test_the_prior_counts_the_same_with_any_number_of_particles() -> None:
    def at() -> None:
        pyro.sample("z", dist.Delta(double(1.0)))

    def quiet() -> None:
        z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
        pyro.sample("x", dist.Delta(z), obs=double(1.0))

    losses = [EnergyDistance(prior_scale=2.0, num_particles=n).loss(quiet, at) for n in (2, 7)]
    exact = -2 * dist.Normal(double(0.0), 1.0).log_prob(double(1.0))
    assert_close(losses, [exact, exact])


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
def test_draws_that_coincide_have_a_finite_gradient(beta: Any) -> None:
    def at() -> None:
        pyro.sample("z", dist.Delta(pyro.param("at", double(1.0))))

    def quiet() -> None:
        z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
        pyro.sample("x", dist.Delta(z), obs=double(1.5))

    loss = EnergyDistance(beta)(quiet, at)
    (gradient,) = torch.autograd.grad(loss, leaves("at"))
    assert_close(loss, 0.5**beta)
    assert_close(gradient, -beta * 0.5 ** (beta - 1))


def test_masked_data_do_not_count() -> None:
    def program(data: Any, is_masked: bool) -> Any:
        def run() -> None:
            z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
            with pyro.plate("data", len(data)):
                keep = torch.tensor([True, False]) if is_masked else torch.tensor(True)
                with poutine.mask(mask=keep):
                    pyro.sample("x", dist.Delta(z, event_dim=0), obs=data)

        return run

    losses = []
    for data, is_masked in ((double([1.0, 50.0]), True), (double([1.0]), False)):
        pyro.set_rng_seed(0)
        losses.append(EnergyDistance().loss(program(data, is_masked), guide))
    assert_close(losses[0], losses[1])


def test_later_data_depend_on_draws_of_earlier_ones() -> None:
    def series() -> None:
        x = pyro.sample("x", dist.Delta(double(1.0)), obs=double(5.0))
        pyro.sample("y", dist.Delta(2 * x), obs=double(2.0))

    assert_close(EnergyDistance().loss(series, lambda: None), 4.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 2.0}, "beta must be greater than 0 and less than 2, got 2.0"),
        ({"beta": 0.0}, "beta must be greater than 0 and less than 2, got 0.0"),
        ({"prior_scale": -1.0}, "prior_scale must be at least 0, got -1.0"),
        ({"num_particles": 1}, "two particles or more, got 1"),
    ],
)
def test_options_out_of_range_are_refused(options: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        EnergyDistance(**options)


def test_a_model_without_data_is_refused() -> None:
    with pytest.raises(ValueError, match="the model observes nothing"):
        EnergyDistance()(guide, guide)


def test_draws_that_are_not_differentiable_are_refused() -> None:
    def coins() -> None:
        z = pyro.sample("z", dist.Normal(double(0.0), 1.0))
        pyro.sample("x", dist.Bernoulli(logits=z), obs=double(1.0))

    def coin_guide() -> None:
        pyro.sample("z", dist.Poisson(pyro.param("rate", double(1.0))))

    with pytest.raises(NotImplementedError, match="At site 'x': draws of Bernoulli"):
        EnergyDistance()(coins, guide)
    with pytest.raises(NotImplementedError, match="At site 'z': draws of Poisson"):
        EnergyDistance()(model, coin_guide)


def test_equalize_around_it_is_refused() -> None:
    with poutine.equalize(sites=["z", "x"]), pytest.raises(ValueError, match="Wrap the model"):
        EnergyDistance()(model, guide)
