import random
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro._foundation.rng import get_rng_state
from pyro.infer.plates import (
    get_plate_stacks,
    guess_max_plate_nesting,
    inside_plate,
    plate_depth,
)
from tests.helpers import trace_of


def nested() -> None:
    with pyro.plate("outer", 2, dim=-3):
        pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("inner", 4):
            pyro.sample("b", dist.Normal(0.0, 1.0))
    for i in pyro.plate("loop", 2):
        pyro.sample(f"c{i}", dist.Normal(0.0, 1.0))


def flat() -> None:
    pyro.sample("a", dist.Normal(0.0, 1.0))


def test_plate_depth_is_that_of_the_leftmost_plate() -> None:
    assert plate_depth(trace_of(nested)) == 3
    assert plate_depth(trace_of(flat)) == 0


@pytest.mark.parametrize("model, guide, depth", [(flat, flat, 0), (nested, flat, 3)])
def test_the_guess_covers_model_and_guide(model: Any, guide: Any, depth: Any) -> None:
    if guide is flat and model is nested:
        guide = pyro.poutine.block(nested, hide_types=["sample"])
    assert guess_max_plate_nesting(model, guide, (), {}) == depth


def test_the_guess_covers_the_guide() -> None:
    def guide() -> None:
        with pyro.plate("p", 2, dim=-2):
            pyro.sample("helper", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})

    assert guess_max_plate_nesting(lambda: None, guide, (), {}) == 2


def test_the_guess_passes_arguments_on() -> None:
    def model(size: Any, *, name: Any) -> None:
        with pyro.plate(name, size):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    assert guess_max_plate_nesting(model, model, (3,), {"name": "p"}) == 1


def test_the_guess_leaves_the_generators_and_outer_handlers_alone() -> None:
    def model() -> None:
        random.random()
        flat()

    before = get_rng_state()
    with pyro.poutine.trace() as outer:
        guess_max_plate_nesting(model, model, (), {})
    assert list(outer.trace.nodes) == []
    after = get_rng_state()
    assert torch.equal(before["torch"], after["torch"]) and before["random"] == after["random"]


def test_the_guess_puts_the_generators_back_after_an_error() -> None:
    def broken() -> None:
        flat()
        raise KeyError("from the model")

    before = get_rng_state()["torch"]
    with pytest.raises(KeyError, match="from the model"):
        guess_max_plate_nesting(broken, flat, (), {})
    assert torch.equal(before, get_rng_state()["torch"])


def test_inside_plate_batches_every_site() -> None:
    trace = trace_of(inside_plate(nested, "particles", 5, dim=-4))
    assert trace.nodes["a"]["value"].shape == (5, 2, 1, 1)
    assert trace.nodes["b"]["value"].shape == (5, 2, 1, 4)
    assert trace.nodes["c1"]["value"].shape == (5, 1, 1, 1)


def test_plate_stacks_hold_the_vectorised_plates_of_each_site() -> None:
    stacks = get_plate_stacks(trace_of(nested))
    names = {site: [frame.name for frame in frames] for site, frames in stacks.items()}
    assert names == {"a": ["outer"], "b": ["outer", "inner"], "c0": [], "c1": []}
