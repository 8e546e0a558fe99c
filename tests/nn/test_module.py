"""PyroModule: which attributes are sites, under which names, and for how long a value holds."""

import copy
import io
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroModuleList, PyroParam, PyroSample, pyro_method
from pyro.nn.module import _Context, clear, to_pyro_module_
from pyro.poutine.handlers import condition, equalize, substitute
from pyro.poutine.sites import site_is_deterministic
from tests.helpers import assert_close, trace_of


def sites_of(fn: Any, *args: Any) -> dict[str, str]:
    """Names and types of the sites of a run, in its order."""
    nodes = trace_of(fn, *args).nodes
    return {name: node["type"] for name, node in nodes.items() if not name.startswith("_")}


class Inner(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.scale = PyroParam(torch.tensor(2.0), constraints.positive)
        self.noise = PyroSample(dist.Normal(0.0, 1.0))
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("fixed", torch.tensor(3.0))
        self.plain = 4.0

    def forward(self: Any) -> Any:
        return self.scale * self.noise + self.weight * self.fixed + self.plain


class Outer(PyroModule):
    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.inner = Inner()
        self.torch_linear = nn.Linear(2, 1)
        self.linear = PyroModule[nn.Linear](2, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))

    def forward(self: Any) -> Any:
        x = torch.ones(2)
        return self.inner() + self.torch_linear(x).sum() + self.linear(x).sum()


class Declared(PyroModule):
    @PyroParam(constraint=constraints.positive)
    def scale(self: Any) -> Any:
        return torch.tensor(3.0)

    @PyroParam
    def shift(self: Any) -> Any:
        return self.scale * 2

    rate = PyroParam(torch.tensor(0.5), constraints.unit_interval)

    @PyroSample
    def noise(self: Any) -> Any:
        return dist.Normal(self.shift, self.scale)

    fixed_law = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self: Any) -> Any:
        return self.noise + self.rate

    @pyro_method
    def twice(self: Any) -> Any:
        return self.noise + self.forward()


class TestSites:
    def test_attributes_are_sites_named_by_their_path(self) -> None:
        assert sites_of(Outer()) == {
            "inner.scale": "param",
            "inner.noise": "sample",
            "inner.weight": "param",
            "torch_linear$$$weight": "param",
            "torch_linear$$$bias": "param",
            "linear.weight": "sample",
            "linear.bias": "param",
        }

    def test_a_named_root_heads_all_names(self) -> None:
        assert list(sites_of(Outer("net")))[:2] == ["net.inner.scale", "net.inner.noise"]
        assert "net.torch_linear$$$weight" in pyro.get_param_store()

    def test_values_are_those_of_the_law_and_the_parameters(self) -> None:
        inner: Any = Inner()
        result = condition(inner, {"noise": torch.tensor(1.5)})()
        assert_close(result, 2.0 * 1.5 + 0.5 * 3.0 + 4.0)

    def test_a_value_holds_until_the_outermost_call_returns(self) -> None:
        class Twice(PyroModule):
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner()
                self.own = PyroSample(dist.Normal(0.0, 1.0))

            def forward(self) -> tuple[Any, ...]:
                self.inner()
                return self.own, self.own, self.inner.noise, self.inner.noise

        module: Any = Twice()
        first, second = module(), module()
        assert first[0] is first[1]
        assert first[2] is first[3]
        assert first[0] != second[0]
        assert first[2] != second[2]

    def test_outside_of_calls_nothing_is_a_site_and_draws_are_fresh(self) -> None:
        module: Any = Outer()
        read = lambda: (module.inner.noise, module.inner.scale, module.linear.weight)  # noqa: E731
        assert sites_of(read) == {}
        assert len(pyro.get_param_store()) == 0
        assert module.inner.noise != module.inner.noise
        assert_close(module.inner.scale, 2.0)

    def test_attributes_that_are_not_read_are_no_sites(self) -> None:
        module: Any = Inner()
        module.forward = lambda: module.plain
        assert sites_of(module) == {}

    def test_class_body_declarations_follow_each_other(self) -> None:
        module: Any = Declared()
        trace = trace_of(module)
        assert list(trace)[1:-1] == ["scale", "shift", "noise", "rate"]
        assert_close(trace.nodes["noise"]["fn"].loc, 6.0)
        assert_close(trace.nodes["noise"]["fn"].scale, 3.0)
        assert Declared.noise is Declared.__dict__["noise"]

    def test_instances_of_one_class_have_parameters_of_their_own(self) -> None:
        one: Any = Declared("one")
        other: Any = Declared("other")
        one.rate = torch.tensor(0.25)
        assert_close(one.rate, 0.25)
        assert_close(other.rate, 0.5)

    def test_pyro_method_shares_one_call(self) -> None:
        assert list(sites_of(Declared().twice)) == ["scale", "shift", "noise", "rate"]

    def test_a_prior_may_give_a_tensor(self) -> None:
        module: Any = PyroModule()
        module.x = PyroSample(lambda self: torch.tensor(2.0))
        module.forward = lambda: module.x
        site = trace_of(module).nodes["x"]
        assert site_is_deterministic(site)
        assert_close(site["value"], 2.0)
        assert_close(module.x, 2.0)

    def test_a_parameter_that_needs_no_gradient_is_a_constant(self) -> None:
        module: Any = Inner()
        module.requires_grad_(False)
        assert sites_of(module) == {"noise": "sample"}
        assert len(pyro.get_param_store()) == 0

    def test_parameters_are_subsampled_by_plates(self) -> None:
        module: Any = PyroModule()
        module.loc = PyroParam(torch.arange(10.0).reshape(5, 2), event_dim=1)

        def forward() -> Any:
            with pyro.plate("rows", 5, subsample=torch.tensor([3, 1])):
                return module.loc

        module.forward = forward
        assert_close(module(), [[6.0, 7.0], [2.0, 3.0]])

    def test_gradients_reach_the_unconstrained_leaf(self) -> None:
        module: Any = Inner().double()
        module.scale = torch.tensor(2.0, dtype=torch.double)
        condition(module, {"noise": torch.tensor(1.5, dtype=torch.double)})().backward()
        # d/du of exp(u) * 1.5 at exp(u) = 2
        assert_close(module.scale_unconstrained.grad, torch.tensor(3.0, dtype=torch.double))
        assert_close(module._parameters["weight"].grad, torch.tensor(3.0, dtype=torch.double))


