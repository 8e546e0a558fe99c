"""Trees of modules: names, containers, and torch modules that are turned into Pyro modules."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar, get_origin

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule, PyroModuleList, PyroSample
from pyro.nn.module import _Context, to_pyro_module_
from pyro.poutine.handlers import condition, substitute
from tests.helpers import assert_close, trace_of
from tests.nn.models import Inner, sites_of

T = TypeVar("T")


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

    def test_what_is_made_of_a_subclass_inherits(self) -> None:
        assert issubclass(PyroModule[Layer], PyroModule[nn.Linear])
        assert issubclass(PyroModule[Both], PyroModule[Layer])
        assert issubclass(PyroModule[nn.LSTM], PyroModule[nn.RNNBase])
        assert isinstance(PyroModule[Both](1, 1), PyroModule[nn.Linear])
        assert PyroModule[PyroModule[Layer]] is PyroModule[Layer]

        class Special(PyroModule[Layer]):  # type: ignore[misc]
            pass

        assert issubclass(Special, PyroModule[nn.Linear])
        assert PyroModule[Special] is Special
        assert sites_of(PyroModule[Both](1, 1), torch.ones(1)) == {
            "weight": "param",
            "bias": "param",
        }

    def test_a_made_sequence_of_a_subclass_reads_its_members(self) -> None:
        class Chain(nn.Sequential):
            pass

        chain = PyroModule[Chain](nn.Linear(1, 1))
        assert list(sites_of(chain, torch.ones(1))) == ["0$$$weight", "0$$$bias"]

    def test_abstract_and_generic_classes(self) -> None:
        class Abstract(nn.Module, ABC):
            @abstractmethod
            def width(self) -> int: ...

        class Concrete(PyroModule[Abstract]):  # type: ignore[type-arg]
            def width(self) -> int:
                return 3

        with pytest.raises(TypeError, match="abstract"):
            PyroModule[Abstract]()
        assert Concrete().width() == 3

        class Box(nn.Module, Generic[T]):
            pass

        class Own(PyroModule, Generic[T]):
            pass

        assert PyroModule[Box[int]] is PyroModule[Box]
        assert get_origin(Own[int]) is Own
        assert isinstance(Own[int](), PyroModule)

    @pytest.mark.parametrize("cls", [PyroModuleList, PyroModule[nn.Sequential]])
    def test_members_are_named_by_their_place(self, cls: Any) -> None:
        root: Any = PyroModule("r")
        first, second, third = Inner(), Inner(), Inner()
        root.list = cls([first, second]) if cls is PyroModuleList else cls(first, second)
        root.forward = lambda: [member() for member in root.list]
        root()
        root.list.insert(0, third)
        first.scale = torch.tensor(5.0)
        places = [(third, "r.list.0"), (first, "r.list.1"), (second, "r.list.2")]
        assert all(member._pyro_name == name for member, name in places)
        assert [n for n, kind in sites_of(root).items() if kind == "sample"] == [
            "r.list.0.noise",
            "r.list.1.noise",
            "r.list.2.noise",
        ]
        assert_close(first.scale, 5.0)
        root.list.pop(0)
        assert [first._pyro_name, second._pyro_name] == ["r.list.0", "r.list.1"]
        root()
        assert_close(pyro.get_param_store()["r.list.0.scale"], 5.0)
        assert "r.list.2.scale" not in pyro.get_param_store()

    def test_members_of_a_dictionary(self) -> None:
        members: Any = PyroModule[nn.ModuleDict]({"a": Inner(), "b": nn.Linear(1, 1)})
        members.forward = lambda: [members["a"](), members["b"](torch.ones(1))]
        names = ["a.scale", "a.noise", "a.weight", "b$$$weight", "b$$$bias"]
        assert list(sites_of(members)) == names
        members.forward = lambda: [list(members.values()), dict(members.items())]
        assert list(sites_of(members)) == names[3:]
        assert list(members) == ["a", "b"]
        taken = members.pop("b")
        assert isinstance(taken, nn.Linear)
        assert list(members.keys()) == ["a"]
        assert not any(name.startswith("b") for name in pyro.get_param_store())
        for access in (members.__getitem__, members.__delitem__):
            with pytest.raises(KeyError, match="training"):
                access("training")

    @pytest.mark.parametrize("cls", [nn.ParameterList, PyroModule[nn.ParameterList]])
    def test_lists_of_parameters(self, cls: Any) -> None:
        module: Any = PyroModule()
        module.list = cls([nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))])
        module.forward = lambda: module.list[0] * module.list[1]
        dot = "$$$" if cls is nn.ParameterList else "."
        assert sites_of(module) == {f"list{dot}0": "param", f"list{dot}1": "param"}
        assert_close(module(), 6.0)

    def test_a_module_shared_by_two_branches_has_one_name(self) -> None:
        root: Any = PyroModule()
        root.left, root.right = PyroModule(), PyroModule()
        root.left.leaf = root.right.leaf = Inner()
        root.forward = lambda: (root.left.leaf(), root.right.leaf())
        assert list(sites_of(root)) == ["right.leaf.scale", "right.leaf.noise", "right.leaf.weight"]
        one, other = root()
        assert_close(one, other)

    def test_pyro_module_names_the_leaves(self) -> None:
        inner: Any = Inner()
        pyro.module("net", inner)
        names = ["net$$$scale_unconstrained", "net$$$weight"]
        assert list(pyro.get_param_store()) == names
        with substitute(data={"scale_unconstrained": torch.tensor(0.0)}):
            pyro.module("net", inner)
        assert_close(inner.scale, 1.0)
        with condition(data={"noise": torch.tensor(3.0)}):
            assert_close(inner(), 1.0 * 3.0 + 0.5 * 3.0 + 4.0)
        pyro.module("net", inner)
        assert_close(inner.scale, 2.0)


class Layer(nn.Linear):
    pass


class Extra(nn.Module):
    pass


class Both(Layer, Extra):
    pass
