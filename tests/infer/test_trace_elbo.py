import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import tensor

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO, TraceGraph_ELBO
from tests.helpers import assert_close, assert_mean, trace_of
from tests.infer.exact import (
    COIN,
    Drawing,
    assert_unbiased,
    constant,
    double,
    expected_gradient,
    leaves,
    normal_outcomes,
    weighted_outcomes,
)


class ScoreNormal(dist.Normal):
    """A normal whose draws cannot be differentiated."""

    has_rsample = False


# A chain z1 -> z2 -> x of unit normals with an independent normal guide: all in closed form.

X = double(1.7)


def chain() -> None:
    z1 = pyro.sample("z1", dist.Normal(double(0.0), 1.0))
    z2 = pyro.sample("z2", dist.Normal(z1, 1.0))
    pyro.sample("x", dist.Normal(z2, 1.0), obs=X)


def chain_params() -> Any:
    means = pyro.param("means", double(0.4, -0.3))
    scales = pyro.param("scales", double(0.7, 1.2), constraint=constraints.positive)
    return means, scales


def chain_loss() -> Any:
    means, scales = chain_params()
    energy = means[0] ** 2 + scales[0] ** 2
    energy = energy + (means[1] - means[0]) ** 2 + scales[0] ** 2 + scales[1] ** 2
    energy = energy + (X - means[1]) ** 2 + scales[1] ** 2
    return (
        0.5 * energy
        + 1.5 * math.log(2 * math.pi)
        - (scales.log() + 0.5 * math.log(2 * math.pi) + 0.5).sum()
    )


@pytest.mark.parametrize("pathwise1", [True, False])
@pytest.mark.parametrize("pathwise2", [True, False])
@pytest.mark.parametrize("Elbo", [Trace_ELBO, TraceGraph_ELBO])
def test_gaussian_chain_is_unbiased(Elbo: Any, pathwise1: Any, pathwise2: Any) -> None:
    laws = [dist.Normal if pathwise else ScoreNormal for pathwise in (pathwise1, pathwise2)]

    def guide() -> None:
        means, scales = chain_params()
        for i, law in enumerate(laws):
            pyro.sample(f"z{i + 1}", law(means[i], scales[i]))

    expected = chain_loss()
    params = leaves("means", "scales")
    # The score is of degree 2 in the noise, and so is the cost: four nodes are exact.
    outcomes = normal_outcomes(["z1", "z2"], {"z1": pathwise1, "z2": pathwise2}, order=4)
    loss, grads = expected_gradient(Elbo(), chain, guide, outcomes, params)
    assert_close(loss, expected)
    assert_close(grads, list(torch.autograd.grad(expected, params)))


def test_a_draw_that_feeds_later_ones_in_the_guide_is_unbiased() -> None:
    """z2's guide depends on a discrete z1, so that z1 answers for z2's terms too."""

    def model() -> None:
        z1 = pyro.sample("z1", dist.Bernoulli(double(0.3)))
        pyro.sample("z2", dist.Bernoulli(0.2 + 0.5 * z1))

    def guide() -> None:
        p = pyro.param("p", double(0.6, 0.1, 0.8))
        z1 = pyro.sample("z1", dist.Bernoulli(p[0]))
        pyro.sample("z2", dist.Bernoulli(p[1] + (p[2] - p[1]) * z1))

    assert_unbiased(model, guide, ["z1", "z2"], {})


DATA = double(0.5, -1.0, 2.0)


def coins_in_plate() -> None:
    g = pyro.sample("g", dist.Bernoulli(double(0.4)))
    with pyro.plate("data", 3):
        z = pyro.sample("z", dist.Bernoulli(0.3 + 0.4 * g))
        pyro.sample("x", dist.Normal(z - g, 1.0), obs=DATA)


def guide_in_plate() -> None:
    p = pyro.param("p", double(0.3, 0.5, 0.6))
    pyro.sample("g", dist.Bernoulli(pyro.param("r", double(0.7))))
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Bernoulli(p))


def test_discrete_sites_in_and_around_a_plate_are_unbiased() -> None:
    assert_unbiased(coins_in_plate, guide_in_plate, ["g", "z"], {"z": (3,)})


