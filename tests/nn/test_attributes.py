"""How attributes of modules are set, registered, declared anew and deleted."""

from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.nn.module import clear, to_pyro_module_
from tests.helpers import assert_close
from tests.nn.models import Inner, Outer, sites_of


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


class Defaults(PyroModule):
    rate = PyroParam(torch.tensor(0.5), constraints.unit_interval)
    noise = PyroSample(dist.Normal(0.0, 1.0))

    @PyroParam
    def shift(self: Any) -> Any:
        return self.rate + 1.0

    def forward(self: Any) -> Any:
        return self.noise + self.rate


class TestClassBodies:
    def test_tensors_are_parameters_from_the_start(self) -> None:
        assert [name for name, _ in Defaults().named_parameters()] == ["rate_unconstrained"]

    def test_a_subclass_declares_anew_or_not_at_all(self) -> None:
        class Sure(Defaults):
            noise = 0.0
            rate = PyroSample(dist.Uniform(0.0, 1.0))

        assert sites_of(Sure()) == {"rate": "sample"}
        assert list(Sure().named_parameters()) == []

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("noise", nn.Parameter(torch.tensor(2.0)), {"noise": "param", "rate": "param"}),
            ("noise", torch.tensor(2.0), {"rate": "param"}),
            ("noise", PyroParam(torch.tensor(2.0)), {"noise": "param", "rate": "param"}),
            ("rate", PyroSample(dist.Beta(1.0, 1.0)), {"noise": "sample", "rate": "sample"}),
            ("rate", nn.Parameter(torch.tensor(2.0)), {"noise": "sample", "rate": "param"}),
            ("rate", 2.0, {"noise": "sample"}),
        ],
    )
    def test_an_instance_declares_anew(self, name: str, value: Any, expected: Any) -> None:
        module: Any = Defaults()
        setattr(module, name, value)
        assert sites_of(module) == expected
        other: Any = Defaults()
        assert sites_of(other) == {"noise": "sample", "rate": "param"}

    def test_a_declaration_may_come_after_the_class(self) -> None:
        class Late(PyroModule):
            def forward(self: Any) -> Any:
                return self.x

        module: Any = Late()
        cls: Any = Late
        cls.x = PyroSample(dist.Normal(0.0, 1.0))
        assert sites_of(module) == {"x": "sample"}

    def test_what_an_instance_declares_is_not_seen_on_its_class(self) -> None:
        class Plain(PyroModule):
            pass

        one: Any = Plain()
        other: Any = Plain()
        one.x = PyroSample(dist.Normal(0.0, 1.0))
        assert hasattr(one, "x")
        assert not hasattr(other, "x")
        assert not hasattr(Plain, "x")
        with pytest.raises(AttributeError, match="'Plain' object has no attribute 'x'"):
            other.x  # noqa: B018
        other.x = nn.Linear(1, 1)
        assert isinstance(other.x, nn.Linear)


class TestRegistration:
    @pytest.mark.parametrize("declared", ["sample", "param", "class"])
    @pytest.mark.parametrize("kind", ["parameter", "buffer", "module"])
    def test_a_declaration_gives_way_and_is_not_read(self, declared: str, kind: str) -> None:
        module: Any = Defaults() if declared == "class" else PyroModule()
        module.forward = lambda: module.noise
        if declared == "sample":
            module.noise = PyroSample(dist.Normal(0.0, 1.0))
        elif declared == "param":
            module.noise = PyroParam(torch.tensor(1.0), constraints.positive)
        state = torch.get_rng_state()
        value: Any = torch.tensor(2.0)
        if kind == "parameter":
            module.register_parameter("noise", nn.Parameter(value))
        elif kind == "buffer":
            module.register_buffer("noise", value)
        else:
            value = Inner()
            module.add_module("noise", value)
        assert module.noise is value or bool(module.noise == value)
        assert torch.equal(torch.get_rng_state(), state)
        sites = {"parameter": {"noise": "param"}, "buffer": {}, "module": {}}[kind]
        assert sites_of(module) == sites
        assert "noise_unconstrained" not in module.state_dict()

    @pytest.mark.parametrize(
        "value", [PyroSample(dist.Normal(0.0, 1.0)), PyroParam(torch.ones(()))]
    )
    def test_a_buffer_gives_way_to_a_declaration(self, value: Any) -> None:
        module: Any = PyroModule()
        module.register_buffer("x", torch.zeros(()), persistent=False)
        module.x = value
        assert list(module.buffers()) == []
        module.register_buffer("x", torch.zeros(()))
        assert list(module.state_dict()) == ["x"]

    def test_what_is_no_declaration_is_refused_as_torch_does(self) -> None:
        module: Any = PyroModule()
        module.x = 3.0
        with pytest.raises(KeyError, match="attribute 'x' already exists"):
            module.register_parameter("x", nn.Parameter(torch.zeros(1)))

    def test_no_parameter_is_no_site(self) -> None:
        module: Any = PyroModule()
        module.register_parameter("x", None)
        module.forward = lambda: module.x
        assert sites_of(module) == {}

    def test_a_deleted_submodule_leaves_the_store(self) -> None:
        module: Any = Outer()
        module()
        del module.inner
        assert not any(name.startswith("inner") for name in pyro.get_param_store())
        assert not hasattr(module, "inner")

    @pytest.mark.parametrize("within", [False, True])
    def test_a_function_that_gives_no_law_is_refused(self, within: bool) -> None:
        module: Any = PyroModule("net")
        module.x = PyroSample(lambda self: None)
        module.forward = lambda: module.x
        with pytest.raises(TypeError, match="At site 'net.x': the function .* gave None"):
            module() if within else module.x
