"""What each handler does on its own; what they have in common stands in test_poutines.py."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.indep_messenger import IndepMessenger
from tests.helpers import assert_close, trace_of
from tests.poutine.models import normals, refused, value_of

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


def mixed() -> None:
    pyro.param("p", ONE)
    pyro.param("q", ONE)
    pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(0.0, 1.0), obs=ONE)


# block


@pytest.mark.parametrize(
    ("options", "visible"),
    [
        ({}, ""),
        ({"hide_all": False}, "pqxy"),
        ({"hide_all": False, "expose_all": True}, "pqxy"),
        ({"hide": ["x"]}, "pqy"),
        ({"expose": ["x"]}, "x"),
        ({"hide": []}, "pqxy"),
        ({"expose": []}, ""),
        ({"hide_types": ["param"]}, "xy"),
        ({"expose_types": ["param"]}, "pq"),
        ({"hide_types": ["sample"]}, "pqy"),  # what is observed has a type of its own
        ({"hide_types": ["observe"]}, "pqx"),
        ({"hide_types": ["sample", "observe"]}, "pq"),
        ({"expose_types": ["sample"]}, "x"),
        ({"expose_types": ["observe"]}, "y"),
        ({"hide": ["x"], "hide_types": ["param"]}, "y"),
        ({"expose": ["x"], "expose_types": ["param"]}, "pqx"),
        ({"hide": ["x"], "expose": ["p"]}, "p"),
        ({"hide": ["x"], "expose_types": ["sample", "observe"]}, "y"),
        ({"hide_types": ["param"], "expose_types": ["sample"]}, "x"),
        ({"hide_all": False, "hide": ["x"]}, "pqy"),
        ({"hide_all": False, "expose": ["x"]}, "x"),
        ({"hide_fn": lambda msg: msg["name"] == "x"}, "pqy"),
        ({"expose_fn": lambda msg: msg["name"] == "x"}, "x"),
    ],
)
def test_block_hides(options: dict[str, Any], visible: str) -> None:
    record = trace_of(poutine.block(mixed, **options))
    assert "".join(name for name in record if name in list("pqxy")) == visible


@pytest.mark.parametrize(
    "options",
    [
        {"hide": ["x"], "expose": ["x"]},
        {"hide_types": ["param"], "expose_types": ["param"]},
        {"expose_all": True},
        {"hide_fn": bool, "expose_fn": bool},
    ],
)
def test_block_refuses_options_that_contradict_each_other(options: dict[str, Any]) -> None:
    with refused(ValueError, r"block\(\) (cannot hide and expose|takes hide_fn or expose_fn)"):
        poutine.block(**options)


def test_what_block_hides_still_runs() -> None:
    assert set(poutine.block(normals("ab"), hide=["a"])()) == {"a", "b"}


# condition


def test_condition_observes() -> None:
    record = trace_of(poutine.condition(normals("ab"), data={"a": TWO, "b": None, "z": ONE}))
    assert record.nodes["a"]["is_observed"] and value_of(record, "a") == 2
    assert not record.nodes["b"]["is_observed"]
    assert_close(record.log_prob_sum(), trace_of_density(record, "a", "b"))


def trace_of_density(record: Any, *names: str) -> torch.Tensor:
    law = dist.Normal(0.0, 1.0)
    return torch.stack([law.log_prob(value_of(record, name)) for name in names]).sum()


def test_condition_takes_a_trace() -> None:
    data = trace_of(normals("ab"))
    record = trace_of(poutine.condition(normals("abc"), data=data))
    assert record.observation_nodes == ["a", "b"]
    assert value_of(record, "b") == value_of(data, "b")


def test_condition_overrules_an_observation() -> None:
    record = trace_of(poutine.condition(mixed, data={"y": TWO}))
    assert value_of(record, "y") == 2


def test_the_outer_of_two_conditions_counts() -> None:
    inner = poutine.condition(normals("a"), data={"a": ONE})
    assert poutine.condition(inner, data={"a": TWO})()["a"] == 2


def test_condition_refuses_what_is_no_data() -> None:
    with refused(TypeError, r"condition\(\) takes a dict of values by site name or a trace, got 3"):
        poutine.condition(mixed, data=3)  # type: ignore[call-overload]


# replay


def test_replay_gives_values_and_hints_of_the_record() -> None:
    def hinted() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0), infer={"from": "guide"})

    def model() -> Any:
        return pyro.sample("a", dist.Normal(3.0, 1.0), infer={"from": "model", "other": 1})

    record = trace_of(hinted)
    site = trace_of(poutine.replay(model, trace=record)).nodes["a"]
    assert site["value"] is value_of(record, "a")
    assert site["infer"] == {"from": "guide", "other": 1}
    assert not site["is_observed"] and site["fn"].loc == 3


def test_replay_draws_what_the_record_lacks_and_keeps_data() -> None:
    record = trace_of(normals("xy"))
    again = trace_of(poutine.replay(mixed, trace=record))
    assert value_of(again, "x") == value_of(record, "x")
    assert value_of(again, "y") == 1


def test_replay_repeats_the_indices_of_plates() -> None:
    def model() -> Any:
        with pyro.plate("rows", 100, subsample_size=5) as rows:
            return rows

    record = trace_of(model)
    assert poutine.replay(model, trace=record)().tolist() == value_of(record, "rows").tolist()


def test_replay_sets_params() -> None:
    assert poutine.replay(lambda: pyro.param("p", ONE), params={"p": TWO})() == 2
    assert len(pyro.get_param_store()) == 0


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_replay_refuses_a_record_that_was_not_drawn(kind: type[Exception]) -> None:
    with refused(kind, "At site 'a': the replayed trace holds no drawn value for it, but an obs"):
        poutine.replay(normals("a"), trace=trace_of(poutine.condition(normals("a"), {"a": ONE})))()
    pyro.param("a", ONE)
    record = trace_of(lambda: pyro.param("a"))
    with refused(kind, "At site 'a': .* but a param site. Draw the site in the guide"):
        poutine.replay(normals("a"), trace=record)()


def test_replay_needs_something_to_replay() -> None:
    with refused(ValueError, "needs a trace of a run, or params, or both"):
        poutine.replay(mixed)


# scale and mask


@pytest.mark.parametrize("scale", [0.5, 2, np.float32(0.5), torch.tensor(0.5), torch.ones(2) / 2])
def test_scale_weighs_the_density(scale: Any) -> None:
    def model() -> None:
        with pyro.plate("rows", 2):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    record = trace_of(poutine.scale(model, scale))
    record.compute_log_prob()
    law = dist.Normal(0.0, 1.0)
    expected = torch.as_tensor(scale) * law.log_prob(value_of(record, "x"))
    assert_close(record.nodes["x"]["log_prob"], expected)


@pytest.mark.parametrize(
    "scale", [0, 0.0, -1.0, "2", None, torch.tensor(0.0), torch.tensor([1.0, -1.0]), math.nan]
)
def test_scale_refuses_what_is_not_positive(scale: Any) -> None:
    with refused(ValueError, r"scale must be positive, got .*To leave sites out, use mask\(\)"):
        poutine.scale(mixed, scale)


def test_mask_leaves_elements_out() -> None:
    mask = torch.tensor([True, False, True])

    def model() -> None:
        with pyro.plate("rows", 3):
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor([1.0, math.nan, 2.0]))

    with pyro.validation_enabled(False):
        record = trace_of(poutine.mask(model, mask=mask))
        record.compute_log_prob()
    law = dist.Normal(0.0, 1.0)
    expected = torch.where(mask, law.log_prob(torch.tensor([1.0, 0.0, 2.0])), 0.0)
    assert_close(record.nodes["x"]["log_prob"], expected)


def test_missing_values_that_are_masked_out_have_no_gradient() -> None:
    loc = torch.zeros(2, requires_grad=True)

    def model() -> None:
        with pyro.plate("rows", 2):
            pyro.sample("x", dist.Normal(loc, 1.0), obs=torch.tensor([1.0, math.nan]))

    masked = poutine.mask(model, mask=torch.tensor([True, False]))
    torch.as_tensor(trace_of(masked).log_prob_sum()).backward()
    assert_close(loc.grad, [1.0, 0.0])


def test_masks_combine_with_and() -> None:
    first, second = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    with poutine.mask(mask=first), poutine.mask(mask=second):
        assert poutine.get_mask().tolist() == [True, False, False]
    with poutine.mask(mask=first), poutine.mask(mask=True):
        assert poutine.get_mask().tolist() == first.tolist()
    with poutine.mask(mask=False), poutine.mask(mask=first):
        assert not poutine.get_mask().any()


@pytest.mark.parametrize("mask", [1, 0.5, None, "x", torch.tensor([1.0]), torch.tensor([1])])
def test_mask_refuses_what_is_not_boolean(mask: Any) -> None:
    with refused(ValueError, "mask must be a bool or a tensor of bools, got .* Try mask > 0"):
        poutine.mask(mixed, mask)


# seed


def test_seed_fixes_a_run_and_nothing_after_it() -> None:
    def model() -> Any:
        return pyro.sample("x", dist.Normal(0.0, 1.0)).item(), np.random.rand()

    pyro.set_rng_seed(1)
    expected = torch.rand(())
    pyro.set_rng_seed(1)
    first = poutine.seed(model, rng_seed=7)()
    assert torch.rand(()) == expected
    assert poutine.seed(model, rng_seed=7)() == first != poutine.seed(model, rng_seed=8)()


def test_seed_restores_the_generators_after_an_exception() -> None:
    state = torch.get_rng_state()
    with pytest.raises(KeyError, match="on purpose"), poutine.seed(rng_seed=7):
        raise KeyError("on purpose")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", [1.5, "1", None, True, torch.tensor(1)])
def test_seed_refuses_what_is_no_integer(seed: Any) -> None:
    with refused(TypeError, "rng_seed must be an integer, got"):
        poutine.seed(mixed, seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_refuses_what_no_generator_takes(seed: int) -> None:
    with refused(ValueError, r"rng_seed must lie in \[0, 2\*\*32\), got"):
        poutine.seed(mixed, seed)


# substitute


def test_substitute_gives_params_other_values() -> None:
    pyro.param("p", ONE)
    record = trace_of(poutine.substitute(mixed, data={"p": TWO}))
    assert value_of(record, "p") == 2 and value_of(record, "q") == 1
    assert pyro.param("p") == 1


def test_substitute_carries_gradients() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    model = poutine.substitute(lambda: pyro.param("p", ONE) ** 2, data={"p": value})
    (gradient,) = torch.autograd.grad(model(), value)
    assert gradient == 6


def test_substitute_selects_the_rows_that_a_plate_runs() -> None:
    def model() -> Any:
        with pyro.plate("data", 4, subsample=torch.tensor([1, 3])):
            return pyro.param("rows", torch.zeros(4), event_dim=0)

    rows = poutine.substitute(model, data={"rows": torch.arange(4.0)})()
    assert rows.tolist() == [1, 3]


def test_substitute_knows_the_params_of_modules_by_their_own_name() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    weight = TWO.reshape(1, 1)
    model = poutine.substitute(lambda: pyro.module("net", net)(torch.ones(1)), {"weight": weight})
    assert model() == 2


def test_substitute_warns_of_names_that_no_param_bears() -> None:
    handled = poutine.substitute(mixed, data={"p": ONE, "qq": ONE})
    with pytest.warns(UserWarning, match="a value for 'qq', but no such.* Did you mean 'q'") as got:
        handled()
        handled()
    assert len(got) == 1


# infer_config and broadcast


def test_infer_config_updates_hints_of_samples_and_params() -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0), infer={"a": 1, "b": 1})
        pyro.param("p", ONE)

    record = trace_of(poutine.infer_config(model, lambda site: {"b": site["type"]}))
    assert record.nodes["x"]["infer"] == {"a": 1, "b": "sample"}
    assert record.nodes["p"]["infer"] == {"b": "param"}


def test_broadcast_expands_laws_to_bare_contexts() -> None:
    def model() -> Any:
        with IndepMessenger("rows", 3), IndepMessenger("columns", 2):
            return pyro.sample("x", dist.Normal(0.0, 1.0)).shape

    assert model() == ()
    assert poutine.broadcast(model)() == (2, 3)


def test_broadcast_refuses_a_batch_that_does_not_fit() -> None:
    def model() -> None:
        with IndepMessenger("rows", 3):
            pyro.sample("x", dist.Normal(torch.zeros(4), 1.0))

    with refused(
        ValueError, r"At site 'x': .*4 elements at dim -1, expected 3 inside plate 'rows'"
    ):
        poutine.broadcast(model)()