def test_a_scaled_program_is_unbiased() -> None:
    model, guide = (poutine.scale(fn, 2.5) for fn in (coins_in_plate, guide_in_plate))
    assert_unbiased(model, guide, ["g", "z"], {"z": (3,)})


def test_a_program_of_which_a_part_is_scaled_is_unbiased() -> None:
    def model() -> None:
        with poutine.scale(scale=0.25):
            z = pyro.sample("z", dist.Bernoulli(double(0.4)))
        pyro.sample("x", dist.Normal(z, 1.0), obs=double(2.0))

    def guide() -> None:
        with poutine.scale(scale=0.25):
            pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.7))))

    assert_unbiased(model, guide, ["z"], {})


def test_a_masked_program_is_unbiased() -> None:
    seen = tensor([True, False, True])

    def model() -> None:
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Bernoulli(double(0.4)))
            pyro.sample("x", dist.Normal(z, 1.0), obs=DATA)

    def guide() -> None:
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.3, 0.5, 0.6))))

    model, guide = (poutine.mask(fn, seen) for fn in (model, guide))
    assert_unbiased(model, guide, ["z"], {"z": (3,)})


def test_nested_plates_are_unbiased() -> None:
    data = torch.arange(4, dtype=torch.double).reshape(2, 2)

    def model() -> None:
        rows, cols = pyro.plate("rows", 2, dim=-2), pyro.plate("cols", 2, dim=-1)
        with rows:
            a = pyro.sample("a", dist.Bernoulli(double(0.4)))
        with cols:
            b = pyro.sample("b", dist.Bernoulli(double(0.2)))
        with rows, cols:
            pyro.sample("x", dist.Normal(a + 2 * b, 1.0), obs=data)

    def guide() -> None:
        with pyro.plate("rows", 2, dim=-2):
            pyro.sample("a", dist.Bernoulli(pyro.param("p", double([[0.3], [0.6]]))))
        with pyro.plate("cols", 2, dim=-1):
            pyro.sample("b", dist.Bernoulli(pyro.param("q", double(0.5, 0.9))))

    assert_unbiased(model, guide, ["a", "b"], {"a": (2, 1), "b": (2,)})


def loop_model() -> None:
    for i in pyro.plate("data", 3):
        z = pyro.sample(f"z{i}", dist.Bernoulli(double(0.4)))
        pyro.sample(f"x{i}", dist.Normal(z, 1.0), obs=DATA[i])


def loop_guide() -> None:
    p = pyro.param("p", double(0.3, 0.5, 0.6))
    for i in pyro.plate("data", 3):
        pyro.sample(f"z{i}", dist.Bernoulli(p[i]))


def test_sequential_plates_are_unbiased() -> None:
    assert_unbiased(loop_model, loop_guide, ["z0", "z1", "z2"], {})


def plate_model() -> None:
    with pyro.plate("data", 3):
        z = pyro.sample("z", dist.Bernoulli(double(0.4)))
        pyro.sample("x", dist.Normal(z, 1.0), obs=DATA)


def plate_guide() -> None:
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Bernoulli(pyro.param("p", double(0.3, 0.5, 0.6))))


def gradient_at(model: Any, guide: Any, draws: Any) -> Any:
    with Drawing({name: constant(x) for name, x in draws.items()}):
        loss = Trace_ELBO().differentiable_loss(model, guide)
    return torch.autograd.grad(loss, leaves("p"))[0]


@pytest.mark.parametrize("values", [(0.0, 1.0, 0.0), (1.0, 1.0, 0.0)])
def test_a_sequential_plate_is_worth_a_vectorised_one(values: Any) -> None:
    values = double(*values)
    in_turn = gradient_at(loop_model, loop_guide, {f"z{i}": values[i] for i in range(3)})
    assert_close(in_turn, gradient_at(plate_model, plate_guide, {"z": values}))


def test_an_element_of_a_plate_does_not_answer_for_another() -> None:
    one = gradient_at(plate_model, plate_guide, {"z": double(0.0, 1.0, 0.0)})
    other = gradient_at(plate_model, plate_guide, {"z": double(0.0, 0.0, 1.0)})
    assert_close(one[0], other[0])
    assert (one[1:] - other[1:]).abs().min() > 0.1


