"""What a member looks like, and what may be said about its value from elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, normals, refused, value_of
from tests.rooms import (
    site_is_deterministic,
    site_is_equalized,
    site_is_latent,
    site_is_observed,
)

BOTH = pytest.mark.parametrize("keep_dist", [False, True])
ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
NOT_THE_SHARED_ONE = (
    "At site 'b', equalized to 'a': it is observed, replayed or substituted at a value that is "
    "not the shared one. Condition the owner 'a', or leave the site out of the group."
)


def tie(model: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    handled: Callable[..., Any] = poutine.equalize(model, ["a", "b"], **options)
    return handled


# In the trace.


@BOTH
def test_the_owner_looks_as_if_nothing_were_there(keep_dist: bool) -> None:
    with poutine.seed(rng_seed=5):
        free = trace_of(normals("a"))
    with poutine.seed(rng_seed=5):
        owner = trace_of(tie(normals("ab"), keep_dist=keep_dist)).nodes["a"]
    for key in ("value", "is_observed", "infer", "scale", "mask", "cond_indep_stack"):
        assert owner[key] == free.nodes["a"][key]
    assert site_is_latent(owner) and not site_is_equalized(owner)


@BOTH
def test_a_member_is_observed_and_keeps_its_hints(keep_dist: bool) -> None:
    def model() -> None:
        for name in "ab":
            pyro.sample(name, dist.Normal(0.0, 1.0), infer={"hint": name})

    member = trace_of(tie(model, keep_dist=keep_dist)).nodes["b"]
    expected = {"hint": "b", "_equalized": "a"}
    assert member["infer"] == expected | ({} if keep_dist else {"_deterministic": True})
    assert site_is_equalized(member) and site_is_observed(member) and not site_is_latent(member)
    assert site_is_deterministic(member) is not keep_dist


def test_the_hints_that_a_user_gave_are_not_written_into() -> None:
    hints: dict[str, Any] = {"hint": 1}

    def model() -> None:
        for name in "ab":
            pyro.sample(name, dist.Normal(0.0, 1.0), infer=hints)

    tie(model)()
    assert hints == {"hint": 1}


def test_a_kept_law_is_the_members_own() -> None:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(5.0, 3.0))

    law = trace_of(tie(model, keep_dist=True)).nodes["b"]["fn"]
    assert (law.loc, law.scale) == (5.0, 3.0)


def test_a_dropped_law_has_no_density() -> None:
    member = trace_of(tie(normals("ab"))).nodes["b"]
    assert member["fn"].log_prob(torch.tensor(77.0)) == 0
    assert member["fn"]() == member["value"]


@BOTH
def test_the_shared_value_is_one_tensor(keep_dist: bool) -> None:
    trace = trace_of(tie(normals("ab"), keep_dist=keep_dist))
    assert value_of(trace, "b").data_ptr() == value_of(trace, "a").data_ptr()


def test_only_the_owner_takes_random_numbers() -> None:
    def model() -> Any:
        tie(normals("ab"))()
        return torch.rand(())

    def short() -> Any:
        normals("a")()
        return torch.rand(())

    assert poutine.seed(model, rng_seed=1)() == poutine.seed(short, rng_seed=1)()


# Observed members.


def observed_member(a: Tensor | None, b: Tensor) -> Callable[[], None]:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=a)
        pyro.sample("b", dist.Normal(5.0, 3.0), obs=b)

    return model


@BOTH
def test_a_member_observed_at_the_shared_value_is_accepted(keep_dist: bool) -> None:
    trace = trace_of(tie(observed_member(TWO, TWO), keep_dist=keep_dist))
    expected = dist.Normal(0.0, 1.0).log_prob(TWO)
    if keep_dist:
        expected = expected + dist.Normal(5.0, 3.0).log_prob(TWO)
    assert_close(trace.log_prob_sum(), expected)


@BOTH
@pytest.mark.parametrize("a", [None, ONE])
def test_a_member_observed_elsewhere_is_refused(keep_dist: bool, a: Tensor | None) -> None:
    with refused(ValueError, NOT_THE_SHARED_ONE):
        tie(observed_member(a, TWO), keep_dist=keep_dist)()


def test_an_observed_site_that_runs_first_owns() -> None:
    trace = trace_of(tie(normals("ab")))
    assert latent_names(trace) == ["a"]
    model = poutine.condition(normals("ab"), {"a": TWO})
    assert latent_names(trace_of(tie(model))) == []


@BOTH
def test_an_inner_condition_on_a_member(keep_dist: bool) -> None:
    both = poutine.condition(normals("ab"), {"a": TWO, "b": TWO})
    assert value_of(trace_of(tie(both, keep_dist=keep_dist)), "b") == 2
    with refused(ValueError, NOT_THE_SHARED_ONE):
        tie(poutine.condition(normals("ab"), {"b": TWO}), keep_dist=keep_dist)()


@BOTH
def test_an_outer_condition_on_a_member(keep_dist: bool) -> None:
    model = tie(normals("ab"), keep_dist=keep_dist)
    assert value_of(trace_of(poutine.condition(model, {"a": TWO, "b": TWO})), "b") == 2
    with refused(ValueError, NOT_THE_SHARED_ONE):
        poutine.condition(model, {"b": TWO})()
    with refused(ValueError, NOT_THE_SHARED_ONE):
        poutine.condition(model, {"a": ONE, "b": TWO})()


@BOTH
@pytest.mark.parametrize("outside", [False, True])
def test_a_condition_on_the_owner_reaches_the_member(keep_dist: bool, outside: bool) -> None:
    fix = poutine.condition(data={"a": TWO})
    model = normals("ab")
    model = fix(tie(model, keep_dist=keep_dist)) if outside else tie(fix(model))
    assert value_of(trace_of(model), "b") == 2


def test_a_number_for_the_owner_will_do() -> None:
    values = poutine.condition(tie(normals("ab")), {"a": 2.0})()
    assert values["b"] == torch.tensor(2.0)


def test_a_member_of_wider_shape_is_compared_element_by_element() -> None:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=TWO)
        with pyro.plate("rows", 3):
            pyro.sample("b", dist.Normal(0.0, 1.0), obs=torch.tensor([2.0, 2.0, value]))

    value = 2.0
    tie(model, keep_dist=True)()
    value = 3.0
    with refused(ValueError, NOT_THE_SHARED_ONE):
        tie(model, keep_dist=True)()


@BOTH
def test_a_member_keeps_its_shape_where_a_condition_says_the_same(keep_dist: bool) -> None:
    def model() -> Tensor:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 3):
            b: Tensor = pyro.sample("b", dist.Normal(0.0, 1.0))
        return b

    fixed = poutine.condition(tie(model, keep_dist=keep_dist), {"a": TWO, "b": TWO})
    assert_close(fixed(), [2.0, 2.0, 2.0])


def test_arguments_of_a_dropped_law_go_with_it() -> None:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(0.0, 1.0), torch.Size())

    record = trace_of(tie(model))
    assert_close(record.log_prob_sum(), dist.Normal(0.0, 1.0).log_prob(value_of(record, "a")))


def test_missing_values_agree() -> None:
    nan = torch.tensor(float("nan"))
    with pyro.validation_enabled(False):
        tie(observed_member(nan, nan))()


@pytest.mark.parametrize("sites", [["a", "b"], "a|b"])
def test_a_partly_observed_member_is_refused(sites: Any) -> None:
    def model() -> None:
        with pyro.plate("rows", 2):
            pyro.sample("a", dist.Normal(0.0, 1.0))
            pyro.sample(
                "b", dist.Normal(0.0, 1.0), obs=torch.ones(2), obs_mask=torch.tensor([True, False])
            )

    with refused(ValueError, "At site 'b': .*obs_mask.*equalized to 'a'"):
        poutine.equalize(model, sites)()


# Replay.


@BOTH
def test_replaying_the_owner_reaches_the_member(keep_dist: bool) -> None:
    model = tie(normals("ab"), keep_dist=keep_dist)
    record = trace_of(normals("a"))
    trace = trace_of(poutine.replay(model, trace=record))
    assert value_of(trace, "b") == value_of(trace, "a") == value_of(record, "a")


@BOTH
def test_replaying_an_equalized_run(keep_dist: bool) -> None:
    model = tie(normals("ab"), keep_dist=keep_dist)
    record = trace_of(model)
    again = trace_of(poutine.replay(model, trace=record))
    assert value_of(again, "b") == value_of(record, "a")
    assert_close(again.log_prob_sum(), record.log_prob_sum())


@pytest.mark.whole_package("replay leaves an observed site alone there")
@BOTH
def test_replaying_a_run_in_which_the_sites_differed_is_refused(keep_dist: bool) -> None:
    record = trace_of(normals("ab"))
    with refused(ValueError, NOT_THE_SHARED_ONE):
        poutine.replay(tie(normals("ab"), keep_dist=keep_dist), trace=record)()


def test_a_replay_inside_is_no_evidence() -> None:
    """It stands for the draw of each site: the owner has it, the member does without."""
    record = trace_of(normals("ab"))
    values = tie(poutine.replay(normals("ab"), trace=record))()
    assert values["a"] == values["b"] == value_of(record, "a")


# Handlers outside and inside.


class SetsValue(Messenger):
    """Gives a site a value on its way back, which an equalize inside must not believe."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] == "b":
            msg["value"] = TWO


