"""Trees of modules: names, containers, and torch modules that are turned into Pyro modules."""

from typing import Any

import pytest
import torch
from torch import nn

import pyro.distributions as dist
from pyro.nn import PyroModule, PyroModuleList, PyroSample
from pyro.nn.module import _Context, to_pyro_module_
from tests.helpers import assert_close, trace_of
from tests.nn.models import Inner, sites_of


class TestTree:
    def test_a_module_that_joins_takes_name_and_calls(self) -> None:
        outer: Any = PyroModule("outer")
        middle: Any = PyroModule()
        middle.inner = Inner()
        outer.add_module("middle", middle)
        assert middle.inner._pyro_name == "outer.middle.inner"
        assert middle.inner._pyro_context is outer._pyro_context

    def test_a_shared_module_is_one_site_under_its_latest_name(self) -> None:
        class Pair(PyroModule):
            def __init__(self) -> None:
                super().__init__()
                self.left = Inner()
                self.right = self.left

            def forward(self) -> Any:
                return self.left(), self.right()

        left, right = Pair()()
        assert left is not right
        assert_close(left, right)
        assert list(sites_of(Pair())) == ["right.scale", "right.noise", "right.weight"]

    def test_classes_are_made_once_and_keep_their_base(self) -> None:
        assert PyroModule[nn.Linear] is PyroModule[nn.Linear]
        assert PyroModule[PyroModule] is PyroModule
        assert PyroModule[nn.Module] is PyroModule
        assert PyroModule[Inner] is Inner
        assert PyroModule[nn.ModuleList] is PyroModuleList
        assert issubclass(PyroModule[nn.Linear], nn.Linear)
        assert PyroModule[nn.Linear].__name__ == "PyroLinear"

    def test_lists_are_indexed_iterated_and_sliced(self) -> None:
        members: Any = PyroModuleList([Inner(), nn.Linear(1, 1), Inner()])
        members.append(Inner())
        assert [m._pyro_name for m in (members[0], members[-1])] == ["0", "3"]
        part = members[1:3]
        assert type(part) is nn.ModuleList
        assert part[1] is members[2]
        assert members[2]._pyro_name == "2"
        members.forward = lambda: [m.bias for m in members if isinstance(m, nn.Linear)]
        assert list(sites_of(members)) == ["1$$$weight", "1$$$bias"]

    def test_plain_members_of_a_sequence_are_sites(self) -> None:
        sequence: Any = PyroModule[nn.Sequential](nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        assert list(sites_of(sequence, torch.ones(1))) == [
            "0$$$weight",
            "0$$$bias",
            "2$$$weight",
            "2$$$bias",
        ]
        assert type(sequence[1:]) is nn.Sequential
        assert sequence[1:][-1] is sequence[2]

    def test_to_pyro_module_turns_a_tree(self) -> None:
        tree: Any = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1)))
        weights = [p.detach().clone() for p in tree.parameters()]
        expected = tree(torch.ones(2))
        to_pyro_module_(tree)
        assert_close(tree(torch.ones(2)), expected)
        assert list(sites_of(tree, torch.ones(2))) == [
            "0.weight",
            "0.bias",
            "2.0.weight",
            "2.0.bias",
        ]
        assert_close(list(tree.parameters()), weights)
        tree[2][0].weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
        assert sites_of(tree, torch.ones(2))["2.0.weight"] == "sample"

    def test_to_pyro_module_may_stay_at_the_top(self) -> None:
        tree: Any = nn.Sequential(nn.Linear(1, 1))
        to_pyro_module_(tree, recurse=False)
        assert type(tree[0]) is nn.Linear
        assert list(sites_of(tree, torch.ones(1))) == ["0$$$weight", "0$$$bias"]

    def test_a_module_made_by_hand_works(self) -> None:
        # What libraries do that build the four private attributes themselves.
        linear: Any = nn.Linear(1, 1)
        linear.__class__ = PyroModule[nn.Linear]
        for name, value in (
            ("_pyro_name", "mine"),
            ("_pyro_context", _Context()),
            ("_pyro_params", {}),
            ("_pyro_samples", {}),
        ):
            linear.__dict__[name] = value
        linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
        assert sites_of(linear, torch.ones(1)) == {"mine.weight": "sample", "mine.bias": "param"}

    @pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
    def test_recurrent_networks_compute_with_their_random_weights(self, kind: Any) -> None:
        network, reference = PyroModule[kind](2, 3), kind(2, 3)
        shape = network.weight_ih_l0.shape
        network.weight_ih_l0 = PyroSample(dist.Normal(0.0, 1.0).expand(shape).to_event(2))
        trace = trace_of(network, torch.ones(4, 2))
        assert list(trace)[1:5] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        state = {name: trace.nodes[name]["value"].detach() for name in list(trace)[1:5]}
        reference.load_state_dict(state)
        expected = reference(torch.ones(4, 2))[0]
        assert_close(trace.nodes["_RETURN"]["value"][0], expected)