def test_particles_as_a_plate_are_unbiased() -> None:
    elbo = Trace_ELBO(num_particles=2, vectorize_particles=True)

    def log_q(values: Any) -> Any:
        p = pyro.param("p")
        return dist.Bernoulli(p).log_prob(values["z"]).sum()

    params = leaves_of(plate_guide)
    outcomes = list(weighted_outcomes({"z": COIN}, {"z": (3,)}, log_q))
    exact = expected_gradient(Trace_ELBO(), plate_model, plate_guide, iter(outcomes), params)
    pairs = weighted_outcomes({"z": COIN}, {"z": (2, 3)}, log_q)
    both = expected_gradient(elbo, plate_model, plate_guide, pairs, params)
    assert elbo.max_plate_nesting == 2
    assert_close(both[0], exact[0])
    assert_close(both[1], exact[1])


def leaves_of(guide: Any) -> Any:
    trace_of(guide)
    return leaves(*pyro.get_param_store())


def test_particles_of_a_deterministic_guide_are_all_alike() -> None:
    def guide() -> None:
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Delta(pyro.param("at", double(0.0, 1.0, 1.0))))

    one = Trace_ELBO().loss(plate_model, guide)
    for vectorize in (False, True):
        elbo = Trace_ELBO(num_particles=5, vectorize_particles=vectorize)
        assert_close(elbo.loss(plate_model, guide), one)


@pytest.mark.parametrize("size", [1, 2])
def test_subsampling_is_unbiased(size: Any) -> None:
    """The mean over all subsets of the data is the loss on all of the data, and so its gradient."""

    def program(observe: Any, subsample_size: Any) -> Any:
        def run() -> None:
            loc = pyro.param("loc", double(0.3))
            z = pyro.sample("z", dist.Normal(loc, double(1.0)))
            with pyro.plate("data", 3, subsample_size=subsample_size) as index:
                if observe:
                    pyro.sample("x", dist.Normal(z, 1.0), obs=DATA[index])

        return run

    def outcomes(subsets: Any) -> Any:
        for subset in subsets:
            yield (
                1 / len(subsets),
                {"z": lambda fn: fn.loc + 0.5, "data": constant(tensor(subset))},
            )

    elbo = Trace_ELBO()
    model, guide = program(True, size), program(False, size)
    params = leaves_of(guide)
    subsets = list(combinations(range(3), size))
    mean = expected_gradient(elbo, model, guide, outcomes(subsets), params)
    full_model, full_guide = program(True, None), program(False, None)
    full = expected_gradient(elbo, full_model, full_guide, outcomes([(0, 1, 2)]), params)
    assert_close(mean[0], full[0])
    assert_close(mean[1], full[1])


@pytest.mark.parametrize("has_rsample", [True, False])
def test_beta_bernoulli_is_unbiased(has_rsample: Any) -> None:
    """Against the closed form by digammas; false-alarm rate 7e-6 a number."""

    class Beta(dist.Beta):
        pass

    Beta.has_rsample = has_rsample
    heads, tails = 4.0, 2.0

    def model() -> None:
        with pyro.plate("coins", 2):
            p = pyro.sample("p", dist.Beta(double(2.0), 2.0))
            pyro.factor("x", heads * p.log() + tails * (-p).log1p())

    def guide() -> None:
        a = pyro.param("a", double(3.0), constraint=constraints.positive)
        b = pyro.param("b", double(2.5), constraint=constraints.positive)
        with pyro.plate("coins", 2):
            pyro.sample("p", Beta(a, b))

    params = leaves_of(guide)
    a, b = pyro.param("a"), pyro.param("b")
    log_p, log_1_p = a.digamma() - (a + b).digamma(), b.digamma() - (a + b).digamma()
    log_prior = log_p + log_1_p - 2 * torch.lgamma(double(2.0)) + torch.lgamma(double(4.0))
    bound = log_prior + heads * log_p + tails * log_1_p + dist.Beta(a, b).entropy()
    exact = [-2 * bound, *torch.autograd.grad(-2 * bound, params)]

    elbo = Trace_ELBO(num_particles=20, vectorize_particles=True, max_plate_nesting=1)
    estimates = []
    for _ in range(300):
        loss = elbo.differentiable_loss(model, guide)
        estimates.append(torch.stack([loss, *torch.autograd.grad(loss, params)]).detach())
    assert_mean(torch.stack(estimates), torch.stack(exact).detach())


