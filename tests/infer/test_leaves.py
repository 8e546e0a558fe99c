import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.leaves import LeavesRead, leaves_of_graph

POSITIVE = dist.constraints.positive


def test_parameters_are_known_by_name_in_the_order_of_reading() -> None:
    with LeavesRead() as read:
        pyro.param("b", torch.ones(2), constraint=POSITIVE)
        pyro.param("a", torch.zeros(()))
        pyro.param("b")
    store = pyro.get_param_store()
    assert list(read.leaves) == ["b", "a"]
    assert all(read.leaves[name] is store.unconstrained(name) for name in "ab")


def test_parameters_of_modules_are_read_under_their_full_names() -> None:
    module = torch.nn.Linear(1, 1)
    with LeavesRead() as read:
        pyro.module("net", module)
    assert list(read.leaves) == ["net$$$weight", "net$$$bias"]
    assert read.leaves["net$$$bias"] is module.bias


def test_a_tied_parameter_is_its_owners() -> None:
    def model() -> None:
        for name in ("x_scale", "y_scale"):
            pyro.param(name, torch.tensor(1.0), constraint=POSITIVE)

    with LeavesRead() as read:
        poutine.equalize(model, ".+_scale", "param")()
    assert list(read.leaves) == ["x_scale"]


def test_what_a_handler_gives_is_not_learnt() -> None:
    def model() -> None:
        pyro.param("given", torch.tensor(1.0))
        pyro.param("own", torch.tensor(1.0))

    with LeavesRead() as read:
        poutine.substitute(model, data={"given": torch.tensor(2.0)})()
        poutine.lift(model, prior={"given": dist.Normal(0.0, 1.0)})()
    assert list(read.leaves) == ["own"]


def test_blocked_parameters_are_not_seen() -> None:
    with LeavesRead() as read, poutine.block(hide=["hidden"]):
        pyro.param("hidden", torch.tensor(1.0))
        pyro.param("seen", torch.tensor(1.0))
    assert list(read.leaves) == ["seen"]


def test_leaves_that_were_read_without_a_message_are_added() -> None:
    read, leaf = LeavesRead(), torch.ones(2)
    read.take([("w", leaf)])
    assert read.leaves["w"] is leaf


def test_leaves_of_a_graph_are_found_once_each() -> None:
    a, b, c = (torch.tensor(1.0, requires_grad=True) for _ in range(3))
    shared = a * b
    found = leaves_of_graph([shared + a, shared.exp(), torch.ones(())])
    assert {id(x) for x in found} == {id(a), id(b)} and len(found) == 2
    assert leaves_of_graph([c.detach(), torch.ones(())]) == []


def test_what_no_gradient_reaches_is_no_leaf() -> None:
    a, fixed = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0)
    with torch.no_grad():
        cut = a * 2
    assert [x is a for x in leaves_of_graph([a * fixed + cut])] == [True]
    assert leaves_of_graph([cut]) == []


def test_a_deep_graph_needs_no_recursion() -> None:
    leaf = torch.tensor(0.0, requires_grad=True)
    x = leaf
    for _ in range(5000):
        x = x + 1
    assert [each is leaf for each in leaves_of_graph([x])] == [True]
