"""Drawing what was observed."""

import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, assert_mean, trace_of
from tests.poutine.models import value_of
from tests.poutine.test_poutines import Decentre


def model() -> None:
    x = pyro.sample("x", dist.Normal(1.0, 2.0), infer={"hint": 1})
    pyro.deterministic("twice", 2 * x)
    pyro.factor("f", torch.tensor(-1.5))
    with pyro.plate("data", 4, subsample_size=2):
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.full((2,), 100.0))


def test_observed_sites_are_drawn() -> None:
    record = trace_of(poutine.uncondition(model))
    site = record.nodes["y"]
    assert not site["is_observed"] and (site["value"] < 50).all()
    assert site["infer"] == {"was_observed": True, "obs": site["infer"]["obs"]}
    assert site["infer"]["obs"].tolist() == [100, 100]
    assert record.nodes["x"]["infer"] == {"hint": 1}


def test_draws_follow_the_law() -> None:
    """Of y marginally: mean 1, variance 4 + 1."""

    def one() -> None:
        x = pyro.sample("x", dist.Normal(1.0, 2.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(100.0))

    with pyro.plate("runs", 4000):
        assert_mean(value_of(trace_of(poutine.uncondition(one)), "y"), 1.0, 5**0.5)


def test_what_is_not_drawn_keeps_its_value_and_density() -> None:
    record = trace_of(poutine.uncondition(model))
    assert value_of(record, "twice") == 2 * value_of(record, "x")
    for name in ("twice", "f"):
        assert record.nodes[name]["is_observed"]
        assert "was_observed" not in record.nodes[name]["infer"]
    assert_close(record.log_prob_sum(lambda name, _: name == "f"), -1.5)


def test_a_condition_inside_is_undone_and_one_outside_stands() -> None:
    data = {"x": torch.tensor(50.0)}
    inside = trace_of(poutine.uncondition(poutine.condition(model, data=data)))
    assert not inside.nodes["x"]["is_observed"] and inside.nodes["x"]["infer"]["obs"] == 50
    outside = trace_of(poutine.condition(poutine.uncondition(model), data=data))
    assert outside.nodes["x"]["is_observed"] and value_of(outside, "x") == 50


def test_what_a_reparameterisation_computed_is_no_datum() -> None:
    record = trace_of(poutine.uncondition(poutine.reparam(model, config={"x": Decentre()})))
    assert record.nodes["x"]["is_observed"] and "was_observed" not in record.nodes["x"]["infer"]
    assert value_of(record, "x") == 1 + value_of(record, "x_centred")
    assert not record.nodes["y"]["is_observed"]
