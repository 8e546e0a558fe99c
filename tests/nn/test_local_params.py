"""Parameters of modules that stay out of the param store."""

import copy
import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro import settings
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam
from tests.helpers import assert_close, trace_of
from tests.nn.models import NAMES, Net


class Scaled(PyroModule):
    """A model whose evidence pulls ``scale`` down at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = PyroParam(torch.tensor(2.0), constraints.positive)

    def forward(self: Any) -> None:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(0.1 * z, self.scale), obs=torch.tensor(0.0))


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

    @pytest.mark.parametrize("local", [False, True])
    def test_torch_optimisers_fit_an_elbo_module(self, local: bool) -> None:
        model, guide = self._fitted(local)
        expected = self._fitted(False)
        for module, other in zip((model, guide), expected, strict=True):
            assert_close(dict(module.state_dict()), dict(other.state_dict()))
        assert_close(model.scale, 2.0 * math.exp(-0.1 * 3))  # Adam's first steps are of size lr

    def _fitted(self, local: bool) -> tuple[Any, Any]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model: Any = Scaled()
        with settings.context(module_local_params=local):
            guide = AutoNormal(model)
            loss = Trace_ELBO()(model, guide)
            loss()  # the guide takes its shape from the model
            names = {name for name, _ in loss.named_parameters()}
            assert names == {
                "model.scale_unconstrained",
                "guide.locs.z_unconstrained",
                "guide.scales.z_unconstrained",
            }
            optim = torch.optim.Adam(loss.parameters(), lr=0.1)
            for _ in range(3):
                optim.zero_grad()
                loss().backward()
                optim.step()
            assert (len(pyro.get_param_store()) == 0) == local
        return model, guide