@pytest.mark.parametrize("keep_dist", [False, True])
@pytest.mark.parametrize("law", [dist.Normal, ScoreNormal])
def test_an_equalized_model_is_its_hand_tied_twin(keep_dist: Any, law: Any) -> None:
    def model() -> None:
        x = pyro.sample("x", dist.Normal(double(0.0), 1.0))
        y = pyro.sample("y", dist.Normal(double(5.0), 3.0))
        with pyro.plate("data", 3):
            pyro.sample("obs", dist.Normal(x + y, 1.0), obs=DATA)

    def twin() -> None:
        x = pyro.sample("x", dist.Normal(double(0.0), 1.0))
        if keep_dist:
            pyro.sample("y", dist.Normal(double(5.0), 3.0), obs=x)
        with pyro.plate("data", 3):
            pyro.sample("obs", dist.Normal(x + x, 1.0), obs=DATA)

    def guide() -> None:
        loc = pyro.param("loc", double(0.2))
        scale = pyro.param("scale", double(1.3), constraint=constraints.positive)
        pyro.sample("x", law(loc, scale))

    results = []
    for program in (poutine.equalize(model, ["x", "y"], keep_dist=keep_dist), twin):
        pyro.set_rng_seed(7)
        params = leaves_of(guide)
        elbo = Trace_ELBO(num_particles=3)
        loss = elbo.differentiable_loss(program, guide)
        results.append([loss, *torch.autograd.grad(loss, params)])
    assert results[0][0].item() == results[1][0].item()
    assert_close(*results)


def test_loss_and_gradients_agree_between_the_ways_to_ask() -> None:
    params = leaves_of(guide_in_plate)
    answers = []
    for num_particles, vectorize in ((1, False), (3, False), (3, True)):
        elbo = Trace_ELBO(num_particles=num_particles, vectorize_particles=vectorize)
        pyro.set_rng_seed(3)
        loss = elbo.loss(coins_in_plate, guide_in_plate)
        pyro.set_rng_seed(3)
        differentiable = elbo.differentiable_loss(coins_in_plate, guide_in_plate)
        grads = torch.autograd.grad(differentiable, params)
        pyro.set_rng_seed(3)
        for p in params:
            p.grad = None
        loss_and_grads = elbo.loss_and_grads(coins_in_plate, guide_in_plate)
        answers.append(loss)
        assert isinstance(loss, float) and isinstance(loss_and_grads, float)
        assert_close(differentiable, loss)
        assert_close(loss_and_grads, loss)
        assert_close([p.grad for p in params], list(grads))
    assert len(set(answers)) == 3


def test_a_guide_factor_adds_to_the_density_of_the_guide() -> None:
    def model() -> None:
        pyro.sample("z", dist.Bernoulli(double(0.5)))

    def guide() -> None:
        p = pyro.param("p", double(0.3))
        z = pyro.sample("z", dist.Bernoulli(p))
        pyro.factor("tilt", p * z, has_rsample=True)

    with Drawing({"z": lambda fn: double(1.0)}):
        loss = Trace_ELBO().differentiable_loss(model, guide)
    assert_close(loss, math.log(0.3) + 0.3 - math.log(0.5))
    cost = math.log(0.3) + 0.3 - math.log(0.5)
    assert_close(torch.autograd.grad(loss, leaves("p"))[0], cost / 0.3 + 1.0)


def test_a_program_without_sites_has_no_loss() -> None:
    assert Trace_ELBO().loss(lambda: None, lambda: None) == 0.0
    assert Trace_ELBO().loss_and_grads(lambda: None, lambda: None) == 0.0


def test_a_guide_that_asks_for_enumeration_is_warned_of() -> None:
    def guide() -> None:
        pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    with pytest.warns(UserWarning, match="'z' ask to be enumerated"):
        Trace_ELBO().loss(guide, guide)
