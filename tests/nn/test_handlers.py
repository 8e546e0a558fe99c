"""What handlers do to the attributes of modules, and threads that call one module."""

import threading
from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.poutine.handlers import block, condition, equalize, substitute
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close, trace_of
from tests.nn.models import Outer, sites_of


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

    @pytest.mark.parametrize(
        "declared",
        [nn.Parameter(torch.tensor(2.0)), PyroParam(torch.tensor(2.0), constraints.positive)],
    )
    def test_parameters_are_hidden_and_lifted_as_any_other(self, declared: Any) -> None:
        class Lift(Messenger):
            """Draws a parameter from a law in place of reading it."""

            def _pyro_param(self, msg: Any) -> None:
                msg["type"], msg["fn"] = "sample", dist.LogNormal(0.0, 1.0)
                msg["args"], msg["kwargs"] = (), {}

        module: Any = PyroModule()
        module.x = declared
        module.forward = lambda: module.x * 1.0
        assert sites_of(block(module, hide=["x"])) == {}
        with Lift():
            trace = trace_of(module)
        assert trace.nodes["x"]["type"] == "sample"
        assert_close(trace.nodes["_RETURN"]["value"], trace.nodes["x"]["value"])
        assert trace.nodes["x"]["value"] != 2.0
        assert_close(module(), 2.0)
