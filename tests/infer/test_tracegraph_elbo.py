import copy
import math
import pickle
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from pyro.infer.tracegraph_elbo import TrackNonReparam
from pyro.ops.provenance import ProvenanceTensor, get_provenance
from pyro.poutine.sites import site_is_latent
from tests.helpers import assert_close, trace_of
from tests.infer.exact import (
    COIN,
    Drawing,
    assert_unbiased,
    constant,
    double,
    leaves,
    variance_of_gradient,
)
from tests.infer.test_trace_elbo import (
    DATA,
    chain,
    chain_params,
    coins_in_plate,
    guide_in_plate,
    loop_guide,
    loop_model,
    plate_guide,
    plate_model,
)

BASELINES: dict[str, Any] = {
    "none": lambda shape: {},
    "value": lambda shape: {"baseline_value": torch.full(shape, 1.7, dtype=torch.double)},
    "network": lambda shape: {
        "nn_baseline": lambda x: x * torch.ones(shape, dtype=torch.double),
        "nn_baseline_input": double(-2.5),
    },
    "average": lambda shape: {"use_decaying_avg_baseline": True, "baseline_beta": 0.4},
    "average and value": lambda shape: {
        "use_decaying_avg_baseline": True,
        "baseline_value": double(0.3),
    },
}
EVERY_BASELINE = pytest.mark.parametrize("options", BASELINES.values(), ids=list(BASELINES))


def with_baseline(guide: Any, options: Any) -> Any:
    """The guide with a baseline at every site that is drawn."""

    def config(site: Any) -> dict[str, Any]:
        return {"baseline": options(site["fn"].batch_shape)} if site_is_latent(site) else {}

    return poutine.infer_config(guide, config)


def fresh(averages: Any = 3.1) -> Any:
    """An objective that remembers costs, as after some steps."""
    elbo = TraceGraph_ELBO()
    for name in ["g", "z", "a", "b", *(f"z{i}" for i in range(3))]:
        elbo._baselines.averages[name] = double(averages)
    return elbo


class Forgetful(TraceGraph_ELBO):
    """Remembers the same in each run."""

    def _particle_loss(self, *args: Any) -> Any:
        self._baselines.averages.update(fresh()._baselines.averages)
        return super()._particle_loss(*args)


PROGRAMS: dict[str, Any] = {
    "plates": (coins_in_plate, guide_in_plate, ["g", "z"], {"z": (3,)}),
    "loop": (loop_model, loop_guide, ["z0", "z1", "z2"], {}),
    "plate": (plate_model, plate_guide, ["z"], {"z": (3,)}),
}
EVERY_PROGRAM = pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))


@EVERY_BASELINE
@EVERY_PROGRAM
def test_discrete_programs_are_unbiased_with_any_baseline(program: Any, options: Any) -> None:
    model, guide, names, shapes = program
    assert_unbiased(model, with_baseline(guide, options), names, shapes, elbo=Forgetful())


def dependent_guide() -> None:
    """A draw whose law depends on an earlier one through a differentiable draw between them."""
    p = pyro.param("p", double(0.6, 0.1))
    a = pyro.sample("a", dist.Bernoulli(p[0]))
    shift = pyro.sample("shift", dist.Delta(0.3 * a))
    pyro.sample("b", dist.Bernoulli(p[1] + shift + 0.2 * a))


def dependent_model() -> None:
    b = pyro.sample("b", dist.Bernoulli(double(0.2)))
    pyro.sample("shift", dist.Delta(double(0.0), log_density=double(0.0)).mask(False))
    a = pyro.sample("a", dist.Bernoulli(0.3 + 0.2 * b))
    pyro.sample("x", dist.Normal(a + b, 1.0), obs=double(1.2))


def test_a_draw_answers_for_what_the_guide_computes_from_it() -> None:
    """Also for sites that the model draws before it."""
    assert_unbiased(dependent_model, dependent_guide, ["a", "b"], {}, elbo=TraceGraph_ELBO())


def readings() -> dict[str, Any]:
    return {
        "if": lambda a: 1.0 if a > 0.5 else -1.0,
        "item": lambda a: 2 * a.item() - 1,
        "int": lambda a: float(range(-1, 3, 2)[int(a)]),
        "index": lambda a: [-1.0, 1.0][a.long()],
        "equal": lambda a: 1.0 if torch.equal(a, torch.ones_like(a)) else -1.0,
        "numpy": lambda a: float(2 * a.detach().numpy() - 1),
        "in": lambda a: 1.0 if 1.0 in a else -1.0,
        "tolist": lambda a: 2 * a.tolist() - 1,
    }


