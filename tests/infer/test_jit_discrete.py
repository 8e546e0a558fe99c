"""Compiled objectives of discrete variables: sums, score functions, and baselines that move on."""

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.infer import (
    SVI,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    config_enumerate,
)
from pyro.ops.indexing import Vindex
from pyro.optim import Adam
from tests.helpers import assert_close
from tests.infer.brute_force import bound, log_evidence
from tests.infer.finite_models import CASES
from tests.infer.test_traceenum_elbo import no_guide, priors_of

DATA = torch.tensor([0.5, 2.0, 1.0])
UNIT = constraints.unit_interval


@pytest.fixture(autouse=True)
def nothing_falls_back() -> Iterator[None]:
    """A program that could not be compiled would agree with the eager one without merit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "A function could not be compiled")
        yield


def compiled_loss(elbo: Any, model: Any, guide: Any) -> Tensor:
    """The loss of the third call, which runs what the second compiled."""
    losses: list[Tensor] = [elbo.differentiable_loss(model, guide) for _ in range(3)]
    (function,) = elbo._compiled.values()
    assert all(variant.run is not None for variant in function._variants.values())
    return losses[-1]


def assert_same_value_and_gradient(actual: Tensor, expected: Tensor, params: Any) -> None:
    assert_close(actual, expected)
    assert_close(
        torch.autograd.grad(actual, params, allow_unused=True, materialize_grads=True),
        torch.autograd.grad(expected, params, allow_unused=True, materialize_grads=True),
    )


@pytest.mark.parametrize(
    "name", ["hmm of history 2", "mixture", "cells in rows", "tied copies", "tied, laws kept"]
)
def test_compiled_sums_of_the_model_are_exact(name: str) -> None:
    case = CASES[name](0)
    loss = compiled_loss(JitTraceEnum_ELBO(), case.model, no_guide)
    exact = log_evidence(case.model, case.sites, {})
    assert_same_value_and_gradient(loss, -exact, case.params)


@pytest.mark.parametrize(
    "name, mode",
    [("hmm of history 2", "parallel"), ("mixture", "parallel"), ("mixture", "sequential")],
)
def test_compiled_expectations_over_the_guide_are_exact(name: str, mode: str) -> None:
    case, other = CASES[name](0), CASES[name](100)
    guide = priors_of(other, mode)
    loss = compiled_loss(JitTraceEnum_ELBO(), case.model, guide)
    exact = bound(case.model, guide, case.sites, {})
    assert_same_value_and_gradient(loss, -exact, case.params + other.params)


def fitted(elbo: Any, model: Any, guide: Any, calls: Any = ((),) * 5) -> dict[str, Any]:
    """All that steps leave behind them."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi = SVI(model, guide, Adam({"lr": 0.1}), elbo)
    losses = [svi.step(*args) for args in calls]
    params = {name: value.detach() for name, value in pyro.get_param_store().items()}
    averages = dict(sorted(elbo._memory.items()))
    return {
        "losses": torch.tensor(losses),
        "params": params,
        "averages": averages,
        "next": torch.rand(()),
    }


