"""Modules that compute with tensors lent to them."""

import copy
import gc
from typing import Any

import pytest
import torch
from torch import nn

from pyro.params.module_swap import _own, lend_parameter, restore_parameters, take_back
from tests.helpers import assert_close


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers: Any = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(x)
        return result


@pytest.mark.parametrize("kind", [torch.Tensor, nn.Parameter])
def test_a_lent_value_is_computed_with_and_given_back(kind: type) -> None:
    net, x = Net(), torch.ones(1)
    own = dict(net.named_parameters())
    free = net(x)
    lent = torch.full((1, 1), 3.0)
    lend_parameter(net, "layers.0.weight", nn.Parameter(lent) if kind is nn.Parameter else lent)
    assert_close(net(x), 3.0 * own["layers.1.weight"][0])
    restore_parameters(net)
    assert_close(net(x), free)
    assert all(value is own[name] for name, value in net.named_parameters())


def test_gradients_flow_into_what_is_lent() -> None:
    net = Net()
    source = torch.tensor(2.0, requires_grad=True)
    lend_parameter(net, "layers.0.weight", (source**2).reshape(1, 1))
    net(torch.ones(1)).sum().backward()
    assert_close(source.grad, 4.0 * net.layers[1].weight[0, 0])


def test_a_computed_value_is_no_parameter_and_a_parameter_is_one() -> None:
    net = Net()
    lend_parameter(net, "layers.0.weight", torch.ones(1, 1))
    assert [name for name, _ in net.named_parameters()] == ["layers.1.weight"]
    restore_parameters(net)
    shared = net.layers[1].weight
    lend_parameter(net, "layers.0.weight", shared)
    assert list(net.parameters()) == [shared]


def test_what_is_restored_twice_stays_restored() -> None:
    net = Net()
    own = net.layers[0].weight
    lend_parameter(net, "layers.0.weight", torch.ones(1, 1))
    for _ in range(2):
        restore_parameters(net)
        assert net.layers[0].weight is own
    restore_parameters(Net())  # nothing was lent to it


def test_lending_twice_gives_the_own_parameter_back() -> None:
    net = Net()
    own = net.layers[0].weight
    for value in (1.0, 2.0):
        lend_parameter(net, "layers.0.weight", nn.Parameter(torch.full((1, 1), value)))
    restore_parameters(net)
    assert net.layers[0].weight is own
    for value in (1.0, 2.0):
        lend_parameter(net, "layers.0.weight", torch.full((1, 1), value))
    restore_parameters(net)
    assert net.layers[0].weight is own


def test_an_inner_module_is_restored_on_its_own_and_with_the_outer_one() -> None:
    net = Net()
    own = net.layers[0].weight
    for restored in (net, net.layers, net.layers[0]):
        lend_parameter(net, "layers.0.weight", nn.Parameter(torch.ones(1, 1)))
        restore_parameters(restored)
        assert net.layers[0].weight is own


def test_a_copy_computes_with_what_was_lent() -> None:
    net = Net()
    lend_parameter(net, "layers.0.weight", torch.full((1, 1), 3.0))
    twin = copy.deepcopy(net)
    assert_close(twin(torch.ones(1)), net(torch.ones(1)))


def test_a_module_that_is_gone_is_forgotten() -> None:
    before = len(_own)
    net = Net()
    lend_parameter(net, "layers.0.weight", torch.ones(1, 1))
    assert len(_own) == before + 1
    del net
    gc.collect()
    assert len(_own) == before


def test_a_path_that_leads_nowhere_changes_nothing() -> None:
    net = Net()
    with pytest.raises(AttributeError, match="nowhere"):
        lend_parameter(net, "layers.0.nowhere", torch.ones(1))
    assert net not in _own


def test_only_the_loans_that_are_meant_are_taken_back() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
    first, second, bias = torch.ones(1, 1), torch.zeros(1, 1), net[0].bias
    own = net[1].weight
    lend_parameter(net, "0.weight", first)
    lend_parameter(net, "1.weight", second)
    take_back(lambda lent: lent is second)
    assert net[0].weight is first
    assert net[0].bias is bias
    assert net[1].weight is own
    take_back(lambda lent: lent is second)
    restore_parameters(net)
    assert isinstance(net[0].weight, torch.nn.Parameter)