@pytest.mark.parametrize("read", readings().values(), ids=list(readings()))
@pytest.mark.parametrize("reader", ["model", "guide"])
def test_what_follows_a_reading_of_a_draw_is_answered_for(read: Any, reader: Any) -> None:
    """Control flow by plain Python values leaves no trace in tensors."""

    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(double(0.3)))
        if reader == "model":
            pyro.sample("x", dist.Normal(double(read(a)), 1.0), obs=double(0.8))
        pyro.sample("b", dist.Bernoulli(double(0.8)))

    def guide() -> None:
        p = pyro.param("p", double(0.6, 0.3))
        a = pyro.sample("a", dist.Bernoulli(p[0]))
        pyro.sample("b", dist.Bernoulli(p[1] if reader == "model" else p[1] + 0.2 * read(a)))

    assert_unbiased(model, guide, ["a", "b"], {}, elbo=TraceGraph_ELBO())


def test_a_factor_after_a_reading_is_answered_for() -> None:
    def model() -> None:
        a = pyro.sample("a", dist.Bernoulli(double(0.3)))
        pyro.factor("x", double(1.5 if a > 0.5 else -0.7))

    def guide() -> None:
        pyro.sample("a", dist.Bernoulli(pyro.param("p", double(0.6))))

    assert_unbiased(model, guide, ["a"], {}, elbo=TraceGraph_ELBO())


def test_checks_of_laws_are_no_readings() -> None:
    def program() -> None:
        with pyro.plate("data", 2):
            a = pyro.sample("a", dist.Bernoulli(0.5))
            pyro.sample("b", dist.Normal(a, 1.0 + a), obs=torch.zeros(2))
        pyro.sample("c", dist.Categorical(torch.stack([a, 1 - a], -1).mean(0) + 1))
        pyro.sample("d", dist.Normal(0.0, 1.0))

    with TrackNonReparam() as tracker:
        record = trace_of(program)
        record.compute_log_prob()
        assert not tracker._read
    origins = {n: set(get_provenance(record.nodes[n]["log_prob"])) for n in "abcd"}
    assert origins == {"a": {"a"}, "b": {"a"}, "c": {"a", "c"}, "d": set()}


# The variance of the estimate, exactly.

SUPPORTS = {"a": COIN, "b": COIN}


def apart_model() -> None:
    for name, x in (("a", 1.2), ("b", -3.0)):
        z = pyro.sample(name, dist.Bernoulli(double(0.3)))
        pyro.sample(f"x_{name}", dist.Normal(2 * z, 1.0), obs=double(x))


def apart_guide() -> None:
    p = pyro.param("p", double(0.6, 0.3))
    for i, name in enumerate("ab"):
        pyro.sample(name, dist.Bernoulli(p[i]))


def variance(make: Any, model: Any, guide: Any) -> Any:
    trace_of(guide)
    params = leaves(*pyro.get_param_store())
    return variance_of_gradient(make, model, guide, SUPPORTS, {}, params)


def test_parts_of_a_program_that_are_apart_do_not_answer_for_each_other() -> None:
    """The estimate is that of each part alone, so what the other draws adds no variance."""
    mean, spread = variance(TraceGraph_ELBO, apart_model, apart_guide)
    wider_mean, wider = variance(Trace_ELBO, apart_model, apart_guide)
    assert_close(mean, wider_mean)
    assert (spread < wider).all()
    p, prior = double(0.6, 0.3), double(0.3)
    for i, x in enumerate((1.2, -3.0)):
        cost = [
            dist.Bernoulli(p[i]).log_prob(z)
            - dist.Bernoulli(prior).log_prob(z)
            - dist.Normal(2 * z, 1.0).log_prob(double(x))
            for z in COIN
        ]
        estimates = torch.stack([-cost[0] / (1 - p[i]), cost[1] / p[i]])
        weights = torch.stack([1 - p[i], p[i]])
        alone = (weights * estimates).sum()
        assert_close(spread[i], (weights * estimates**2).sum() - alone**2)


def later_guide() -> None:
    p = pyro.param("p", double(0.6, 0.3))
    a = pyro.sample("a", dist.Bernoulli(p[0]))
    pyro.sample("b", dist.Bernoulli(p[1] + 0.4 * a))