def chains() -> None:
    """States of two sequences, of levels that the guide draws."""
    init = pyro.param("init", torch.full((3,), 1 / 3), constraint=constraints.simplex)
    steps = pyro.param("steps", torch.eye(3) * 0.4 + 0.2, constraint=constraints.simplex)
    levels = pyro.sample("levels", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    with pyro.plate("sequences", 2):
        z = None
        for t in pyro.markov(range(3)):
            probs = init if z is None else steps[z]
            z = pyro.sample(f"z_{t}", dist.Categorical(probs), infer={"enumerate": "parallel"})
            pyro.sample(
                f"x_{t}", dist.Normal(Vindex(levels)[..., z], 1.0), obs=torch.tensor([0.3, 1.0]) * t
            )


def levels_guide() -> None:
    loc = pyro.param("loc", torch.arange(3.0))
    pyro.sample("levels", dist.Normal(loc, 0.5).to_event(1))


def mixed_guide() -> None:
    """One draw with a score function beside what is enumerated."""
    p = pyro.param("p", torch.tensor([0.4, 0.7]), constraint=UNIT)
    w = pyro.sample("w", dist.Bernoulli(p[0]))
    with pyro.plate("data", 3):
        pyro.sample("z", dist.Bernoulli(p[1] * w + 0.1), infer={"enumerate": "parallel"})


def switch(data: Any = DATA) -> None:
    w = pyro.sample("w", dist.Bernoulli(0.3))
    with pyro.plate("data", len(data)):
        z = pyro.sample("z", dist.Bernoulli(0.2 + 0.5 * w))
        pyro.sample("x", dist.Normal(z + w, 1.0), obs=data)


@pytest.mark.parametrize(
    "model, guide, vectorize",
    [
        (chains, levels_guide, True),
        (switch, mixed_guide, None),
        (switch, mixed_guide, False),
        (switch, mixed_guide, True),
    ],
)
def test_fits_by_sums_are_those_of_the_eager_objective(
    model: Any, guide: Any, vectorize: bool | None
) -> None:
    options: Any = {} if vectorize is None else {"num_particles": 2}
    options["vectorize_particles"] = bool(vectorize)
    found, expected = (
        fitted(make(**options), model, guide) for make in (JitTraceEnum_ELBO, TraceEnum_ELBO)
    )
    assert_close(found, expected)
    assert found["next"] == expected["next"]


def test_several_draws_of_a_site_are_weighed_alike() -> None:
    def guide() -> None:
        p = pyro.param("p", torch.tensor([0.4, 0.7]), constraint=UNIT)
        w = pyro.sample("w", dist.Bernoulli(p[0]))
        with pyro.plate("data", 3):
            pyro.sample("z", dist.Bernoulli(p[1] * w + 0.1))

    sampling = config_enumerate(guide, default="parallel", num_samples=4)
    found, expected = (
        fitted(make(), switch, sampling) for make in (JitTraceEnum_ELBO, TraceEnum_ELBO)
    )
    assert_close(found, expected)


def test_posteriors_of_a_compiled_objective_are_those_of_the_eager_one() -> None:
    answers = []
    for make in (JitTraceEnum_ELBO, TraceEnum_ELBO):
        elbo = make()
        fitted(elbo, chains, levels_guide, calls=((),) * 3)
        marginals = elbo.compute_marginals(chains, levels_guide)
        record = poutine.trace(elbo.sample_posterior).get_trace(chains, levels_guide)
        states = {f"z_{t}": record.nodes[f"z_{t}"]["value"] for t in range(3)}
        answers.append(({name: law.probs for name, law in marginals.items()}, states))
    assert_close(*answers)


NETWORK = torch.nn.Linear(1, 1)


def network(x: Tensor) -> Tensor:
    return pyro.module("network", NETWORK)(x.unsqueeze(-1)).squeeze(-1)  # type: ignore[no-any-return]


BASELINES: dict[str, Any] = {
    "none": lambda data: {},
    "value": lambda data: {"baseline_value": data / 2},
    "network": lambda data: {"nn_baseline": network, "nn_baseline_input": data},
    "average": lambda data: {"use_decaying_avg_baseline": True, "baseline_beta": 0.4},
    "average and network": lambda data: {
        "use_decaying_avg_baseline": True,
        "nn_baseline": network,
        "nn_baseline_input": data,
    },
}


def switch_guide(options: Callable[[Tensor], Any]) -> Any:
    def guide(data: Any = DATA) -> None:
        p = pyro.param("p", torch.tensor([0.4, 0.7]), constraint=UNIT)
        w = pyro.sample(
            "w", dist.Bernoulli(p[0]), infer={"baseline": {"use_decaying_avg_baseline": True}}
        )
        with pyro.plate("data", len(data)):
            law = dist.Bernoulli(p[1] * w + 0.1 + 0 * data)
            pyro.sample("z", law, infer={"baseline": options(data)})

    return guide


@pytest.mark.parametrize(
    "options, vectorize",
    [
        *((options, None) for options in BASELINES.values()),
        (BASELINES["average and network"], False),
        (BASELINES["average and network"], True),
    ],
)
def test_fits_with_baselines_are_those_of_the_eager_objective(
    options: Any, vectorize: bool | None
) -> None:
    particles: Any = {} if vectorize is None else {"num_particles": 2}
    particles["vectorize_particles"] = bool(vectorize)
    state = copy.deepcopy(NETWORK.state_dict())
    answers = []
    for make in (JitTraceGraph_ELBO, TraceGraph_ELBO):
        NETWORK.load_state_dict(state)
        elbo = make(**particles)
        answers.append(fitted(elbo, switch, switch_guide(options)))
        is_average = "use_decaying_avg_baseline" in options(DATA)
        assert list(elbo._memory) == (["w", "z"] if is_average else ["w"])
    assert_close(*answers)
    assert answers[0]["next"] == answers[1]["next"]


def test_averages_follow_batches_of_other_sizes() -> None:
    """A batch that is smaller is captured anew, and so is one that follows it."""
    guide = switch_guide(BASELINES["average"])
    calls = [(DATA[:n],) for n in (3, 3, 3, 2, 2, 2, 3, 2, 3, 2)]
    found, expected = (
        fitted(make(), switch, guide, calls) for make in (JitTraceGraph_ELBO, TraceGraph_ELBO)
    )
    assert_close(found, expected)


def test_averages_of_any_origin_are_used() -> None:
    """Those that a user sets, and none after they are forgotten."""
    guide = switch_guide(BASELINES["average"])
    answers: list[Any] = []
    for make in (JitTraceGraph_ELBO, TraceGraph_ELBO):
        elbo = make()
        found = [fitted(elbo, switch, guide)]
        elbo._baselines.averages["w"] = torch.tensor(50.0)
        found.append(fitted(elbo, switch, guide))
        elbo._baselines.averages.clear()
        found.append(fitted(elbo, switch, guide))
        answers.append(found)
    assert_close(*answers)
    first, _, third = answers[0]
    assert_close(third["averages"], first["averages"])


def test_a_loss_leaves_the_averages_as_they_are() -> None:
    elbo, guide = JitTraceGraph_ELBO(), switch_guide(BASELINES["average"])
    fitted(elbo, switch, guide)
    before = dict(elbo._memory)
    elbo.loss(switch, guide)
    with torch.no_grad():
        for _ in range(3):
            elbo.differentiable_loss(switch, guide)
    assert_close(elbo._memory, before)


def test_averages_go_with_the_objective_through_a_file() -> None:
    elbo, guide = JitTraceGraph_ELBO(), switch_guide(BASELINES["average"])
    fitted(elbo, switch, guide)
    other = pickle.loads(pickle.dumps(elbo))
    assert_close(other._memory, elbo._memory)
    answers = [fitted(each, switch, guide) for each in (elbo, other)]
    assert_close(*answers)


def test_what_is_written_in_place_is_tracked() -> None:
    def model() -> None:
        total = torch.zeros(3)
        with pyro.plate("coins", 3):
            total[1:] += pyro.sample("z", dist.Bernoulli(0.3))[1:]
            total.mul_(2.0)
            pyro.sample("x", dist.Normal(total, 1.0), obs=DATA)

    def guide() -> None:
        p = pyro.param("p", torch.full((3,), 0.5), constraint=UNIT)
        with pyro.plate("coins", 3):
            pyro.sample("z", dist.Bernoulli(p))

    found, expected = (
        fitted(make(), model, guide) for make in (JitTraceGraph_ELBO, TraceGraph_ELBO)
    )
    assert_close(found, expected)


def test_a_draw_that_python_reads_is_not_compiled() -> None:
    def model() -> None:
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("x", dist.Normal(1.0 if z > 0 else -1.0, 1.0), obs=torch.tensor(0.3))

    def guide() -> None:
        p = pyro.param("p", torch.tensor(0.5), constraint=UNIT)
        pyro.sample("z", dist.Bernoulli(p), infer={"baseline": {"use_decaying_avg_baseline": True}})

    elbo = JitTraceGraph_ELBO(ignore_jit_warnings=True)
    assert_close(fitted(elbo, model, guide), fitted(TraceGraph_ELBO(), model, guide))
