"""The one function that scores a site."""

import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.log_density import score_parts_of, score_site, score_total
from tests.helpers import assert_close, trace_of
from tests.poutine.models import refused, value_of


def site_of(model: Any, name: str = "x") -> Any:
    return trace_of(model).nodes[name]


def test_a_term_is_scale_times_mask_times_log_density() -> None:
    scale, mask = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([True, False, True])

    def model() -> None:
        with pyro.plate("rows", 3), poutine.scale(scale=scale), poutine.mask(mask=mask):
            pyro.sample("x", dist.Normal(1.0, 2.0))

    site = site_of(model)
    log_prob = dist.Normal(1.0, 2.0).log_prob(site["value"])
    assert_close(score_site(site), torch.where(mask, scale * log_prob, 0.0))
    assert_close(score_total(site), torch.where(mask, scale * log_prob, 0.0).sum())
    assert score_site(site) is site["log_prob"]


def test_an_unweighted_site_is_the_law_itself() -> None:
    site = site_of(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
    assert score_site(site) is site["unscaled_log_prob"] is site["log_prob_sum"]


@pytest.mark.parametrize("mask", [False, torch.tensor(False)])
def test_a_masked_site_counts_nothing(mask: Any) -> None:
    def model() -> None:
        with poutine.mask(mask=mask):
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(math.nan))

    with pyro.validation_enabled(False):
        assert score_total(site_of(model)) == 0


def test_score_parts_are_weighed_too() -> None:
    def model() -> None:
        with poutine.scale(scale=3.0):
            pyro.sample("x", dist.Bernoulli(0.25))

    site = site_of(model)
    parts = score_parts_of(site)
    log_prob = dist.Bernoulli(0.25).log_prob(site["value"])
    assert_close(parts.log_prob, 3 * log_prob)
    assert_close(parts.score_function, log_prob)  # the draw itself is not weighed
    assert_close(site["log_prob_sum"], 3 * log_prob)
    assert score_parts_of(site) is parts


@pytest.mark.parametrize("score", [score_site, score_parts_of])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_a_value_outside_of_the_support_is_refused(score: Any, value: float) -> None:
    site = site_of(lambda: pyro.sample("x", dist.Gamma(2.0, 1.0), obs=torch.tensor(value)))
    with refused(ValueError, "At site 'x': the value cannot be scored: .*"):
        score(site)


def test_without_validation_nothing_is_refused() -> None:
    with pyro.validation_enabled(False):
        site = site_of(lambda: pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(math.nan)))
        assert score_site(site).isnan()


# Shapes that do not fit the plates.


def in_plate(law: Any, obs: Any, size: int = 3) -> Any:
    def model() -> None:
        with pyro.plate("rows", size):
            pyro.sample("x", law, obs=obs)

    return model


def test_a_value_that_does_not_fit_its_plate_is_refused() -> None:
    record = trace_of(in_plate(dist.Normal(0.0, 1.0), torch.zeros(4)))
    with refused(ValueError, r"At site 'x': .*\(4,\)"):
        record.log_prob_sum()


def test_a_density_between_plates_is_refused() -> None:
    def model() -> None:
        with pyro.plate("outer", 2, dim=-3):
            pyro.sample("x", dist.Normal(torch.zeros(4), 1.0))

    with refused(
        ValueError, r"At site 'x': log density .*4 elements at dim -1, which belongs to no"
    ):
        trace_of(model).log_prob_sum()


def test_an_observation_is_broadcast_to_its_plate() -> None:
    record = trace_of(in_plate(dist.Normal(0.0, 1.0), torch.tensor(1.0)))
    expected = 3 * dist.Normal(0.0, 1.0).log_prob(torch.tensor(1.0))
    assert_close(record.log_prob_sum(), expected)


def test_batches_without_plates_are_allowed() -> None:
    record = trace_of(lambda: pyro.sample("x", dist.Normal(torch.zeros(2, 3), 1.0)))
    assert_close(record.log_prob_sum(), dist.Normal(0.0, 1.0).log_prob(value_of(record, "x")).sum())


@pytest.mark.parametrize("validate", [True, False])
def test_a_value_of_another_size_than_its_plate_is_refused(validate: bool) -> None:
    def model() -> None:
        with pyro.plate("rows", 10):
            pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1), obs=torch.zeros(3, 2))

    expected = (
        "At site 'x': value has shape (3, 2), expected (10, 2) inside plate 'rows' "
        "(dim=-1, size=10). Did you forget pyro.subsample?"
    )
    with pyro.validation_enabled(validate):
        site = site_of(model)
        with pytest.raises(ValueError) as caught:
            score_site(site)
    assert str(caught.value) == expected
    assert "log_prob" not in site


def test_an_error_of_a_laws_own_passes_through() -> None:
    class Broken(dist.Normal):  # type: ignore[misc]
        def log_prob(self, value: Any) -> Any:
            raise RuntimeError("out of order")

    site = {"name": "x", "fn": Broken(0.0, 1.0), "value": torch.zeros(()), "mask": None}
    site |= {"args": (), "kwargs": {}, "cond_indep_stack": (), "scale": 1.0}
    with pytest.raises(RuntimeError, match="^out of order$"):
        score_site(site)


def test_a_factor_that_is_no_number_names_its_site() -> None:
    with pytest.raises(ValueError, match="^At site 'penalty': the factor is refused: .*nan"):
        pyro.factor("penalty", torch.tensor(math.nan))
