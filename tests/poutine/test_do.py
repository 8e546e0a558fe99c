"""Interventions: what comes after a site is set, and the site outside is as it was."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.sites import site_is_deterministic
from tests.helpers import assert_close, trace_of
from tests.poutine.models import latent_names, refused, value_of


def chain(x: Tensor | None = None, y: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """``x -> y -> z``, all normal, the first two at will observed."""
    x = pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
    y = pyro.sample("y", dist.Normal(2 * x, 1.0), obs=y)
    z = pyro.sample("z", dist.Normal(x + y, 1.0))
    return x, y, z


def test_what_follows_is_set_and_the_site_is_not() -> None:
    with poutine.seed(rng_seed=1):
        free = trace_of(chain)
    with poutine.seed(rng_seed=1):
        record = trace_of(poutine.do(chain, data={"x": torch.tensor(100.0)}))
    assert value_of(record, "x") == value_of(free, "x")
    assert record.nodes["x"]["fn"].loc == 0 and not record.nodes["x"]["is_observed"]
    assert value_of(record, "_RETURN")[0] == 100
    assert record.nodes["y"]["fn"].loc == 200
    assert latent_names(record) == ["x", "y", "z"]
    assert record.nodes["x"]["infer"] == {}


def test_the_density_outside_is_that_of_the_twin_network(double_precision: None) -> None:
    """p(x) p(y | do(x)) p(z | do(x), y), by hand."""
    record = trace_of(poutine.do(chain, data={"x": 3.0}))
    x, y, z = (value_of(record, name) for name in "xyz")
    squares = x**2 + (y - 6) ** 2 + (z - 3 - y) ** 2
    assert_close(record.log_prob_sum(), -squares / 2 - 1.5 * math.log(2 * math.pi))


def test_an_intervention_is_no_observation(double_precision: None) -> None:
    """Setting y tells nothing about x, observing it does: the factor p(y | x) is there or not."""

    def score(handled: Any, x: float) -> Tensor:
        given = {"x": torch.tensor(x), "z": torch.tensor(0.0)}
        record = trace_of(poutine.condition(handled, data=given))
        total = record.log_prob_sum(lambda name, site: name != "y" or site["is_observed"])
        assert isinstance(total, Tensor)
        return total

    set_to = poutine.do(chain, data={"y": 1.0})
    seen = poutine.condition(chain, data={"y": torch.tensor(1.0)})
    normal = dist.Normal(0.0, 1.0)
    for x in (-1.0, 2.0):
        alike = normal.log_prob(torch.tensor(x)) + normal.log_prob(torch.tensor(x + 1.0))
        assert_close(score(set_to, x), alike)
        assert_close(score(seen, x), alike + normal.log_prob(torch.tensor(1 - 2 * x)))


def test_evidence_outside_answers_what_would_have_been() -> None:
    """With x = 1 in fact, x = 5 is what the rest goes by."""
    counterfactual = poutine.condition(
        poutine.do(chain, data={"x": torch.tensor(5.0)}), data={"x": torch.tensor(1.0)}
    )
    record = trace_of(counterfactual)
    assert record.nodes["x"]["is_observed"] and value_of(record, "x") == 1
    assert record.nodes["y"]["fn"].loc == 10


def test_an_observed_site_stays_evidence() -> None:
    record = trace_of(poutine.do(chain, data={"y": 7.0}), y=torch.tensor(2.0))
    assert record.nodes["y"]["is_observed"] and value_of(record, "y") == 2
    assert value_of(record, "_RETURN")[1] == 7


def test_deterministic_sites_can_be_set() -> None:
    def model() -> Any:
        twice = pyro.deterministic("twice", 2 * pyro.sample("x", dist.Normal(0.0, 1.0)))
        return twice

    record = trace_of(poutine.do(model, data={"twice": 9.0}))
    assert value_of(record, "_RETURN") == 9
    assert value_of(record, "twice") == 2 * value_of(record, "x")


def test_handlers_inside_see_a_site_that_is_set() -> None:
    inner = poutine.trace(chain)
    poutine.do(inner, data={"x": 5.0})()
    site = inner.trace.nodes["x"]
    assert site["value"] == 5 and site["is_observed"] and site_is_deterministic(site)
    assert inner.trace.log_prob_sum(lambda name, _: name == "x") == 0


@pytest.mark.parametrize("value", [2, 2.0, True, torch.tensor(2), torch.tensor(2.0).double()])
def test_values_take_the_dtype_of_the_law(value: Any) -> None:
    x, y, _ = poutine.do(chain, data={"x": value})()
    assert x.dtype == y.dtype == torch.float32 and x == float(value)


def test_integers_of_a_categorical_law() -> None:
    def model() -> Any:
        return pyro.sample("k", dist.Categorical(torch.ones(3)))

    k = poutine.do(model, data={"k": 2.0})()
    assert k.dtype == torch.long and k == 2
    with refused(ValueError, r"At site 'k': do\(\) cannot set it to 1.5.*int64.*whole numbers"):
        poutine.do(model, data={"k": 1.5})()


def vectors() -> Any:
    with pyro.plate("rows", 4):
        return pyro.sample("v", dist.Normal(torch.zeros(3), 1.0).to_event(1))


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (4, 1), (4, 3)])
def test_values_are_expanded_to_the_law(shape: tuple[int, ...]) -> None:
    assert poutine.do(vectors, data={"v": torch.ones(shape)})().shape == (4, 3)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (5, 4, 3)])
def test_values_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    text = r"At site 'v': do\(\) cannot set it to a value of shape .*expected \(4, 3\).*a plate"
    with refused(ValueError, text):
        poutine.do(vectors, data={"v": torch.ones(shape)})()


def test_a_plate_outside_holds_several_interventions() -> None:
    with pyro.plate("worlds", 5):
        x, y, _ = poutine.do(chain, data={"x": torch.arange(5.0)})()
    assert x.tolist() == [0, 1, 2, 3, 4] and y.shape == (5,)


def test_gradients_flow_into_an_intervention() -> None:
    dose = torch.tensor(1.5, requires_grad=True)
    record = trace_of(poutine.do(chain, data={"x": dose}))
    (slope,) = torch.autograd.grad(record.nodes["y"]["fn"].loc, dose)
    assert slope == 2


def test_names_that_are_absent_or_none_change_nothing() -> None:
    facts = []
    for data in ({}, {"x": None, "nowhere": torch.tensor(1.0)}):
        with poutine.seed(rng_seed=0):
            facts.append(poutine.do(chain, data=data)())
    assert facts[0] == facts[1]


def test_nested_interventions_agree_or_are_refused() -> None:
    inner = poutine.do(chain, data={"x": 5.0})
    assert poutine.do(inner, data={"x": 5})()[0] == 5
    assert poutine.do(inner, data={"y": 6.0})()[:2] == (5, 6)
    with refused(ValueError, "At site 'x': two nested do.. set it to different values, 5.0 inside"):
        poutine.do(inner, data={"x": 6.0})()


@pytest.mark.parametrize("data", [[1.0], None, "x"])
def test_data_is_a_mapping(data: Any) -> None:
    with refused(TypeError, "takes a dict of values by site name"):
        poutine.do(chain, data=data)


def test_a_value_is_a_number_or_a_tensor() -> None:
    with refused(TypeError, "At site 'x': do.. cannot set it to 'high'. Give a number"):
        poutine.do(chain, data={"x": "high"})()


@pytest.mark.parametrize(("name", "fact"), [("rows", "indices of a plate"), ("f", "is a factor")])
def test_plates_and_factors_have_no_value_to_set(name: str, fact: str) -> None:
    def model() -> None:
        pyro.factor("f", torch.tensor(1.0))
        vectors()

    with refused(ValueError, f"At site '{name}': it .*{fact}"):
        poutine.do(model, data={name: torch.tensor(1)})()


def test_it_stands_beside_condition() -> None:
    assert pyro.do is poutine.do


def test_threads_intervene_on_their_own_runs() -> None:
    """Eight threads share a handler; what is set in one shows in no other."""

    def count(start: float) -> list[float]:
        return [pyro.sample(f"v{i}", dist.Delta(torch.tensor(start + i))).item() for i in range(50)]

    handled = poutine.do(count, data={"v3": -1.0, "v7": -2.0})
    with ThreadPoolExecutor(8) as pool:
        for k, values in enumerate(pool.map(handled, [100.0 * k for k in range(32)])):
            expected = [100.0 * k + i for i in range(50)]
            expected[3], expected[7] = -1, -2
            assert values == expected