def test_a_value_set_on_the_way_back_is_refused() -> None:
    with refused(ValueError, NOT_THE_SHARED_ONE):
        SetsValue()(tie(normals("ab")))()


@BOTH
@pytest.mark.parametrize("outside", [False, True])
def test_infer_config_reaches_members(keep_dist: bool, outside: bool) -> None:
    hint = poutine.infer_config(config_fn=lambda site: {"hint": site["name"]})
    model = hint(tie(normals("ab"))) if outside else tie(hint(normals("ab")))
    infer = trace_of(model).nodes["b"]["infer"]
    assert infer["hint"] == "b" and infer["_equalized"] == "a"


def test_supports_that_exclude_the_shared_value_are_refused() -> None:
    def model() -> None:
        pyro.sample("a", dist.Normal(0.0, 1.0), obs=-ONE)
        pyro.sample("b", dist.LogNormal(0.0, 1.0))

    with refused(
        ValueError,
        r"At site 'b', equalized to 'a': the support of 'a' is Real\(\), that of 'b' is "
        r"GreaterThan\(lower_bound=0.0\), and the shared value \[-1.0\] is outside. Tie only",
    ):
        tie(model)()


def test_a_trace_inside_sees_the_shared_value() -> None:
    inner = poutine.trace(normals("ab"))
    tie(inner)()
    assert value_of(inner.trace, "a") == value_of(inner.trace, "b")
