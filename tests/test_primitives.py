"""What models are written with."""

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
from pyro.poutine.messenger import Messenger
from tests.helpers import assert_close, assert_fits_cdf, trace_of
from tests.poutine.models import refused, value_of

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
WRAPPED = pytest.mark.parametrize("wrapped", [False, True])


def run(model: Any, wrapped: bool) -> Any:
    return value_of(trace_of(model), "_RETURN") if wrapped else model()


# sample


@WRAPPED
def test_sample_draws_from_the_law(wrapped: bool) -> None:
    draws = run(lambda: pyro.sample("x", dist.Normal(torch.ones(2000), 2.0)), wrapped)
    assert_fits_cdf(draws, torch.distributions.Normal(1.0, 2.0).cdf)


@WRAPPED
def test_sample_returns_what_was_observed(wrapped: bool) -> None:
    assert run(lambda: pyro.sample("x", dist.Normal(0.0, 1.0), obs=TWO), wrapped) is TWO


@WRAPPED
def test_arguments_reach_the_laws_call(wrapped: bool) -> None:
    def model() -> Tensor:
        value: Tensor = pyro.sample("x", dist.Normal(0.0, 1.0), torch.Size([3]))
        return value

    assert run(model, wrapped).shape == (3,)


def test_one_draw_a_site_in_program_order() -> None:
    def model() -> list[Tensor]:
        return [pyro.sample(name, dist.Normal(0.0, 1.0)) for name in "ab"]

    pyro.set_rng_seed(3)
    expected = [torch.normal(torch.zeros(()), torch.ones(())) for _ in range(2)]
    for wrapped in (False, True):
        pyro.set_rng_seed(3)
        assert_close(run(model, wrapped), expected)


def test_hints_reach_the_site() -> None:
    record = trace_of(lambda: pyro.sample("x", dist.Normal(0.0, 1.0), infer={"a": 1}))
    assert record.nodes["x"]["infer"] == {"a": 1}


def test_a_law_from_elsewhere_will_do_if_it_draws_and_scores() -> None:
    class Coin:
        def __call__(self) -> Tensor:
            return ONE

        def log_prob(self, value: Tensor) -> Tensor:
            return torch.tensor(-math.log(2.0))

    record = trace_of(lambda: pyro.sample("x", Coin()))
    assert_close(record.log_prob_sum(), -math.log(2.0))


@WRAPPED
@pytest.mark.parametrize("name", [3, None, b"x", ("x",)])
def test_a_name_that_is_no_string_is_refused(name: Any, wrapped: bool) -> None:
    for model in (
        lambda: pyro.sample(name, dist.Normal(0.0, 1.0)),
        lambda: pyro.param(name, ONE),
        lambda: pyro.deterministic(name, ONE),
        lambda: pyro.factor(name, ONE),
        lambda: pyro.plate(name, 3),
        lambda: pyro.module(name, nn.Linear(1, 1)),
    ):
        with refused(TypeError, "At site .*: the name is no string"):
            run(model, wrapped)


@WRAPPED
@pytest.mark.parametrize(
    ("law", "text"),
    [
        (3.0, r"expected a law from pyro.distributions, got 3.0. To record a value use pyro.deter"),
        (torch.zeros(2), "expected a law from pyro.distributions, got tensor"),
        (None, "expected a law from pyro.distributions, got None"),
        (lambda: ONE, "expected a law from pyro.distributions"),
        (dist.Normal, "Normal is a class, expected a law. Give it its parameters"),
        (
            torch.distributions.Normal(0.0, 1.0),
            r"Normal is one of torch.distributions, .* Write pyro.distributions.Normal\(...\)",
        ),
    ],
)
def test_a_law_that_is_none_is_refused(law: Any, text: str, wrapped: bool) -> None:
    with refused(TypeError, f"At site 'x': .*{text}"):
        run(lambda: pyro.sample("x", law), wrapped)


