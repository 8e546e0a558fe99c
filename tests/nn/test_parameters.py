"""How parameters of modules meet the param store, and how they do without it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro import settings
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam
from tests.helpers import assert_close, trace_of


class Net(PyroModule):
    def __init__(self, weight: float = 0.0, scale: float = 2.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.scale = PyroParam(torch.tensor(scale), constraints.positive)
        self.linear = nn.Linear(1, 1)

    def forward(self: Any) -> Any:
        return self.weight + self.scale + self.linear(torch.ones(1)).sum()


NAMES = ["weight", "scale", "linear$$$weight", "linear$$$bias"]


class TestStore:
    def test_the_store_holds_the_modules_own_leaves(self) -> None:
        net, store = Net(), pyro.get_param_store()
        net()
        assert list(store) == NAMES
        assert store.unconstrained("scale") is net.scale_unconstrained
        assert store["weight"] is net.weight
        assert store["linear$$$bias"] is net.linear.bias
        with torch.no_grad():
            net.scale_unconstrained.fill_(0.0)
        assert_close(store["scale"], 1.0)

    def test_constrained_parameters_of_one_name_are_shared(self) -> None:
        one, other = Net(scale=2.0), Net(scale=5.0)
        one()
        assert_close(other.scale, 5.0)
        other()
        assert other.scale_unconstrained is one.scale_unconstrained

    def test_a_modules_plain_parameters_take_over_the_name(self) -> None:
        one, other = Net(weight=1.0), Net(weight=2.0)
        one()
        other()
        assert pyro.get_param_store()["weight"] is other.weight
        assert_close(other.weight, 2.0)
        assert_close(one.weight, 1.0)

    def test_a_saved_store_is_read_into_a_new_module(self, tmp_path: Path) -> None:
        old, store = Net(weight=3.0, scale=4.0), pyro.get_param_store()
        expected = old().detach()
        store.save(tmp_path / "params.pt")
        store.clear()
        store.load(tmp_path / "params.pt")
        new = Net()
        assert_close(new(), expected)
        assert_close(dict(new.state_dict()), dict(old.state_dict()))
        assert store.unconstrained("scale") is new.scale_unconstrained
        assert store["weight"] is new.weight

    def test_a_state_dict_reaches_the_store(self) -> None:
        net = Net()
        other: Any = Net(weight=3.0, scale=4.0)
        net()
        net.load_state_dict(other.state_dict())
        assert_close(pyro.get_param_store()["scale"], 4.0)
        assert_close(net(), other.weight + other.scale + other.linear(torch.ones(1)).sum())

    @pytest.mark.parametrize("name", ["scale", "weight"])
    def test_a_parameter_of_another_shape_in_the_store_is_refused(self, name: str) -> None:
        store = pyro.get_param_store()
        pyro.param(name, torch.ones(3))
        store.set_state({**store.get_state()})
        message = (
            f"At site '{name}': the param store holds .* shape .3,., expected ..,.*clear_param"
        )
        with pytest.raises(ValueError, match=message):
            Net()()

    def test_a_step_of_an_optimiser_is_seen_by_module_and_store(self) -> None:
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net().backward()
        optimizer.step()
        # d/du exp(u) = 2 at the start, so that u falls by 1.
        assert_close(pyro.get_param_store()["scale"], 2.0 * torch.tensor(-1.0).exp())
        assert_close(net.weight, -0.5)


class TestLocalParams:
    def test_parameters_stay_in_the_module(self) -> None:
        net = Net()
        with settings.context(module_local_params=True):
            trace = trace_of(net)
        assert list(trace)[1:-1] == NAMES
        assert len(pyro.get_param_store()) == 0
        for name in NAMES:
            assert trace.nodes[name]["type"] == "param"
        assert trace.nodes["scale"]["value"].unconstrained() is net.scale_unconstrained
        assert trace.nodes["linear$$$bias"]["value"].unconstrained() is net.linear.bias

    def test_modules_of_one_name_are_apart(self) -> None:
        one, other = Net(scale=2.0), Net(scale=5.0)
        with settings.context(module_local_params=True):
            one()
            other()
        assert_close(one.scale, 2.0)
        assert_close(other.scale, 5.0)

    def test_other_parameters_stay_in_the_store(self) -> None:
        net: Any = Net()
        net.forward = lambda: pyro.param("free", torch.ones(()))
        with settings.context(module_local_params=True):
            assert_close(net(), 1.0)
        assert list(pyro.get_param_store()) == ["free"]

    @pytest.mark.parametrize("local", [False, True])
    def test_model_and_guide_are_fitted_alike(self, local: bool) -> None:
        data = torch.tensor([1.0, 2.0, 4.0])

        class Model(PyroModule):
            def __init__(self) -> None:
                super().__init__()
                self.noise = PyroParam(torch.tensor(1.0), constraints.positive)

            def forward(self: Any) -> None:
                mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
                with pyro.plate("data", 3):
                    pyro.sample("x", dist.Normal(mean, self.noise), obs=data)

        def fitted() -> dict[str, torch.Tensor]:
            pyro.clear_param_store()
            pyro.set_rng_seed(0)
            model = Model()
            guide = AutoNormal(model)
            optim = pyro.optim.SGD({"lr": 0.01})
            svi = SVI(model, guide, optim, Trace_ELBO())
            for _ in range(5):
                svi.step()
            return {**model.state_dict(), **guide.state_dict()}

        expected = fitted()
        with settings.context(module_local_params=local):
            assert_close(fitted(), expected)
            assert (len(pyro.get_param_store()) == 0) == local

    def test_the_setting_is_a_bool(self) -> None:
        with pytest.raises(ValueError, match="module_local_params is either True or False"):
            settings.set(module_local_params=1)
        assert settings.get("module_local_params") is False

    def test_a_copy_of_a_local_module_is_fitted_by_itself(self) -> None:
        net = Net()
        with settings.context(module_local_params=True):
            net()
            twin: Any = copy.deepcopy(net)
            twin().backward()
        assert net.scale_unconstrained.grad is None
        assert twin.scale_unconstrained.grad is not None