class TestHandlers:
    def test_substituted_parameters_are_what_the_module_computes_with(self) -> None:
        module: Any = Outer()
        ones = {
            "inner.scale": torch.tensor(1.0),
            "inner.weight": torch.tensor(1.0),
            "weight": torch.ones(1, 2),  # of torch_linear: substitute() asks for the inner name
            "bias": torch.ones(1),
            "linear.bias": torch.ones(1),
        }
        drawn = {"inner.noise": torch.tensor(0.0), "linear.weight": torch.ones(1, 2)}
        with substitute(data=ones), condition(data=drawn):
            assert_close(module(), 0.0 + 3.0 + 4.0 + 3.0 + 3.0)
        assert len(pyro.get_param_store()) == 0

    def test_after_a_substituted_call_the_module_has_its_own_parameters_again(self) -> None:
        module: Any = PyroModule()
        module.linear = nn.Linear(1, 1, bias=False)
        module.forward = lambda: module.linear(torch.ones(1))
        own = module.linear.weight
        with substitute(data={"weight": torch.full((1, 1), 7.0)}):
            assert_close(module(), [7.0])
        assert_close(module(), own.detach().reshape(1))
        assert module.linear.weight is own

    def test_equalized_parameters_have_the_owners_value(self) -> None:
        module: Any = PyroModule()
        for name in ("one", "two"):
            setattr(module, name, PyroModule[nn.Linear](1, 1, bias=False))
        module.torch_linear = nn.Linear(1, 1, bias=False)
        module.x = PyroParam(torch.ones(1, 1))
        x = torch.ones(1)
        module.forward = lambda: torch.stack(
            [module.one(x), module.two(x), module.torch_linear(x), module.x[0]]
        )
        tied = equalize(module, ".*weight|x", type="param")
        values = tied()
        assert_close(values, values[0].detach().expand(4, 1))
        assert list(pyro.get_param_store()) == ["one.weight"]
        values.sum().backward()
        assert_close(module.one.weight.grad, [[4.0]])

    def test_a_call_that_fails_leaves_no_value_behind(self) -> None:
        class Failing(PyroModule):
            noise = PyroSample(dist.Normal(0.0, 1.0))
            seen: Any = None

            def forward(self, fail: bool) -> Any:
                self.seen = self.noise
                if fail:
                    raise RuntimeError("as told")
                return self.noise

        module: Any = Failing()
        with pytest.raises(RuntimeError, match="as told"):
            module(True)
        assert not module._pyro_context.active
        before = module.seen
        assert module(False) != before

    def test_threads_are_in_calls_of_their_own(self) -> None:
        barrier = threading.Barrier(8)

        class Meeting(PyroModule):
            noise = PyroSample(dist.Normal(0.0, 1.0))

            def forward(self, offset: float) -> Any:
                before = self.noise
                barrier.wait()
                return before == self.noise, self.noise + offset

        module, results = Meeting(), {}

        def attend(i: int) -> None:
            conditioned = condition(module, {"noise": torch.tensor(float(i))})
            results[i] = conditioned(0.5)

        threads = [threading.Thread(target=attend, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {i: (bool(same), value.item()) for i, (same, value) in results.items()} == {
            i: (True, i + 0.5) for i in range(8)
        }


class TestAttributes:
    def test_state_dict_holds_unconstrained_leaves(self) -> None:
        assert list(Outer().state_dict()) == [
            "inner.scale_unconstrained",
            "inner.weight",
            "inner.fixed",
            "torch_linear.weight",
            "torch_linear.bias",
            "linear.bias",
        ]

    def test_named_pyro_params_are_constrained(self) -> None:
        named = dict(Outer().named_pyro_params(prefix="net"))
        assert "net.torch_linear.weight" in named
        assert_close(named["net.inner.scale"], 2.0)
        assert list(dict(Outer().named_pyro_params(recurse=False))) == []

    def test_an_attribute_may_change_its_kind(self) -> None:
        linear: Any = PyroModule[nn.Linear](1, 1)
        linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 1]).to_event(2))
        assert "weight" not in linear._parameters
        linear.weight = PyroParam(torch.ones(1, 1), constraints.positive)
        assert list(linear._pyro_samples) == []
        assert_close(linear.weight, [[1.0]])
        linear.weight = nn.Parameter(torch.zeros(1, 1))
        assert list(linear._pyro_params) == []
        assert set(linear._parameters) == {"weight", "bias"}
        linear.bias = PyroSample(dist.Normal(0.0, 1.0).expand([1]).to_event(1))
        linear.bias = torch.tensor([5.0])
        assert_close(linear(torch.ones(1)), [5.0])

    def test_a_plain_attribute_gives_way_to_a_declaration(self) -> None:
        module: Any = PyroModule()
        module.x = None
        module.x = PyroSample(dist.Delta(torch.tensor(1.0)))
        assert_close(module.x, 1.0)
        module.x = 3
        assert module.x == 3

    def test_assigning_a_tensor_changes_the_parameter_everywhere(self) -> None:
        module: Any = Inner()
        module()
        leaf = module.scale_unconstrained
        module.scale = torch.tensor(5.0)
        assert module.scale_unconstrained is leaf
        assert_close(module.scale, 5.0)
        assert_close(pyro.get_param_store()["scale"], 5.0)
        module.scale = torch.tensor([1.0, 2.0])
        assert_close(pyro.get_param_store()["scale"], [1.0, 2.0])
        module.scale_unconstrained = nn.Parameter(torch.tensor(0.0))
        assert_close(pyro.get_param_store()["scale"], 1.0)

    def test_a_value_that_breaks_the_constraint_is_refused(self) -> None:
        module: Any = Inner()
        with pytest.raises(ValueError, match="At site 'scale': the first value breaks the constr"):
            module.scale = torch.tensor(-1.0)
        assert_close(module.scale, 2.0)
        with pytest.raises(ValueError, match="At site 'other'"):
            module.other = PyroParam(torch.tensor(-1.0), constraints.positive)
        assert not hasattr(module, "other")

    def test_an_assignment_within_a_call_is_read_at_once(self) -> None:
        module: Any = PyroModule()
        module.x = PyroSample(dist.Normal(0.0, 1.0))
        module.w = nn.Parameter(torch.tensor(0.0))

        def forward() -> tuple[Any, ...]:
            assert module.x is not None
            assert_close(module.w, 0.0)
            module.x = torch.tensor(7.0)
            module.w = nn.Parameter(torch.tensor(1.0))
            return module.x, module.w

        module.forward = forward
        assert_close(module(), [7.0, 1.0])

    def test_deleted_attributes_are_gone_from_the_store_too(self) -> None:
        module: Any = Inner()
        module()
        for name in ("scale", "noise", "weight", "fixed", "plain"):
            delattr(module, name)
            assert not hasattr(module, name)
        assert list(pyro.get_param_store()) == []
        assert list(module.state_dict()) == []
        with pytest.raises(AttributeError, match="'Inner' object has no attribute 'scale'"):
            module.scale  # noqa: B018

    def test_an_error_inside_a_law_is_not_hidden(self) -> None:
        class Misspelled(PyroModule):
            @PyroSample
            def x(self) -> Any:
                return dist.Normal(self.lok, 1.0)

        with pytest.raises(AttributeError, match="no attribute 'lok'"):
            Misspelled().x  # noqa: B018

    def test_attributes_before_init_are_refused_as_torch_does(self) -> None:
        class Hasty(PyroModule):
            def __init__(self) -> None:
                self.weight = nn.Parameter(torch.zeros(1))

        with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
            Hasty()

        class HastyToo(PyroModule):
            def __init__(self) -> None:
                self.weight = PyroSample(dist.Normal(0.0, 1.0))

        with pytest.raises(AttributeError, match=r"Call super.*__init__\(\) before .*'weight'"):
            HastyToo()

    def test_clear_empties_module_and_store(self) -> None:
        module: Any = Outer()
        module()
        pyro.param("elsewhere", torch.zeros(1))
        clear(module)
        assert list(module.state_dict()) == []
        assert list(pyro.get_param_store()) == ["elsewhere"]

    @pytest.mark.parametrize(
        ("make", "argument", "message"),
        [
            (PyroSample, 3.0, "PyroSample needs a law"),
            (PyroSample, torch.distributions.Normal(0.0, 1.0), "PyroSample needs a law"),
            (PyroModule, nn.Linear(1, 1), "PyroModule takes a name.*to_pyro_module_"),
            (
                type(PyroModule).__getitem__.__get__(PyroModule),
                3,
                r"PyroModule\[...\] takes a class of torch modules",
            ),
            (
                type(PyroModule).__getitem__.__get__(PyroModule),
                int,
                r"PyroModule\[...\] takes a class of torch modules",
            ),
            (to_pyro_module_, 3, r"to_pyro_module_\(\) takes a torch.nn.Module"),
        ],
    )
    def test_wrong_arguments_are_refused(self, make: Any, argument: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            make(argument)

    def test_wrong_declarations_are_refused_by_name(self) -> None:
        module: Any = PyroModule("net")
        with pytest.raises(TypeError, match="At site 'net.x': the first value is 2.0"):
            module.x = PyroParam(2.0)
        constraint: Any = "positive"
        with pytest.raises(TypeError, match="At site 'net.x': the constraint is 'positive'"):
            module.x = PyroParam(torch.tensor(2.0), constraint)


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


class TestCopies:
    def test_a_deep_copy_shares_nothing(self) -> None:
        module: Any = Outer()
        module()
        twin: Any = copy.deepcopy(module)
        assert twin._pyro_context is twin.inner._pyro_context
        assert twin._pyro_context is not module._pyro_context
        twin.inner.scale = torch.tensor(9.0)
        assert_close(module.inner.scale, 2.0)
        assert list(twin.state_dict()) == list(module.state_dict())

    def test_a_copy_from_within_a_call_starts_outside(self) -> None:
        module: Any = Inner()
        module.forward = lambda: copy.deepcopy(module)
        assert not module()._pyro_context.active

    @pytest.mark.parametrize("called", [False, True])
    def test_a_pickled_module_comes_back(self, called: bool) -> None:
        module: Any = Outer()
        if called:
            module()
        twin: Any = pickle.loads(pickle.dumps(module))
        assert_close(dict(twin.state_dict()), dict(module.state_dict()))
        assert type(twin.linear) is PyroModule[nn.Linear]
        assert sites_of(twin) == sites_of(module)
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        again = torch.load(file, weights_only=False)
        assert_close(dict(again.state_dict()), dict(module.state_dict()))

    def test_declared_attributes_pickle(self) -> None:
        module: Any = Declared()
        module()
        twin: Any = pickle.loads(pickle.dumps(module))
        assert_close(twin.scale, 3.0)
        assert set(sites_of(twin)) == {"scale", "shift", "noise", "rate"}

    @pytest.mark.parametrize("cls", [PyroModule, PyroModuleList, PyroModule[nn.Linear], Inner])
    def test_classes_pickle(self, cls: type) -> None:
        assert pickle.loads(pickle.dumps(cls)) is cls

    def test_subclasses_of_made_classes_pickle_by_name(self) -> None:
        make: Any = Special
        assert type(pickle.loads(pickle.dumps(make(1, 1)))) is Special


class Special(PyroModule[nn.Linear]):  # type: ignore[type-arg]
    pass
