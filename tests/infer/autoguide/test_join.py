"""AutoGuideList and AutoCallable: guides put together from parts."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoCallable, AutoDelta, AutoGuideList, AutoNormal
from pyro.poutine.handlers import block
from tests.helpers import assert_close, trace_of


def model() -> None:
    pyro.sample("a", dist.LogNormal(0.0, 1.0))
    with pyro.plate("rows", 10, subsample_size=3):
        pyro.sample("b", dist.Normal(0.0, 1.0))
        pyro.sample("c", dist.Normal(0.0, 1.0))


def make() -> AutoGuideList:
    guide = AutoGuideList(model)
    guide.append(AutoDelta(block(model, expose=["a", "b"])))
    guide.add(AutoNormal(block(model, expose=["c"])))
    return guide


def test_parts_share_plates() -> None:
    guide = make()
    for _ in range(3):
        trace = trace_of(guide)
        assert len(trace.nodes["rows"]["value"]) == 3
        assert trace.nodes["b"]["cond_indep_stack"] == trace.nodes["c"]["cond_indep_stack"]
    assert guide[0].plates is guide[1].plates is guide.plates


def test_names_say_which_part() -> None:
    guide = make()
    guide()
    assert list(guide.state_dict()) == [
        "0.a_unconstrained",
        "0.b_unconstrained",
        "1.locs.c_unconstrained",
        "1.scales.c_unconstrained",
    ]
    assert list(pyro.get_param_store()) == [
        "AutoGuideList.0.a",
        "AutoGuideList.0.b",
        "AutoGuideList.1.locs.c",
        "AutoGuideList.1.scales.c",
    ]
    assert len(guide) == 2
    assert [type(part) for part in guide] == [AutoDelta, AutoNormal]
    assert type(guide[1:]) is nn.ModuleList


def test_medians_and_quantiles_are_gathered() -> None:
    guide = make()
    shapes = {name: value.shape for name, value in guide.median().items()}
    assert shapes == {"a": (), "b": (10,), "c": (10,)}
    shapes = {name: value.shape for name, value in guide.quantiles([0.1, 0.9]).items()}
    assert shapes == {"a": (2,), "b": (2, 10), "c": (2, 10)}


def test_the_loss_is_that_of_one_guide() -> None:
    def joint() -> None:
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.LogNormal(x, 1.0))

    whole, parts = AutoNormal(joint), AutoGuideList(joint)
    parts.append(AutoNormal(block(joint, expose=["x"])))
    parts.append(AutoNormal(block(joint, expose=["y"])))
    losses = []
    for guide in (whole, parts):
        guide()
        pyro.set_rng_seed(3)
        losses.append(Trace_ELBO().loss(joint, guide))
    assert_close(losses[0], losses[1])


def test_a_guide_written_by_hand_is_a_part() -> None:
    def local_guide() -> dict[str, Any]:
        loc = pyro.param("c_loc", torch.zeros(10), event_dim=0)
        with guide.plates["rows"] as rows:
            return {"c": pyro.sample("c", dist.Normal(loc[rows], 1.0))}

    guide = AutoGuideList(model)
    guide.append(AutoDelta(block(model, hide=["c"])))
    guide.append(local_guide)
    assert sorted(guide()) == ["a", "b", "c"]
    assert type(guide[1]) is AutoCallable
    assert sorted(guide.median()) == ["a", "b"]
    SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()


def test_a_guide_by_hand_may_return_nothing_and_give_medians() -> None:
    medians = {"x": torch.tensor(1.0)}
    silent = AutoCallable(model, lambda: None, median=lambda: medians)
    assert silent() == {}
    assert silent.median() == medians


def test_parameters_of_a_module_written_by_hand_belong_to_the_list() -> None:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc = nn.Parameter(torch.zeros(()))

        def forward(self) -> dict[str, Any]:
            return {"x": pyro.sample("x", dist.Normal(self.loc, 1.0))}

    guide = AutoGuideList(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
    guide.append(Local())
    assert list(guide.state_dict()) == ["0._guide.loc"]
    assert [name for name, _ in guide.named_pyro_params()] == ["0._guide.loc"]
    assert trace_of(guide).nodes["AutoGuideList.0._guide$$$loc"]["type"] == "param"


def test_a_copy_has_parts_of_its_own() -> None:
    guide = make()
    guide()
    twin = copy.deepcopy(guide)
    assert twin[0].master is twin
    assert guide[0].master is guide
    twin()
    assert twin[0].plates is twin.plates


def test_a_part_is_in_one_list_only() -> None:
    guide = make()
    with pytest.raises(ValueError, match="part of an AutoGuideList already"):
        AutoGuideList(model).append(guide[0])


def test_a_part_must_be_a_guide() -> None:
    with pytest.raises(TypeError, match="A part of an AutoGuideList is a guide, got 3"):
        AutoGuideList(model).append(3)