@pytest.mark.parametrize(
    ("law", "value"),
    [
        (dist.Gamma(1.0, 1.0), torch.tensor(-1.0)),
        (dist.Bernoulli(0.5), torch.tensor(0.5)),
        (dist.Dirichlet(torch.ones(3)), torch.ones(3)),
        (dist.Normal(0.0, 1.0), torch.tensor(math.nan)),
        (dist.Categorical(torch.ones(3)), torch.tensor(3)),
        (dist.Poisson(1.0), torch.tensor(-1.0)),
        (dist.Normal(torch.zeros(3), 1.0), torch.zeros(4)),
        (dist.Dirichlet(torch.ones(3)), torch.ones(4) / 4),
        (dist.Normal(0.0, 1.0), 1.5),
        (dist.Normal(0.0, 1.0), "1.5"),
    ],
)
def test_data_that_a_law_cannot_have_drawn_are_refused(law: Any, value: Any) -> None:
    record = trace_of(lambda: pyro.sample("x", law, obs=value))
    with refused(ValueError, "At site 'x': .*"):
        record.log_prob_sum()


# obs_mask


def test_partly_observed_data() -> None:
    mask = torch.tensor([True, False, True])
    data = torch.tensor([1.0, math.nan, 3.0])

    def model() -> Any:
        with pyro.plate("rows", 3):
            return pyro.sample("x", dist.Normal(1.0, 2.0), obs=data, obs_mask=mask)

    record = trace_of(model)
    value, drawn = value_of(record, "x"), value_of(record, "x_unobserved")
    assert_close(value, torch.stack([data[0], drawn[1], data[2]]))
    assert record.stochastic_nodes == ["rows", "x_unobserved"]
    law = dist.Normal(1.0, 2.0)
    expected = law.log_prob(value).sum()
    assert_close(record.log_prob_sum(), expected)


def test_partly_observed_events() -> None:
    mask = torch.tensor([True, False])
    data = torch.tensor([[0.2, 0.8], [0.5, 0.5]])

    def model() -> Any:
        with pyro.plate("rows", 2):
            return pyro.sample("x", dist.Dirichlet(torch.ones(2)), obs=data, obs_mask=mask)

    record = trace_of(model)
    value = value_of(record, "x")
    assert_close(value[0], data[0])
    assert_close(value[1], value_of(record, "x_unobserved")[1])
    assert record.nodes["x"]["fn"].event_dim == 1


@pytest.mark.parametrize("mask", [True, False])
def test_wholly_observed_or_not(mask: bool) -> None:
    def model() -> Any:
        return pyro.sample("x", dist.Normal(0.0, 1.0), obs=TWO, obs_mask=mask)

    record = trace_of(model)
    assert (value_of(record, "x").item() == 2) is mask
    assert_close(record.log_prob_sum(), dist.Normal(0.0, 1.0).log_prob(value_of(record, "x")))


@pytest.mark.parametrize("mask", [torch.tensor([1.0]), 1, "yes"])
def test_an_obs_mask_that_is_not_boolean_is_refused(mask: Any) -> None:
    with refused(ValueError, "At site 'x': obs_mask must be a bool or a tensor of bools"):
        pyro.sample("x", dist.Normal(0.0, 1.0), obs=ONE, obs_mask=mask)


# param


@WRAPPED
def test_param_creates_once(wrapped: bool) -> None:
    calls = []

    def first() -> Tensor:
        calls.append(1)
        return TWO

    def model() -> Tensor:
        return pyro.param("p", first, constraint=dist.constraints.positive)

    for _ in range(3):
        assert run(model, wrapped).item() == pytest.approx(2.0)
    assert calls == [1]
    value: Any = pyro.param("p")
    assert value.unconstrained() is pyro.get_param_store().unconstrained("p")


@WRAPPED
def test_a_missing_param_is_refused(wrapped: bool) -> None:
    with refused(KeyError, "At site 'p': there is no such parameter"):
        run(lambda: pyro.param("p"), wrapped)


@WRAPPED
@pytest.mark.parametrize(
    ("value", "constraint", "kind", "text"),
    [
        (-ONE, dist.constraints.positive, ValueError, "the first value breaks the constraint"),
        (torch.ones(3), dist.constraints.simplex, ValueError, "breaks the constraint"),
        (torch.tensor(math.nan), dist.constraints.real, ValueError, "breaks the constraint"),
        (3.0, dist.constraints.real, TypeError, "the first value is 3.0, expected a tensor"),
        (torch.tensor(3), dist.constraints.real, ValueError, "torch.int64, which has no gradient"),
        (ONE, "positive", TypeError, "the constraint is 'positive', expected a Constraint"),
    ],
)
def test_a_first_value_that_will_not_do_is_refused(
    value: Any, constraint: Any, kind: type[Exception], text: str, wrapped: bool
) -> None:
    with refused(kind, f"At site 'p': .*{text}"):
        run(lambda: pyro.param("p", value, constraint=constraint), wrapped)


