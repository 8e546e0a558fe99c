"""PyroModule: which attributes are sites, under which names, and for how long a value holds."""

from typing import Any

import torch

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.poutine.handlers import condition
from pyro.poutine.sites import site_is_deterministic
from tests.helpers import assert_close, trace_of
from tests.nn.models import Declared, Inner, Outer, sites_of


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
