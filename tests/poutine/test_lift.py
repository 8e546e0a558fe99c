"""Parameters as random values."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of

NORMAL = dist.Normal(0.0, 1.0)


def params() -> tuple[Tensor, Tensor]:
    a = pyro.param("a", torch.tensor(1.0))
    return a, pyro.param("b", torch.ones(3), constraint=constraints.positive)


def test_a_parameter_with_a_prior_is_drawn_and_the_others_stay() -> None:
    record = trace_of(poutine.lift(params, prior={"a": NORMAL}))
    assert [record.nodes[name]["type"] for name in "ab"] == ["sample", "param"]
    assert record.nodes["a"]["fn"] is NORMAL and not record.nodes["a"]["is_observed"]
    assert value_of(record, "_RETURN")[0] is value_of(record, "a")
    assert list(pyro.get_param_store()) == ["b"]


def test_one_law_lifts_every_parameter() -> None:
    record = trace_of(poutine.lift(params, prior=dist.LogNormal(0.0, 1.0)))
    assert latent_names(record) == ["a", "b"] and not record.param_nodes
    assert value_of(record, "b").shape == (3,)


def test_the_density_is_the_priors(double_precision: None) -> None:
    prior = {"a": NORMAL, "b": dist.Gamma(2.0, torch.tensor([1.0, 2.0, 3.0]))}
    record = trace_of(poutine.lift(params, prior=prior))
    expected = sum(prior[name].log_prob(value_of(record, name)).sum() for name in "ab")
    assert_close(record.log_prob_sum(), expected)


@pytest.mark.parametrize(
    ("law", "event_shape"),
    [
        (NORMAL, (3,)),
        (dist.Normal(torch.zeros(1), 1.0), (3,)),
        (dist.Normal(torch.zeros(3), 1.0), (3,)),
        (dist.Normal(torch.zeros(3), 1.0).to_event(1), (3,)),
        (dist.Dirichlet(torch.ones(3)), (3,)),
    ],
)
def test_laws_are_expanded_to_one_event_of_the_parameters_shape(law: Any, event_shape: Any) -> None:
    with pyro.validation_enabled(False):
        site = trace_of(poutine.lift(params, prior={"b": law})).nodes["b"]
    assert site["fn"].batch_shape == () and site["fn"].event_shape == event_shape
    assert site["value"].shape == (3,)


@pytest.mark.parametrize(
    "law", [dist.Normal(torch.zeros(2), 1.0), dist.Dirichlet(torch.ones(2)), NORMAL.expand([2, 3])]
)
def test_a_law_of_another_shape_is_refused(law: Any) -> None:
    text = r"At site 'b': its prior has batch shape .*expands to the parameter's shape \(3,\).*lift"
    params()
    with refused(ValueError, text):
        poutine.lift(params, prior={"b": law})()


def test_the_shape_is_known_from_the_store_or_from_a_function() -> None:
    def lazy() -> Tensor:
        return pyro.param("w", lambda: torch.ones(2, 2))

    def bare() -> Tensor:
        return pyro.param("w")

    assert poutine.lift(lazy, prior=NORMAL)().shape == (2, 2)
    assert poutine.lift(bare, prior=NORMAL)().shape == ()
    lazy()
    assert poutine.lift(bare, prior=NORMAL)().shape == (2, 2)


def test_a_parameter_is_drawn_once_a_run() -> None:
    def model() -> Any:
        return pyro.param("a", torch.tensor(1.0)), pyro.param("a")

    lifted = poutine.lift(model, prior=NORMAL)
    one, other = trace_of(lifted).nodes["_RETURN"]["value"]
    assert one is other
    assert lifted()[0] != one


def test_a_function_of_the_first_value_gives_the_law() -> None:
    seen = []

    def around(value: Tensor, **options: Any) -> Any:
        seen.append(options)
        return dist.LogNormal(value.log(), 0.1).to_event(value.dim())

    record = trace_of(poutine.lift(params, prior=around))
    assert latent_names(record) == ["a", "b"]
    assert seen[1] == {"constraint": constraints.positive, "event_dim": None}
    assert latent_names(trace_of(poutine.lift(params, prior={"b": around}))) == ["b"]


def test_a_function_may_draw_the_value_itself() -> None:
    def drawn(value: Tensor, **options: Any) -> Any:
        return pyro.sample("drawn", dist.Normal(value, 1.0))

    record = trace_of(poutine.lift(params, prior={"a": drawn}))
    assert latent_names(record) == ["drawn"] and "a" not in record
    assert value_of(record, "_RETURN")[0] == value_of(record, "drawn")


@pytest.mark.parametrize("prior", [None, 3, {"a": None}, dist.Normal, {"a": dist.Normal}])
def test_what_is_no_prior_is_refused(prior: Any) -> None:
    with refused(TypeError, r"lift\(\) got the prior .*expected a law such as"):
        poutine.lift(params, prior=prior)


def test_a_name_that_no_parameter_bears_is_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"prior for 'aa', but no such .* Did you mean 'a'"):
        poutine.lift(params, prior={"aa": NORMAL})()


def test_a_draw_outside_of_the_constraint_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="At site 'b': lift.. drew a value outside of .*support"):
        poutine.lift(params, prior={"b": dist.Normal(-50.0, 1.0)})()


def test_condition_and_replay_reach_a_lifted_parameter() -> None:
    lifted = poutine.lift(params, prior={"a": NORMAL})
    assert poutine.condition(lifted, data={"a": torch.tensor(7.0)})()[0] == 7
    record = trace_of(lifted)
    assert poutine.replay(lifted, trace=record)()[0] == value_of(record, "a")
    assert poutine.do(lifted, data={"a": 8})()[0] == 8


def test_handlers_inside_still_see_a_parameter() -> None:
    inner = poutine.trace(params)
    outer = trace_of(poutine.lift(inner, prior={"a": NORMAL}))
    assert inner.trace.nodes["a"]["type"] == "param"
    assert value_of(inner.trace, "a") == value_of(outer, "a")


def test_hooks_outside_are_those_of_samples() -> None:
    class Notes(Messenger):
        notes: list[str] = []

        def _pyro_sample(self, msg: Any) -> None:
            self.notes.append("sample " + msg["name"])

        def _pyro_param(self, msg: Any) -> None:
            self.notes.append("param " + msg["name"])

    Notes()(poutine.lift(params, prior={"a": NORMAL}))()
    assert Notes.notes == ["sample a", "param b"]


def test_a_scale_inside_weighs_the_prior() -> None:
    record = trace_of(poutine.lift(poutine.scale(params, scale=0.5), prior={"a": NORMAL}))
    assert_close(record.log_prob_sum(), 0.5 * NORMAL.log_prob(value_of(record, "a")))


@pytest.mark.parametrize("event_dim", [None, 0])
def test_a_plate_inside_neither_repeats_nor_weighs_a_parameter(event_dim: int | None) -> None:
    """It is one tensor, of which the plate selects the rows that run."""

    def model() -> Any:
        with pyro.plate("data", 6, subsample=torch.tensor([1, 4])):
            return pyro.param("c", torch.zeros(6), event_dim=event_dim)

    record = trace_of(poutine.lift(model, prior=NORMAL))
    site = record.nodes["c"]
    assert site["value"].shape == (6,) and site["cond_indep_stack"] == () and site["scale"] == 1
    rows = site["value"] if event_dim is None else site["value"][[1, 4]]
    assert_close(value_of(record, "_RETURN"), rows)
    assert_close(record.log_prob_sum(), NORMAL.log_prob(site["value"]).sum())


def test_a_plate_outside_repeats_it() -> None:
    with pyro.plate("particles", 5):
        a, b = poutine.lift(params, prior=dist.LogNormal(0.0, 1.0))()
    assert a.shape == (5,) and b.shape == (5, 3)


def test_a_run_that_fails_leaves_no_draw() -> None:
    def failing() -> None:
        pyro.param("a", torch.tensor(1.0))
        raise ZeroDivisionError

    messenger = poutine.lift(prior=dist.LogNormal(0.0, 1.0))
    with pytest.raises(ZeroDivisionError):
        messenger(failing)()
    with messenger:
        assert not messenger._run.values


@pytest.mark.parametrize("name", ["weight", "net$$$weight"])
def test_a_torch_module_computes_with_what_was_drawn(name: str) -> None:
    net, x = nn.Linear(2, 1), torch.ones(2)

    def model() -> Any:
        return pyro.module("net", net)(x)

    record = trace_of(poutine.lift(model, prior={name: NORMAL}))
    weight = value_of(record, "net$$$weight")
    assert latent_names(record) == ["net$$$weight"] and weight.shape == (1, 2)
    assert_close(value_of(record, "_RETURN"), weight.sum(1) + net.bias)
    assert model() == net(x) and isinstance(net.weight, nn.Parameter)


class Line(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[nn.Linear](2, 1)
        self.scale = PyroParam(torch.tensor(1.0), constraints.positive)

    def forward(self, x: Tensor) -> Any:
        return self.scale * self.linear(x)


def test_a_pyro_module_computes_with_what_was_drawn() -> None:
    line, x = Line(), torch.ones(2)
    prior = {"linear.weight": NORMAL, "scale": dist.LogNormal(0.0, 1.0)}
    record = trace_of(poutine.lift(line, prior=prior), x)
    assert latent_names(record) == ["scale", "linear.weight"]
    weight, scale = (value_of(record, name) for name in ("linear.weight", "scale"))
    assert_close(value_of(record, "_RETURN"), scale * (weight.sum(1) + line.linear.bias))
    assert isinstance(line.linear.weight, nn.Parameter) and line.scale == 1
