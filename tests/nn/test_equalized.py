"""A module with equalized attributes is like one whose attributes were tied by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.poutine.handlers import condition, equalize
from tests.helpers import assert_close, trace_of

DATA = torch.tensor([0.5, 1.5, 4.0], dtype=torch.double)
START = torch.tensor([0.7, 1.3], dtype=torch.double)


def law(shift: float) -> Any:
    return dist.LogNormal(torch.full((2,), shift).double(), 1.0).to_event(1)


DECLARED: dict[str, Any] = {
    "sample": lambda shift: PyroSample(law(shift)),
    "dependent sample": lambda shift: PyroSample(lambda self: law(shift)),
    "constrained": lambda shift: PyroParam(START + shift, constraints.positive),
    "called": lambda shift: PyroParam(lambda: START + shift, constraints.positive),
    "plain": lambda shift: nn.Parameter(START + shift),
}


class Half(PyroModule):
    def __init__(self, declared: Any) -> None:
        super().__init__()
        self.spread = declared


class Model(PyroModule):
    """Two groups; with ``tied`` the second reads the spread of the first."""

    def __init__(self, kind: str, tied: bool) -> None:
        super().__init__()
        self.one = Half(DECLARED[kind](0.0))
        self.two = Half(DECLARED[kind](0.5))
        self.tied = tied

    def forward(self: Any) -> Any:
        one = self.one.spread
        two = one if self.tied else self.two.spread
        with pyro.plate("data", len(DATA)):
            pyro.sample("x", dist.Normal(one.sum(), one.prod()), obs=DATA)
            pyro.sample("y", dist.Normal(two.prod(), two.sum()), obs=DATA)


def leaves(model: Any) -> dict[str, Tensor]:
    return dict(model.named_parameters())


@pytest.mark.parametrize("kind", DECLARED)
@pytest.mark.parametrize("keep_dist", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_an_equalized_module_is_like_its_hand_tied_twin(
    kind: str, keep_dist: bool, local: bool
) -> None:
    type = "sample" if "sample" in kind else "param"
    value = (START + 0.1).requires_grad_()
    results = []
    for tied in (False, True):
        pyro.clear_param_store()
        model: Any = Model(kind, tied)
        run = model if tied else equalize(model, r".*\.spread", type, keep_dist)
        with pyro.settings.context(module_local_params=local):
            trace = trace_of(condition(run, {"one.spread": value}))
        density = trace.log_prob_sum()
        if tied and keep_dist and type == "sample":
            density = density + law(0.5).log_prob(value)
        wanted = [value] if type == "sample" else [leaves(model)[next(iter(leaves(model)))]]
        results.append((density, torch.autograd.grad(density, wanted)[0]))
        if not tied:
            owner, member = (trace.nodes[f"{half}.spread"] for half in ("one", "two"))
            assert_close(member["value"], owner["value"])
            assert member["infer"]["_equalized"] == "one.spread"
            assert "two.spread" not in pyro.get_param_store()
            for name, leaf in leaves(model).items():
                assert name.startswith("one") or leaf.grad is None
        drawn = [name for name, _ in trace.iter_stochastic_nodes()]
        assert drawn == ["data"]
    assert_close(results[0][0], results[1][0])
    assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("kind", ["sample", "dependent sample"])
def test_drawn_values_are_one(kind: str) -> None:
    model: Any = Model(kind, False)
    trace = trace_of(equalize(model, r".*\.spread"))
    assert [name for name, _ in trace.iter_stochastic_nodes()] == ["one.spread", "data"]
    assert_close(trace.nodes["two.spread"]["value"], trace.nodes["one.spread"]["value"])


@pytest.mark.parametrize(
    ("first", "second", "constraint"),
    [
        (torch.ones(2), torch.ones(3), constraints.positive),
        (torch.ones(2), torch.ones(3), constraints.real),
        (torch.ones(2) / 2, torch.ones(3) / 3, constraints.simplex),
        (torch.eye(2), torch.eye(3), constraints.corr_cholesky),
    ],
)
@pytest.mark.parametrize("lazily", [False, True])
def test_a_parameter_of_another_shape_is_refused(
    first: Tensor, second: Tensor, constraint: Any, lazily: bool
) -> None:
    model: Any = PyroModule()
    model.a = PyroParam((lambda: first) if lazily else first, constraint)
    model.b = PyroParam((lambda: second) if lazily else second, constraint)
    model.forward = lambda: (model.a, model.b)
    shapes = rf"shapes are \({first.shape[0]},.*\) and \({second.shape[0]},.*\)"
    with pytest.raises(ValueError, match=f"At site 'b', equalized to 'a': their {shapes}"):
        equalize(model, ["a", "b"], type="param")()


def test_a_parameter_of_another_dtype_is_warned_about() -> None:
    model: Any = PyroModule()
    model.a = PyroParam(torch.ones(2), constraints.positive)
    model.b = PyroParam(torch.ones(2, dtype=torch.double), constraints.positive)
    model.forward = lambda: (model.a, model.b)
    with pytest.warns(UserWarning, match="the dtype of 'a' is torch.float32, that of 'b'"):
        equalize(model, ["a", "b"], type="param")()
