"""The one set of predicates over messages and trace nodes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine import sites
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites, site_is_factor, site_is_subsample
from tests.helpers import trace_of


def model() -> None:
    pyro.param("param", torch.tensor(1.0))
    with pyro.plate("plate", 2):
        pyro.sample("drawn", dist.Normal(0.0, 1.0))
    with pyro.plate("subsampled", 4, subsample_size=2):
        pyro.sample("observed", dist.Normal(0.0, 1.0), obs=torch.zeros(2))
    pyro.factor("factor", torch.tensor(1.0))
    with poutine.mask(mask=torch.tensor(True)), pyro.plate("third", 2):
        pyro.factor("masked_factor", torch.zeros(2))
    pyro.deterministic("fixed", torch.tensor(1.0))
    pyro.sample("helper", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
    pyro.sample("hidden", dist.Normal(0.0, 1.0), infer={"_do_not_trace": True})
    with poutine.equalize(sites=["owner", "member"]):
        pyro.sample("owner", dist.Normal(0.0, 1.0))
        pyro.sample("member", dist.Normal(0.0, 1.0))
    with poutine.equalize(sites=["kept_owner", "kept"], keep_dist=True):
        pyro.sample("kept_owner", dist.Normal(0.0, 1.0))
        pyro.sample("kept", dist.Normal(0.0, 1.0))
    with poutine.reparam(config={"moved": Decentre(), "kept_moved": NewLaw()}):
        pyro.sample("moved", dist.Normal(0.0, 1.0))
        pyro.sample("kept_moved", dist.Normal(0.0, 1.0))


class NewLaw(Reparam):
    def apply(self, msg: Any) -> Any:
        return {"fn": dist.Normal(0.0, 2.0), "value": None, "is_observed": False}


class Decentre(Reparam):
    def apply(self, msg: Any) -> Any:
        value = pyro.sample("behind", dist.Normal(0.0, 1.0))
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


class Messages(Messenger):
    """Every message on its way back, those that ask not to be traced among them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, Any] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        self.messages[msg["name"]] = msg

    def _pyro_post_param(self, msg: Any) -> None:
        self.messages[msg["name"]] = msg


PLATES = {"plate", "subsampled", "third"}
FACTORS = {"factor", "masked_factor"}
MEMBERS = {"member", "kept"}
DRAWN = {"drawn", "helper", "hidden", "owner", "kept_owner", "behind", "kept_moved"}
OBSERVED = {"observed", "fixed", "moved", *FACTORS, *MEMBERS}


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (sites.site_is_sample, PLATES | DRAWN | OBSERVED),
        (sites.site_is_param, {"param"}),
        (sites.site_is_subsample, PLATES),
        (sites.site_is_factor, FACTORS),
        (sites.site_is_deterministic, {"fixed", "member"}),
        (sites.site_is_equalized, MEMBERS),
        (sites.site_is_reparameterized, {"moved", "kept_moved"}),
        (sites.site_is_computed, {"fixed", "moved", *MEMBERS}),
        (sites.site_is_auxiliary, {"helper", *FACTORS}),
        (sites.site_is_observed, OBSERVED),
        (sites.site_is_latent, DRAWN),
        (sites.site_is_untraced, {"hidden"}),
    ],
)
def test_predicates(predicate: Callable[[Any], bool], expected: set[str]) -> None:
    with Messages() as record:
        model()
    assert {name for name, msg in record.messages.items() if predicate(msg)} == expected
    assert all(isinstance(predicate(msg), bool) for msg in record.messages.values())


def test_laws_around_a_factor_do_not_hide_it() -> None:
    law = dist.Unit(torch.zeros(2)).mask(torch.tensor([True, False]))
    assert site_is_factor({"type": "sample", "fn": law, "infer": None})


def test_hints_may_be_none() -> None:
    site = {"type": "sample", "fn": dist.Normal(0.0, 1.0), "infer": None, "is_observed": False}
    assert sites.site_is_latent(site)
    for predicate in (
        sites.site_is_equalized,
        sites.site_is_deterministic,
        sites.site_is_auxiliary,
    ):
        assert not predicate(site)


def test_pruning_drops_plates_and_nothing_else() -> None:
    record = trace_of(model)
    pruned = prune_subsample_sites(record)
    assert set(record.nodes) - set(pruned.nodes) == PLATES
    assert all(not site_is_subsample(site) for site in pruned.nodes.values())
