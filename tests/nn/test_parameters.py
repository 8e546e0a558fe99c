"""How parameters of modules meet the param store, and how they do without it."""

from pathlib import Path
from typing import Any

import pytest
import torch

import pyro
from tests.helpers import assert_close
from tests.nn.models import NAMES, Net


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
