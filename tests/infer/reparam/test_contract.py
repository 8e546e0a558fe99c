"""What every reparameterisation promises, whatever it does."""

import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
import pyro.infer.reparam as reparam
import pyro.poutine as poutine
from pyro.infer.autoguide.initialization import InitMessenger
from pyro.poutine.sites import site_is_reparameterized
from tests.helpers import assert_close, trace_of
from tests.infer.reparam.examples import COLUMNS, EXAMPLES, ROWS, Example, ident
from tests.poutine.models import latent_names, refused, value_of

pytestmark = pytest.mark.usefixtures("double_precision")


def some(condition: Any = lambda example: True) -> Any:
    chosen = [example for example in EXAMPLES if condition(example)]
    return pytest.mark.parametrize("example", chosen, ids=map(ident, chosen))


def by_batch(example: Example) -> bool:
    return bool(getattr(example.make(), "experimental_allow_batch", False))


def only_x(start: Tensor) -> Any:
    return lambda site: start if site["name"] == "x" else None


def latents_of(example: Example) -> list[str]:
    site_stays = example.observed == "mixture"
    return example.names() + ["x"] * site_stays


def test_there_is_an_example_of_each() -> None:
    offered = {getattr(reparam, name) for name in reparam.__all__}
    others = {reparam.Reparam, reparam.NeuTraReparam, reparam.StructuredReparam}
    wanted = {c for c in offered if issubclass(c, reparam.Reparam)} - others
    assert {type(example.make()) for example in EXAMPLES} >= wanted


@some()
def test_the_site_keeps_its_shapes_and_its_support(example: Example) -> None:
    record = trace_of(example.applied(example.model()))
    law, site = example.law(), record.nodes["x"]
    assert latent_names(record) == latents_of(example)
    assert site_is_reparameterized(site)
    assert site["value"].shape == law.shape() and site["value"].dtype is torch.float64
    assert (site["fn"].batch_shape, site["fn"].event_shape) == (law.batch_shape, law.event_shape)
    assert law.support.check(site["value"]).all()
    record.compute_log_prob()
    assert record.nodes["x"]["log_prob"].shape == law.batch_shape


@some()
def test_values_outside_the_model_are_vectorised(example: Example) -> None:
    law = example.law()

    def model() -> None:
        with pyro.plate_stack("grid", law.batch_shape):
            pyro.sample("x", law)

    with pyro.plate("worlds", 3, dim=-3):
        record = trace_of(example.applied(model))
    shape = torch.Size([3]) + (1,) * (2 - len(law.batch_shape)) + law.shape()
    assert value_of(record, "x").shape == shape
    record.compute_log_prob()
    assert len(value_of(record, "x").reshape(3, -1).unique(dim=0)) == 3


@some(lambda example: not by_batch(example))
def test_plates_around_the_site_hold_its_auxiliary_sites(example: Example) -> None:
    law = example.law()
    sizes = law.batch_shape

    def model() -> None:
        with pyro.plate_stack("grid", sizes):
            pyro.sample("x", law)

    record = trace_of(example.applied(model))
    for name in latents_of(example):
        node = record.nodes[name]
        assert len(node["cond_indep_stack"]) == len(sizes)
        assert node["fn"].batch_shape == sizes


@some()
def test_a_site_may_be_expanded(example: Example) -> None:
    law = example.law().expand_by([5])
    record = trace_of(example.applied(lambda: pyro.sample("x", law)))
    assert value_of(record, "x").shape == law.shape()
    assert record.nodes["x"]["fn"].batch_shape == law.batch_shape
    repeated = dist.ExpandedDistribution(example.law(), law.batch_shape)
    record = trace_of(example.applied(lambda: pyro.sample("x", repeated)))
    assert len(value_of(record, "x").reshape(5, -1).unique(dim=0)) == 5