def test_a_draw_does_not_answer_for_the_past() -> None:
    for value in COIN:
        grads = []
        for x in (1.2, 100.0):  # what was observed of an earlier draw

            def model(x: float = x) -> None:
                a = pyro.sample("a", dist.Bernoulli(double(0.3)))
                pyro.sample("x", dist.Normal(a, 1.0), obs=double(x))
                pyro.sample("b", dist.Bernoulli(double(0.3)))

            trace_of(later_guide)
            with Drawing({"a": constant(double(1.0)), "b": constant(value)}):
                loss = TraceGraph_ELBO().differentiable_loss(model, later_guide)
            grads.append(torch.autograd.grad(loss, leaves("p"))[0])
        assert_close(grads[0][1], grads[1][1])
        assert not torch.allclose(grads[0][0], grads[1][0])


@pytest.mark.parametrize("kind", ["value", "network", "average"])
def test_a_good_baseline_lowers_the_variance_and_leaves_the_mean(kind: Any) -> None:
    cost = {"a": 1.7, "b": 9.0}  # about what the draws answer for

    def options(site: Any) -> Any:
        if not site_is_latent(site):
            return {}
        guess = double(cost[site["name"]])
        return {
            "baseline": {
                "value": {"baseline_value": guess},
                "network": {"nn_baseline": lambda x: 2 * x, "nn_baseline_input": guess / 2},
                "average": {"use_decaying_avg_baseline": True},
            }[kind]
        }

    def make() -> Any:
        elbo = TraceGraph_ELBO()
        elbo._baselines.averages.update({name: double(x) for name, x in cost.items()})
        return elbo

    mean, spread = variance(make, apart_model, poutine.infer_config(apart_guide, options))
    plain_mean, plain = variance(TraceGraph_ELBO, apart_model, apart_guide)
    assert_close(mean, plain_mean)
    assert (spread < 0.7 * plain).all()


# Baselines.


def coin_model() -> None:
    z = pyro.sample("z", dist.Bernoulli(double(0.4)))
    pyro.sample("x", dist.Normal(z, 1.0), obs=double(2.0))


def coin_guide(**options: Any) -> Any:
    def guide() -> None:
        p = pyro.param("p", double(0.3))
        pyro.sample("z", dist.Bernoulli(p), infer={"baseline": options})

    return guide


def cost_of(z: Any) -> Any:
    return (
        dist.Bernoulli(double(0.3)).log_prob(z)
        - dist.Bernoulli(double(0.4)).log_prob(z)
        - dist.Normal(z, 1.0).log_prob(double(2.0))
    )


def test_the_average_follows_the_formula_and_only_gradients_move_it() -> None:
    elbo, guide = TraceGraph_ELBO(), coin_guide(use_decaying_avg_baseline=True, baseline_beta=0.8)
    average = 0.0
    for value in (1.0, 0.0, 1.0):
        z = double(value)
        trace_of(guide)
        (p,) = leaves("p")
        p.grad = None
        with Drawing({"z": constant(z)}):
            elbo.loss(coin_model, guide)
            elbo.loss_and_grads(coin_model, guide)
        score = 1 / 0.3 if value else -1 / 0.7
        assert_close(p.grad, score * (cost_of(z) - average))
        average = 0.8 * average + 0.2 * cost_of(z).item()
        assert_close(elbo._baselines.averages["z"], average)
    assert list(pyro.get_param_store()) == ["p"]


def test_an_average_outlives_a_change_of_the_batch() -> None:
    def program(guided: bool) -> Any:
        def run(size: int) -> None:
            infer = {"baseline": {"use_decaying_avg_baseline": True}} if guided else {}
            with pyro.plate("data", size):
                pyro.sample("z", dist.Bernoulli(0.5), infer=infer)

        return run

    elbo = TraceGraph_ELBO()
    for size in (3, 3, 2, 3):
        elbo.loss_and_grads(program(False), program(True), size)
        assert elbo._baselines.averages["z"].shape == (size,)


def test_a_network_is_fitted_to_the_costs_and_its_input_is_not() -> None:
    def guide() -> None:
        level = pyro.param("level", double(0.5))
        hidden = pyro.param("hidden", double(1.5))
        options = {
            "nn_baseline": lambda x: level * x["in"][0],
            "nn_baseline_input": {"in": [hidden]},
        }
        p = pyro.param("p", double(0.3))
        pyro.sample("z", dist.Bernoulli(p), infer={"baseline": options})

    trace_of(guide)
    level, hidden, p = leaves("level", "hidden", "p")
    with Drawing({"z": constant(double(1.0))}):
        loss = TraceGraph_ELBO().differentiable_loss(coin_model, guide)
    cost = cost_of(double(1.0))
    found = torch.autograd.grad(loss, [level, hidden, p], allow_unused=True)
    assert found[1] is None
    assert_close([found[0], found[2]], [-2 * 1.5 * (cost - 0.75), (cost - 0.75) / 0.3])
    assert_close(loss, cost)


