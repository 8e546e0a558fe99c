from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.infer.draws import Draws, fit_to_site, is_recorded
from pyro.poutine.sites import site_is_latent
from tests.helpers import assert_close, trace_of


def model(scale: float = 1.0) -> Any:
    z = pyro.sample("z", dist.Normal(0.0, scale))
    with pyro.plate("rows", 2, dim=-2):
        return pyro.sample("v", dist.Normal(torch.zeros(3), 1.0).to_event(1)) + z


def test_wanted_sites_and_results_are_collected() -> None:
    draws = Draws({}, is_recorded, keeps_results=True).run(model, 4, (), {"scale": 2.0})
    assert {name: len(column) for name, column in draws.columns.items()} == {"z": 4, "v": 4}
    assert draws.event_dims == {"z": 0, "v": 1}
    assert draws.depth == 2
    for z, v, result in zip(draws.columns["z"], draws.columns["v"], draws.results, strict=True):
        assert_close(result, v + z)


def test_what_is_fed_is_observed_and_tensors_are_kept() -> None:
    z = torch.arange(3.0)
    draws = Draws({"z": z}, site_is_latent).run(model, 3, (), {})
    assert list(draws.columns) == ["v"]
    assert_close(draws.fed["z"], z)
    listed = Draws({"z": list(z)}, is_recorded).run(model, 3, (), {})
    assert_close(torch.stack(listed.columns["z"]), z)
    assert listed.fed == {}


def test_the_columns_of_one_run_feed_another() -> None:
    first = Draws({}, site_is_latent).run(model, 3, (), {})
    second = Draws(first.columns, is_recorded).run(model, 3, (), {})
    assert_close(second.columns, first.columns)


@pytest.mark.parametrize(
    "given, fitted",
    [
        ((5, 2, 1, 3), (5, 2, 1, 3)),
        ((5, 1, 1, 2, 1, 3), (5, 2, 1, 3)),
        ((5, 3), (5, 3)),
        ((5, 4, 2, 1, 3), (5, 4, 2, 1, 3)),
    ],
)
def test_surplus_dimensions_of_size_one_go(given: Any, fitted: Any) -> None:
    site = trace_of(model).nodes["v"]
    assert fit_to_site(site, torch.zeros(given)).shape == fitted


def test_plates_are_not_recorded() -> None:
    nodes = trace_of(model).nodes
    assert [name for name, site in nodes.items() if is_recorded(site)] == ["z", "v"]
