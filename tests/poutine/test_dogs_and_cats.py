"""The example that users know: a model written once per category, then equalized."""

import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from tests.helpers import assert_close, trace_of
from tests.poutine.models import CATEGORIES, dogs_and_cats, latent_names, value_of

SHARED_STD = ["dogs_std", "cats_std"]


def test_the_free_model_shares_nothing() -> None:
    trace = trace_of(dogs_and_cats)
    for what in ("mean", "std", "shift"):
        assert value_of(trace, f"dogs_{what}") != value_of(trace, f"cats_{what}")
    assert poutine.equalized_sites(trace) == {}


@pytest.mark.parametrize("sites", [SHARED_STD, ".+_std", "(dogs|cats)_std"])
def test_a_shared_std_is_one_latent_value(sites: Any) -> None:
    trace = trace_of(poutine.equalize(dogs_and_cats, sites))
    assert value_of(trace, "dogs_std") == value_of(trace, "cats_std")
    assert value_of(trace, "dogs_mean") != value_of(trace, "cats_mean")
    assert poutine.equalized_sites(trace) == {"dogs_std": ["cats_std"]}
    assert latent_names(trace) == [
        *("dogs_mean", "dogs_std", "dogs_values", "cats_mean", "cats_values")
    ]


def test_a_shared_shift_is_one_parameter() -> None:
    trace = trace_of(poutine.equalize(dogs_and_cats, ".+_shift", "param"))
    assert value_of(trace, "cats_shift") is value_of(trace, "dogs_shift")
    assert list(pyro.get_param_store()) == ["dogs_shift"]
    assert value_of(trace, "dogs_std") != value_of(trace, "cats_std")


def test_handlers_stack_up() -> None:
    equal_std = poutine.equalize(dogs_and_cats, SHARED_STD)
    trace = trace_of(poutine.equalize(equal_std, ".+_shift", "param"))
    assert value_of(trace, "cats_shift") is value_of(trace, "dogs_shift")
    assert value_of(trace, "dogs_std") == value_of(trace, "cats_std")
    assert poutine.equalized_sites(trace) == {
        "dogs_shift": ["cats_shift"],
        "dogs_std": ["cats_std"],
    }


def test_the_values_follow_the_shared_std() -> None:
    """Every value is drawn from a law whose scale is the shared one."""
    trace = trace_of(poutine.equalize(dogs_and_cats, SHARED_STD))
    for category in CATEGORIES:
        law = trace.nodes[f"{category}_values"]["fn"]
        assert_close(law.scale, value_of(trace, "dogs_std").expand(5))


@pytest.mark.parametrize("keep_dist", [False, True])
def test_the_density_is_the_hand_written_one(keep_dist: bool) -> None:
    trace = trace_of(poutine.equalize(dogs_and_cats, SHARED_STD, keep_dist=keep_dist))
    std = value_of(trace, "dogs_std")
    log_std_prior = -(std.log() ** 2) / 2 - 0.5 * math.log(2 * math.pi) - std.log()
    expected = log_std_prior * (2 if keep_dist else 1)
    for category in CATEGORIES:
        mean, shift, values = (
            value_of(trace, f"{category}_{what}") for what in ("mean", "shift", "values")
        )
        expected = expected - mean**2 / 2 - 0.5 * math.log(2 * math.pi)
        errors = (values - mean - shift) / std
        expected = expected + (-(errors**2) / 2 - 0.5 * math.log(2 * math.pi) - std.log()).sum()
    assert_close(trace.log_prob_sum(), expected)


def test_the_gradient_of_a_shared_shift_is_the_sum_of_the_two() -> None:
    data = {f"{category}_values": torch.randn(5) + i for i, category in enumerate(CATEGORIES)}
    latents = {
        f"{c}_{what}": torch.tensor(v)
        for c in CATEGORIES
        for what, v in (("mean", 0.3), ("std", 1.2))
    }
    observed = poutine.condition(dogs_and_cats, {**data, **latents})
    log_density = trace_of(poutine.equalize(observed, ".+_shift", "param")).log_prob_sum()
    torch.as_tensor(log_density).backward()
    shift = pyro.param("dogs_shift").unconstrained()
    residuals = torch.stack([data[f"{c}_values"] for c in CATEGORIES]) - 0.3 - shift.detach()
    assert_close(shift.grad, residuals.sum().reshape(1) / 1.2**2)


def test_more_categories_need_no_other_pattern() -> None:
    def zoo() -> None:
        for animal in ("dogs", "cats", "newts", "bats"):
            pyro.sample(f"{animal}_std", dist.LogNormal(0.0, 1.0))

    trace = trace_of(poutine.equalize(zoo, ".+_std"))
    assert latent_names(trace) == ["dogs_std"]
    assert len({value_of(trace, name).item() for name in trace if name.endswith("_std")}) == 1