# deterministic and factor


def test_deterministic_records_without_density() -> None:
    def model() -> Tensor:
        with pyro.plate("rows", 3):
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            return pyro.deterministic("y", torch.stack([x, 2 * x], -1), event_dim=1)

    record = trace_of(model)
    site = record.nodes["y"]
    assert site["value"] is value_of(record, "_RETURN")
    assert site["is_observed"] and site["infer"] == {"_deterministic": True}
    assert (site["fn"].batch_shape, site["fn"].event_shape) == ((3,), (2,))
    record.compute_log_prob()
    assert_close(record.log_prob_sum(), record.nodes["x"]["log_prob"].sum())


def test_deterministic_takes_all_dims_as_its_event_and_numbers_too() -> None:
    def model() -> None:
        pyro.deterministic("y", torch.ones(2, 3))
        pyro.deterministic("z", 1)  # type: ignore[arg-type]

    record = trace_of(model)
    assert record.nodes["y"]["fn"].event_shape == (2, 3)
    assert value_of(record, "z") == 1


def test_factor_adds_to_the_density() -> None:
    terms = torch.tensor([1.0, -2.0])

    def model() -> None:
        pyro.factor("f", torch.tensor(0.5))
        with pyro.plate("rows", 2), poutine.scale(scale=3.0):
            pyro.factor("g", terms)

    record = trace_of(model)
    assert_close(record.log_prob_sum(), 0.5 + 3 * terms.sum())
    assert record.nodes["g"]["infer"]["is_auxiliary"]
    terms.requires_grad_()
    torch.as_tensor(trace_of(model).log_prob_sum()).backward()
    assert_close(terms.grad, [3.0, 3.0])


@pytest.mark.parametrize("has_rsample", [None, False, True])
def test_a_factor_in_a_guide_says_whether_it_is_pathwise(has_rsample: bool | None) -> None:
    record = trace_of(lambda: pyro.factor("f", ONE, has_rsample=has_rsample))
    assert record.nodes["f"]["fn"].has_rsample is bool(has_rsample)


# subsample and barrier


@WRAPPED
def test_subsample_outside_of_plates_gives_all(wrapped: bool) -> None:
    data = torch.arange(3.0)
    assert run(lambda: pyro.subsample(data, event_dim=0), wrapped) is data


def test_a_barrier_passes_its_data_on_and_can_be_seen() -> None:
    seen = []

    class Sees(Messenger):
        def _pyro_barrier(self, msg: Any) -> None:
            seen.append(msg["args"])

    with Sees():
        assert pyro.barrier("data") == "data"
    assert pyro.barrier("data") == "data"
    assert seen == [("data",)]


# module


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)