def test_a_baseline_value_is_fitted_to_the_costs() -> None:
    level = double(0.5).requires_grad_()
    with Drawing({"z": constant(double(1.0))}):
        loss = TraceGraph_ELBO().differentiable_loss(coin_model, coin_guide(baseline_value=level))
    found = torch.autograd.grad(loss, level)[0]
    assert_close(found, -2 * (cost_of(double(1.0)) - 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nn_baselines": 1}, "At site 'z': its baseline has unknown options 'nn_baselines'"),
        ({"nn_baseline": abs}, "nn_baseline and nn_baseline_input one is given without"),
        ({"nn_baseline_input": 1}, "nn_baseline and nn_baseline_input one is given without"),
        (
            {"nn_baseline": abs, "nn_baseline_input": 1, "baseline_value": double(1.0)},
            "both nn_baseline and baseline_value are given",
        ),
        ({"baseline_value": torch.zeros(3)}, r"its baseline has shape \(3,\), expected \(\)"),
        ({"use_decaying_avg_baseline": True, "baseline_beta": 2}, "baseline_beta is 2, expected"),
    ],
)
def test_wrong_options_of_a_baseline_are_refused(options: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        TraceGraph_ELBO().loss_and_grads(coin_model, coin_guide(**options))


def test_an_objective_with_averages_is_copied_and_pickled() -> None:
    elbo, guide = TraceGraph_ELBO(), coin_guide(use_decaying_avg_baseline=True)
    elbo.loss_and_grads(coin_model, guide)
    for twin in (copy.deepcopy(elbo), pickle.loads(pickle.dumps(elbo))):
        assert_close(twin._baselines.averages, elbo._baselines.averages)


# What tracking leaves behind.


def test_loss_and_gradients_are_plain_tensors() -> None:
    loss = TraceGraph_ELBO().differentiable_loss(coins_in_plate, guide_in_plate)
    grads = torch.autograd.grad(loss, leaves("p", "r"))
    assert not any(isinstance(x, ProvenanceTensor) for x in (loss, *grads))


def test_values_written_in_place_are_plain_afterwards() -> None:
    seen = torch.zeros(3, dtype=torch.double)

    def model() -> None:
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Bernoulli(double(0.4)))
            seen.copy_(z)

    TraceGraph_ELBO().loss_and_grads(model, plate_guide)
    assert type(seen) is torch.Tensor


def test_the_loss_is_that_of_the_plain_objective() -> None:
    losses = []
    for Elbo in (Trace_ELBO, TraceGraph_ELBO):
        pyro.set_rng_seed(2)
        losses.append(Elbo(num_particles=3).loss(coins_in_plate, guide_in_plate))
        losses.append(Elbo(num_particles=3).loss_and_grads(coins_in_plate, guide_in_plate))
    assert_close(losses[:2], losses[2:])


def test_differentiable_draws_have_the_pathwise_gradient() -> None:
    def guide() -> None:
        means, scales = chain_params()
        for i in range(2):
            pyro.sample(f"z{i + 1}", dist.Normal(means[i], scales[i]))

    answers = []
    for Elbo in (Trace_ELBO, TraceGraph_ELBO):
        pyro.set_rng_seed(2)
        loss = Elbo().differentiable_loss(chain, guide)
        answers.append([loss, *torch.autograd.grad(loss, leaves("means", "scales"))])
    assert_close(*answers)


def test_a_fit_with_baselines_finds_the_exact_posterior() -> None:
    """Three coins, with a network that learns the level of the costs."""
    baseline = torch.nn.Linear(1, 1).double()
    features = DATA.unsqueeze(-1)

    def guide() -> None:
        pyro.module("baseline", baseline)
        p = pyro.param("p", double(0.3, 0.5, 0.6), constraint=constraints.unit_interval)
        options = {
            "nn_baseline": lambda x: baseline(x).squeeze(-1),
            "nn_baseline_input": features,
            "use_decaying_avg_baseline": True,
        }
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Bernoulli(p), infer={"baseline": options})

    exact = torch.sigmoid(math.log(0.4 / 0.6) + DATA - 0.5)
    elbo = TraceGraph_ELBO(num_particles=100, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(plate_model, guide, pyro.optim.Adam({"lr": 0.1}), elbo)
    for _ in range(50):
        svi.step()
    assert (pyro.param("p") - exact).abs().max() < 0.1