@some(lambda example: example.one_to_one)
def test_the_density_is_that_of_a_change_of_variables(example: Example) -> None:
    """log p(u) = log p(x) + log |det dx/du|, the last by automatic differentiation."""
    model = example.model()
    record = trace_of(example.applied(model))
    names = example.names()

    def value_at(*auxiliary: Tensor) -> Tensor:
        data = dict(zip(names, auxiliary, strict=True))
        handled = poutine.condition(example.applied(model), data=data)
        return value_of(trace_of(handled), "x").reshape(-1)

    given = tuple(value_of(record, name) for name in names)
    parts = torch.autograd.functional.jacobian(value_at, given)
    matrix = torch.cat([part.reshape(ROWS * COLUMNS, -1) for part in parts], -1)
    expected = example.law().log_prob(value_of(record, "x")).sum()
    assert_close(record.log_prob_sum(), expected + torch.linalg.slogdet(matrix).logabsdet)


@some(lambda example: example.observed == "exact")
def test_a_datum_has_the_density_that_it_had(example: Example) -> None:
    law = example.law()
    obs = law.sample()
    record = trace_of(example.applied(example.model(obs)))
    assert latent_names(record) == [] and value_of(record, "x") is obs
    assert all(record.nodes[name]["is_observed"] for name in example.names())
    assert_close(record.log_prob_sum(), law.log_prob(obs).sum())
    with poutine.scale(scale=0.25):
        scaled = trace_of(example.applied(example.model(obs)))
    assert_close(scaled.log_prob_sum(), law.log_prob(obs).sum() / 4)


@some(lambda example: example.observed == "exact" and not by_batch(example))
def test_masked_elements_of_a_datum_count_for_nothing(example: Example) -> None:
    law = example.law()
    obs = law.sample()
    kept = torch.ones(law.batch_shape, dtype=torch.bool)
    kept.reshape(-1)[0] = False
    for model in (example.model(obs, kept), poutine.mask(example.model(obs), mask=kept)):
        record = trace_of(example.applied(model))
        assert_close(record.log_prob_sum(), torch.where(kept, law.log_prob(obs), 0.0).sum())


@some(lambda example: example.observed == "mixture")
def test_a_datum_stays_one_among_auxiliary_sites(example: Example) -> None:
    obs = example.law().sample()
    record = trace_of(example.applied(example.model(obs)))
    assert latent_names(record) == example.names() and value_of(record, "x") is obs
    kept = torch.zeros(example.law().batch_shape, dtype=torch.bool)
    record = trace_of(example.applied(example.model(obs, kept)))
    record.compute_log_prob()
    assert record.nodes["x"]["log_prob_sum"] == 0
    assert all(record.nodes[name]["log_prob_sum"] != 0 for name in example.names()[:1])


@some(lambda example: example.observed == "refused")
def test_a_datum_that_cannot_be_had_is_refused(example: Example) -> None:
    kind = type(example.make()).__name__
    with refused(NotImplementedError, rf"At site 'x': it is observed, and {kind} computes"):
        example.applied(example.model(example.law().sample()))()


@some(lambda example: example.keeps_start)
def test_a_start_is_kept(example: Example) -> None:
    start = example.law().sample()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = InitMessenger(only_x(start))(example.model())
        record = trace_of(example.applied(started))
    assert_close(value_of(record, "x"), start)
    assert latent_names(record) == latents_of(example)


def test_a_start_that_cannot_be_kept_is_warned_about() -> None:
    (example,) = [example for example in EXAMPLES if not example.keeps_start]
    start = example.law().sample()
    with pytest.warns(UserWarning, match="is not kept by LatentStableReparam"):
        example.applied(InitMessenger(only_x(start))(example.model()))()


@some()
def test_it_pickles(example: Example) -> None:
    one = example.make()
    pyro.set_rng_seed(1)
    before = trace_of(poutine.reparam(example.model(), config={"x": one}))
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    again = pickle.loads(pickle.dumps(one))
    after = trace_of(poutine.reparam(example.model(), config={"x": again}))
    assert_close(value_of(after, "x"), value_of(before, "x"))


@some()
def test_outside_of_equalize_it_leaves_members_alone(example: Example) -> None:
    law = example.law()

    def pair() -> None:
        for name in ("x", "y"):
            pyro.sample(name, law)

    config = {name: example.make() for name in ("x", "y")}
    tied = poutine.equalize(pair, ["x", "y"])
    record = trace_of(poutine.reparam(tied, config=config))
    assert not any(name.startswith("y_") for name in record.nodes)
    assert_close(value_of(record, "y"), value_of(record, "x"))
    assert poutine.equalized_sites(record) == {"x": ["y"]}