@WRAPPED
def test_module_registers_every_parameter(wrapped: bool) -> None:
    net = Net()
    assert run(lambda: pyro.module("net", net), wrapped) is net
    store = pyro.get_param_store()
    names = [f"net$$$inner.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]
    assert list(store) == names
    assert store["net$$$inner.0.weight"] is net.inner[0].weight


def test_module_shows_its_parameters_as_sites() -> None:
    net = nn.Linear(1, 1)
    record = trace_of(lambda: pyro.module("net", net)(torch.ones(1)))
    assert record.param_nodes == ["net$$$weight", "net$$$bias"]
    assert value_of(record, "net$$$weight") is net.weight


def test_a_new_module_under_an_old_name() -> None:
    old, new = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    pyro.module("net", old)
    with pytest.warns(UserWarning, match=r"At site 'net\$\$\$weight': the module computes with"):
        pyro.module("net", new)
    pyro.module("net", new)  # said once
    assert not torch.equal(new.weight, old.weight)
    pyro.module("net", new, update_module_params=True)
    assert torch.equal(new.weight, old.weight)
    assert pyro.param("net$$$weight") is new.weight
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pyro.module("net", new)


def test_what_is_no_module_is_refused() -> None:
    for wrong in (3, nn.Linear, lambda x: x):
        with refused(TypeError, "At site 'net': expected a torch.nn.Module, got .* Instantiate it"):
            pyro.module("net", wrong)  # type: ignore[arg-type]


# The store and the switches.


def test_the_store_can_be_cleared() -> None:
    pyro.param("p", ONE)
    assert list(pyro.get_param_store()) == ["p"]
    pyro.clear_param_store()
    assert list(pyro.get_param_store()) == []


def test_validation_is_one_switch() -> None:
    bad = dist.Normal(0.0, 1.0), torch.tensor(math.nan)
    with pyro.validation_enabled(False):
        assert not poutine.is_validation_enabled()
        trace_of(lambda: pyro.sample("x", bad[0], obs=bad[1])).log_prob_sum()
        assert dist.Normal(0.0, -1.0).scale == -1
        pyro.enable_validation()
        with pytest.raises(ValueError, match="scale"):
            dist.Normal(0.0, -1.0)
    assert poutine.is_validation_enabled()


def test_seeding_repeats_draws() -> None:
    pyro.set_rng_seed(5)
    first = pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.set_rng_seed(5)
    assert pyro.sample("x", dist.Normal(0.0, 1.0)) == first


# Deprecated forms.


@pytest.mark.parametrize("use", [pyro.irange, pyro.iarange])
def test_a_deprecated_plate_says_so_once_and_where(use: Any) -> None:
    text = rf"pyro.{use.__name__} is deprecated. Write: .*pyro.plate\(name, size\)"
    with pytest.warns(FutureWarning, match=text) as caught:
        use("data", 3)
    assert [each.filename for each in caught] == [__file__]
    use("data", 3)


@pytest.mark.parametrize("use", [pyro.irange, pyro.iarange])
def test_no_deprecation_is_told_without_validation(use: Any) -> None:
    with pyro.validation_enabled(False):
        use("data", 3)


@pytest.mark.filterwarnings("ignore:pyro.i:FutureWarning")
def test_irange_runs_one_element_after_the_other() -> None:
    def older() -> None:
        for i in pyro.irange("data", 5, subsample_size=2):
            pyro.sample(f"x{i}", dist.Normal(0.0, 1.0), obs=ONE)

    def newer() -> None:
        for i in pyro.plate("data", 5, subsample_size=2):
            pyro.sample(f"x{i}", dist.Normal(0.0, 1.0), obs=ONE)

    records = []
    for model in (older, newer):
        pyro.set_rng_seed(4)
        records.append(trace_of(model))
    old, new = records
    assert list(old) == list(new)
    assert old.log_prob_sum() == new.log_prob_sum()
    for name in old:
        assert old.nodes[name].get("cond_indep_stack") == new.nodes[name].get("cond_indep_stack")


@pytest.mark.filterwarnings("ignore:pyro.i:FutureWarning")
def test_iarange_runs_all_elements_at_once() -> None:
    def model() -> Any:
        with pyro.iarange("outer", 4, dim=-2), pyro.iarange("inner", 6, subsample_size=3) as rows:
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.zeros(4, 3))
            return rows

    record = trace_of(model)
    assert len(value_of(record, "_RETURN")) == 3
    assert_close(record.log_prob_sum(), 12 * 2 * dist.Normal(0.0, 1.0).log_prob(torch.zeros(())))
    assert isinstance(pyro.iarange("x", 2), pyro.plate)


