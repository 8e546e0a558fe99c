"""Equalized parameters, and the modules whose parameters they are."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.models import refused, value_of

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
positive = dist.constraints.positive


def two_params() -> tuple[Tensor, Tensor]:
    return pyro.param("a", ONE), pyro.param("b", TWO)


def test_a_member_takes_the_owners_value_and_is_not_created() -> None:
    a, b = poutine.equalize(two_params, ["a", "b"], "param")()
    assert a == b == 1
    assert list(pyro.get_param_store()) == ["a"]


def test_the_trace_shows_both() -> None:
    trace = trace_of(poutine.equalize(two_params, ["a", "b"], "param"))
    assert trace.param_nodes == ["a", "b"]
    assert poutine.equalized_sites(trace) == {"a": ["b"]}
    assert trace.nodes["a"]["infer"] == {}


def test_an_owner_is_read_from_the_store() -> None:
    pyro.param("a", torch.tensor(7.0))
    a, b = poutine.equalize(two_params, ["a", "b"], "param")()
    assert a == b == 7


def test_a_members_initial_value_is_never_computed() -> None:
    def no_value() -> Tensor:
        raise AssertionError("a member has no value of its own")

    def model() -> Any:
        return pyro.param("a", ONE), pyro.param("b", no_value)

    a, b = poutine.equalize(model, ["a", "b"], "param")()
    assert a is b


def test_a_member_that_is_only_read() -> None:
    def model() -> Any:
        return pyro.param("a", ONE), pyro.param("b")

    a, b = poutine.equalize(model, ["a", "b"], "param")()
    assert a is b


def test_reading_a_parameter_again_starts_no_new_group() -> None:
    def model() -> Any:
        return [pyro.param(name, TWO) for name in "abaab"]

    values = poutine.equalize(model, "a|b", "param")()
    assert all(value is values[0] for value in values)
    assert list(pyro.get_param_store()) == ["a"]


def test_constrained_values_are_shared() -> None:
    def model() -> Any:
        return pyro.param("a", TWO, positive), pyro.param("b", ONE, positive)

    a, b = poutine.equalize(model, ["a", "b"], "param")()
    assert b.item() == pytest.approx(2.0)
    assert b.unconstrained() is pyro.param("a").unconstrained()


def test_a_constraint_that_excludes_the_value_is_refused() -> None:
    def model() -> None:
        pyro.param("a", -ONE)
        pyro.param("b", TWO, positive)

    pyro.param("a", -ONE)
    with refused(ValueError, "'b', equalized to 'a': the constraint of 'a' is Real.* is outside"):
        poutine.equalize(model, ["a", "b"], "param")()


def test_a_shape_that_differs_is_refused() -> None:
    def model() -> None:
        pyro.param("a", torch.zeros(2))
        pyro.param("b", torch.zeros(3))

    pyro.param("a", torch.zeros(2))
    with refused(ValueError, r"'b', equalized to 'a': their shapes are \(2,\) and \(3,\). Give"):
        poutine.equalize(model, ["a", "b"], "param")()


def test_substituting_the_owner_reaches_the_member() -> None:
    model = poutine.equalize(two_params, ["a", "b"], "param")
    a, b = poutine.substitute(model, {"a": torch.tensor(9.0)})()
    assert a == b == 9
    assert list(pyro.get_param_store()) == []


@pytest.mark.parametrize(
    "outer",
    [
        lambda model: poutine.substitute(model, {"b": TWO}),
        lambda model: poutine.replay(model, params={"b": TWO}),
    ],
)
def test_another_value_for_a_member_is_refused(outer: Any) -> None:
    pyro.param("a", ONE)
    model = outer(poutine.equalize(two_params, ["a", "b"], "param"))
    with refused(ValueError, "'b', equalized to 'a': it is observed, replayed or substituted"):
        model()


def test_the_shared_value_for_a_member_is_accepted() -> None:
    model = poutine.equalize(two_params, ["a", "b"], "param")
    assert poutine.substitute(model, {"a": TWO, "b": TWO})()[1] == 2


def test_params_in_a_subsampled_plate_share_their_rows() -> None:
    """Handlers see the whole parameters; the plate inside then picks the rows that run."""

    def model() -> tuple[Tensor, Tensor]:
        with pyro.plate("rows", 4, subsample=torch.tensor([1, 3])):
            a = pyro.param("a", torch.arange(4.0), event_dim=0)
            b = pyro.param("b", torch.zeros(4), event_dim=0)
        return a, b

    a, b = poutine.equalize(model, ["a", "b"], "param")()
    assert a.tolist() == b.tolist() == [1.0, 3.0]
    assert list(pyro.get_param_store()) == ["a"]


@pytest.mark.whole_package("the rows are cut on their way through the handler there")
def test_a_subsampled_plate_around_the_handler() -> None:
    def model() -> tuple[Tensor, Tensor]:
        a = pyro.param("a", torch.arange(4.0), event_dim=0)
        b = pyro.param("b", torch.zeros(4), event_dim=0)
        return a, b

    with pyro.plate("rows", 4, subsample=torch.tensor([1, 3])):
        a, b = poutine.equalize(model, ["a", "b"], "param")()
    assert a.tolist() == b.tolist() == [1.0, 3.0]


# Modules.


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) - self.right(x)  # type: ignore[no-any-return]


TIES_MODULES = pytest.mark.whole_package("pyro.module puts no tied value into a module there")
ALL_RIGHT = {"weight": r".*\.weight", "bias": r".*\.bias"}


def tied_output(net: nn.Module, x: Tensor) -> Tensor:
    def model() -> Tensor:
        output: Tensor = pyro.module("net", net)(x)
        return output

    output: Tensor = poutine.equalize(model, ALL_RIGHT, "param")()
    return output


@TIES_MODULES
def test_a_module_computes_with_the_tied_values() -> None:
    net, x = Net(), torch.randn(3, 2)
    own = net.right.weight
    assert_close(tied_output(net, x), torch.zeros(3, 2))
    assert list(pyro.get_param_store()) == ["net$$$left.weight", "net$$$left.bias"]
    assert net.right.weight is net.left.weight is not own


@TIES_MODULES
def test_two_modules_share_a_parameter_with_its_gradient() -> None:
    one, two, x = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False), torch.ones(2)

    def model() -> Tensor:
        total: Tensor = pyro.module("one", one)(x) + 2 * pyro.module("two", two)(x)
        return total

    sites = ["one$$$weight", "two$$$weight"]
    trace = trace_of(poutine.equalize(model, sites, "param"))
    assert value_of(trace, "two$$$weight") is one.weight
    value_of(trace, "_RETURN").sum().backward()
    assert_close(one.weight.grad, [[3.0, 3.0]])


def test_the_next_run_without_equalize_has_the_modules_own_parameters() -> None:
    net, x = Net(), torch.randn(3, 2)
    own = {name: value.detach().clone() for name, value in net.named_parameters()}
    free = net(x)
    tied_output(net, x)
    assert_close(pyro.module("net", net)(x), free)
    assert {name: value.tolist() for name, value in net.named_parameters()} == {
        name: value.tolist() for name, value in own.items()
    }


@TIES_MODULES
def test_a_tied_module_copies() -> None:
    net, x = Net(), torch.randn(3, 2)
    tied_output(net, x)
    twin = copy.deepcopy(net)
    assert_close(twin(x), torch.zeros(3, 2))


@TIES_MODULES
def test_tying_again_is_tying() -> None:
    net, x = Net(), torch.randn(3, 2)
    for _ in range(3):
        assert_close(tied_output(net, x), torch.zeros(3, 2))
    assert list(pyro.get_param_store()) == ["net$$$left.weight", "net$$$left.bias"]
