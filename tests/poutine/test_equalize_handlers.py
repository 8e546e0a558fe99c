"""Every handler, around equalize and inside of it, does what it does to the hand-tied twin."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.infer.reparam.reparam import Reparam
from pyro.poutine import handlers
from tests.equalized import PAIRS, assert_equalized_like_handwritten, facts_of_run
from tests.helpers import trace_of

pytestmark = pytest.mark.whole_package("the other handlers know nothing of tied sites there")

TWO = torch.tensor(2.0)


def a_record() -> poutine.Trace:
    """A run of guide-like sites: one owner of each pair, at values of their shapes."""
    laws = {
        "dogs_std": dist.Delta(TWO),
        "dogs_mean": dist.Delta(-TWO),
        "x0": dist.Delta(torch.ones(3, 2), event_dim=1),
    }
    return trace_of(lambda: [pyro.sample(name, law) for name, law in laws.items()])


class Decentre(Reparam):
    """A normal site in terms of a standard normal one."""

    def apply(self, msg: Any) -> Any:
        law = msg["fn"]
        value = law.loc + law.scale * pyro.sample(f"{msg['name']}_unit", dist.Normal(0.0, 1.0))
        return {"fn": dist.Delta(value), "value": value, "is_observed": True}


# By handler: its options, for models with the sites of the pairs.
OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "block": lambda: {"hide": ["cats_mean", "y0"]},
    "broadcast": dict,
    "condition": lambda: {"data": {"dogs_std": TWO, "x0": torch.ones(3, 2), "dogs_mean": -TWO}},
    "infer_config": lambda: {"config_fn": lambda site: {"hint": 1}},
    "mask": lambda: {"mask": torch.tensor(False)},
    "replay": lambda: {"trace": a_record()},
    "scale": lambda: {"scale": 0.5},
    "seed": lambda: {"rng_seed": 7},
    "substitute": lambda: {"data": {"dogs_scale": torch.tensor(0.7)}},
    "trace": dict,
    "do": lambda: {"data": {"cats_mean": 1.5, "y0": 0.3}},
    "lift": lambda: {"prior": {"dogs_scale": dist.LogNormal(0.0, 1.0)}},
    "reparam": lambda: {"config": {"cats_mean": Decentre()}},
    "uncondition": dict,
    "enum": lambda: {"first_available_dim": -3},
    "escape": lambda: {"escape_fn": lambda msg: False},
    "markov": dict,
    "equalize": lambda: {"sites": ["dogs_mean", "newts_mean"]},
}


# Where the twin is none: by handler, a part of the pair's name, and the reason.
NO_TWIN_INSIDE = {"lift": ("parameter", "a parameter that was lifted inside is none any more")}
NO_TWIN = {"uncondition": ("kept", "the twin's evidence is let go, a tied site stays tied")}


# These return another thing than the model: the result of many runs, and a posterior.
OF_ANOTHER_FORM = {"queue", "collapse"}


def test_every_handler_is_here() -> None:
    assert set(OPTIONS) == set(handlers.HANDLERS) - OF_ANOTHER_FORM


@pytest.mark.parametrize("ties", PAIRS)
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("inside", [False, True], ids=["around equalize", "inside equalize"])
@pytest.mark.filterwarnings("ignore:In equalize", "ignore:substitute", "ignore:lift")
def test_a_handler_treats_an_equalized_model_like_its_twin(
    name: str, ties: str, inside: bool
) -> None:
    handler, pair = getattr(poutine, name), PAIRS[ties]
    part, reason = (inside and NO_TWIN_INSIDE.get(name)) or NO_TWIN.get(name, ("", ""))
    if reason and part in ties:
        pytest.skip(reason)

    handled = handler(pair.twin, **OPTIONS[name]())
    tied = (
        pair.tie(handler(pair.free, **OPTIONS[name]()))
        if inside
        else handler(pair.tied, **OPTIONS[name]())
    )
    assert_equalized_like_handwritten(tied, handled, facts_of_run)