class TestRandomModule:
    PRIOR = {
        "weight": dist.Normal(torch.zeros(1, 2), 2.0).to_event(2),
        "bias": dist.Normal(1.0, 3.0),
    }

    @pytest.fixture(autouse=True)
    def undisturbed(self) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pyro.random_module", FutureWarning)
            yield

    def test_its_parameters_are_drawn(self) -> None:
        net = nn.Linear(2, 1)
        before = {name: own.clone() for name, own in net.state_dict().items()}
        record = trace_of(pyro.random_module("net", net, self.PRIOR))
        drawn = value_of(record, "_RETURN")
        weight, bias = (value_of(record, f"net$$${name}") for name in ("weight", "bias"))
        assert record.stochastic_nodes == ["net$$$weight", "net$$$bias"]
        assert drawn is not net and drawn.weight is weight and drawn.bias is bias
        x = torch.randn(4, 2)
        assert_close(drawn(x), x @ weight.T + bias)
        expected = dist.Normal(0.0, 2.0).log_prob(weight).sum()
        assert_close(record.log_prob_sum(), expected + dist.Normal(1.0, 3.0).log_prob(bias).sum())
        assert_close(dict(net.state_dict()), before)
        assert list(pyro.get_param_store()) == []

    def test_each_call_is_a_draw(self) -> None:
        draw = pyro.random_module("net", nn.Linear(2, 1), dist.Normal(0.0, 1.0))
        one, other = draw(), draw()
        assert not torch.equal(one.weight, other.weight)
        draws = torch.stack([draw().weight.flatten() for _ in range(500)])
        assert_fits_cdf(draws[:, 0], torch.distributions.Normal(0.0, 1.0).cdf)

    def test_a_parameter_without_a_prior_is_learned_by_all_copies_together(self) -> None:
        net = nn.Linear(2, 1)
        draw = pyro.random_module("net", net, {"weight": self.PRIOR["weight"]})
        record = trace_of(draw)
        assert {name: site["type"] for name, site in record.nodes.items()} == {
            "_INPUT": "args",
            "net$$$weight": "sample",
            "net$$$bias": "param",
            "_RETURN": "return",
        }
        assert pyro.get_param_store().unconstrained("net$$$bias") is net.bias
        with torch.no_grad():
            pyro.param("net$$$bias").add_(5.0)
        assert draw().bias is draw().bias is net.bias

    def test_a_function_may_be_the_prior(self) -> None:
        def prior(initial: Tensor, **kwargs: Any) -> Any:
            return dist.Normal(initial.detach() + 1.0, 1.0)

        record = trace_of(pyro.random_module("net", nn.Linear(2, 1), prior))
        assert record.stochastic_nodes == ["net$$$weight", "net$$$bias"]

    def test_what_is_drawn_can_be_conditioned_and_replayed(self) -> None:
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        draw = pyro.random_module("net", net, dist.Normal(0.0, 1.0))
        first = trace_of(draw)
        again = trace_of(poutine.replay(draw, trace=first))
        data = {name: value_of(first, name) for name in first.stochastic_nodes}
        given = trace_of(poutine.condition(draw, data))
        assert len(data) == 4
        for record in (again, given):
            assert_close(record.log_prob_sum(), first.log_prob_sum())
            x = torch.randn(5, 2)
            assert_close(value_of(record, "_RETURN")(x), value_of(first, "_RETURN")(x))

    def test_gradients_reach_what_is_drawn(self) -> None:
        x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.5], [2.5], [4.0]])
        draw = pyro.random_module("net", nn.Linear(1, 1, bias=False), dist.Normal(0.0, 2.0))

        def model() -> None:
            mean = draw()(x)
            with pyro.plate("rows", 3):
                pyro.sample("y", dist.Normal(mean, 1.0).to_event(1), obs=y)

        weight = torch.tensor([[0.5]], requires_grad=True)
        record = trace_of(poutine.condition(model, {"net$$$weight": weight}))
        (gradient,) = torch.autograd.grad(record.log_prob_sum(), weight)
        expected = (x * (y - x * 0.5)).sum() - 0.5 / 4
        assert_close(gradient, expected.reshape(1, 1))

    @pytest.mark.parametrize(
        ("net", "prior", "text"),
        [
            (3, {}, "At site 'net': expected a torch.nn.Module, got 3"),
            (nn.Linear, {}, "At site 'net': expected a torch.nn.Module, got .*. Instantiate it"),
            (nn.Linear(1, 1), 3, "lift.. got the prior 3, expected a law"),
        ],
    )
    def test_what_it_cannot_use_is_refused(self, net: Any, prior: Any, text: str) -> None:
        with refused(TypeError, text):
            pyro.random_module("net", net, prior)

    def test_it_says_that_it_is_deprecated(self) -> None:
        with pytest.warns(FutureWarning, match="pyro.random_module is deprecated.*PyroSample"):
            pyro.random_module("net", nn.Linear(1, 1), self.PRIOR)
