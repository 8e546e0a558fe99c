import itertools
from typing import Any

import pytest
import torch
from torch import tensor

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import Predictive
from pyro.poutine.runtime import _thread
from tests.helpers import assert_close, assert_mean

BOTH = pytest.mark.parametrize("parallel", [False, True])


def shapes(samples: Any) -> Any:
    return {name: tuple(value.shape) for name, value in samples.items()}


def nested(obs: Any = None) -> Any:
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    with pyro.plate("cols", 3):
        b = pyro.sample("b", dist.Normal(a, 1.0))
        c = pyro.deterministic("c", 2 * b, event_dim=0)
        with pyro.plate("rows", 2):
            x = pyro.sample("x", dist.Normal(c, 1.0), obs=obs)
    e = pyro.sample("e", dist.Normal(torch.zeros(4), 1.0).to_event(1))
    pyro.param("p", tensor(1.0))
    return x + e.sum(-1)


ALL = {"a": (5, 1, 1), "b": (5, 1, 3), "c": (5, 1, 3), "x": (5, 2, 3), "e": (5, 1, 1, 4)}


@BOTH
def test_prior_draws_have_every_site_at_its_shape(parallel: Any) -> None:
    draws = Predictive(nested, num_samples=5, parallel=parallel)()
    assert shapes(draws) == ALL
    assert list(draws) == list(ALL)
    assert_close(draws["c"], 2 * draws["b"])


@BOTH
@pytest.mark.parametrize(
    "return_sites, expected",
    [
        ((), {"a": (5, 1, 1), "c": (5, 1, 3), "x": (5, 2, 3), "e": (5, 1, 1, 4)}),
        (None, ALL),
        (["x"], {"x": (5, 2, 3)}),
        ({"b", "a"}, {"a": (5, 1, 1), "b": (5, 1, 3)}),
    ],
)
def test_samples_are_left_out_unless_asked_for(
    parallel: Any, return_sites: Any, expected: Any
) -> None:
    samples = {"b": torch.randn(5, 3), "unknown": torch.zeros(5)}
    predictive = Predictive(nested, samples, return_sites=return_sites, parallel=parallel)
    draws = predictive()
    assert shapes(draws) == expected
    for name in ("b", "c"):
        if name in draws:
            assert_close(draws[name][:, 0], samples["b"] * (2 if name == "c" else 1))


@BOTH
@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 3), (5, 1, 1, 3), (5, 1)])
def test_samples_may_have_dimensions_of_size_one_more_or_less(parallel: Any, shape: Any) -> None:
    b = torch.randn(shape)
    draws = Predictive(nested, {"b": b}, return_sites=["c"], parallel=parallel)()
    assert_close(draws["c"].expand(5, 1, 3), 2 * b.reshape(5, 1, -1).expand(5, 1, 3))


@BOTH
def test_predictions_are_samples_for_another_prediction(parallel: Any) -> None:
    first = Predictive(nested, num_samples=5, parallel=parallel)()
    second = Predictive(nested, {"a": first["a"], "e": first["e"]}, return_sites=None)()
    assert_close(second["e"], first["e"])
    assert_close(second["a"], first["a"])


@BOTH
def test_samples_override_observations_and_deterministic_sites(parallel: Any) -> None:
    samples = {"x": torch.ones(5, 2, 3), "c": torch.full((5, 3), 7.0)}
    draws = Predictive(nested, samples, return_sites=["x", "c"], parallel=parallel)(
        torch.zeros(2, 3)
    )
    assert_close(draws["x"], samples["x"])
    assert_close(draws["c"][:, 0], samples["c"])


@BOTH
def test_observations_are_shown_for_every_draw(parallel: Any) -> None:
    data = torch.arange(6.0).reshape(2, 3)
    draws = Predictive(nested, num_samples=5, parallel=parallel)(obs=data)
    assert_close(draws["x"], data.expand(5, 2, 3))


@BOTH
def test_plate_indices_are_never_returned(parallel: Any) -> None:
    def model() -> None:
        with pyro.plate("data", 10, subsample_size=3):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    draws = Predictive(model, num_samples=5, return_sites=None, parallel=parallel)()
    assert shapes(draws) == {"x": (5, 3)}


def test_the_result_of_the_model_is_returned_on_request() -> None:
    def model() -> Any:
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        return {"twice": 2 * z, "pair": (z, 3), "nothing": None}

    draws = Predictive(model, num_samples=5, return_sites=["z", "_RETURN"])()
    result = draws["_RETURN"]
    assert_close(result["twice"], 2 * draws["z"])
    assert_close(result["pair"][0], draws["z"])
    assert_close(result["pair"][1], torch.full((5,), 3))
    assert result["nothing"] is None


def test_the_result_of_a_parallel_run_is_returned_as_it_is() -> None:
    draws = Predictive(nested, num_samples=5, return_sites=["_RETURN"], parallel=True)()
    assert shapes(draws) == {"_RETURN": (5, 2, 3)}


def latent_guide(obs: Any = None) -> None:
    a = pyro.sample("a", dist.Normal(pyro.param("loc", tensor(3.0)), 1.0))
    pyro.sample("helper", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
    pyro.deterministic("seen", a)
    with pyro.plate("cols", 3):
        pyro.sample("b", dist.Normal(a, 0.1))
    pyro.sample("e", dist.Normal(torch.zeros(4), 1.0).to_event(1))


@BOTH
def test_latent_sites_come_from_the_guide(parallel: Any) -> None:
    draws = Predictive(nested, guide=latent_guide, num_samples=400, parallel=parallel)()
    assert shapes(draws) == {name: (400, *shape[1:]) for name, shape in ALL.items()}
    assert_mean(draws["a"], 3.0, 1.0)
    assert (draws["b"] - draws["a"]).abs().max() < 1.0
    assert_close(draws["c"], 2 * draws["b"])


@BOTH
def test_a_guide_with_deeper_plates_than_the_model(parallel: Any) -> None:
    def model() -> Any:
        return pyro.sample("z", dist.Normal(0.0, 1.0))

    def guide() -> None:
        pyro.sample("z", dist.Normal(0.0, 1.0))
        with pyro.plate("deep", 2, dim=-3):
            pyro.sample("helper", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})

    draws = Predictive(model, guide=guide, num_samples=5, parallel=parallel)()
    assert draws["z"].reshape(-1).shape == (5,)


@BOTH
def test_prior_predictive_has_the_exact_moments(parallel: Any) -> None:
    """a ~ N(0,1), b ~ N(a,1), x ~ N(2b,1): variances 1, 2, 9."""
    draws = Predictive(nested, num_samples=2000, parallel=parallel)()
    for name, variance in (("a", 1.0), ("b", 2.0), ("x", 9.0)):
        one = draws[name][:, 0, 0].double()
        assert_mean(one, 0.0, variance**0.5)
        assert_mean(one**2, variance, variance * 2**0.5)


@BOTH
def test_draws_carry_no_gradient(parallel: Any) -> None:
    def model() -> Any:
        loc = pyro.param("loc", tensor(3.0))
        return pyro.sample("z", dist.Normal(loc, 1.0)) * loc

    draws = Predictive(model, num_samples=2, return_sites=["z", "_RETURN"], parallel=parallel)()
    assert not any(value.requires_grad for value in draws.values())
    assert torch.is_grad_enabled()


@BOTH
@pytest.mark.parametrize("keep_dist", [False, True])
@pytest.mark.parametrize("source", ["prior", "samples", "guide"])
def test_equalized_members_are_shown_at_their_own_shape(
    parallel: Any, keep_dist: Any, source: Any
) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 3):
            y = pyro.sample("y", dist.Normal(0.0, 1.0))
            pyro.sample("obs", dist.Normal(y, 1.0))

    def guide() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))

    sources: dict[str, Any] = {
        "prior": {"num_samples": 5},
        "samples": {"posterior_samples": {"x": torch.randn(5)}},
        "guide": {"guide": guide, "num_samples": 5},
    }
    tied = poutine.equalize(model, ["x", "y"], keep_dist=keep_dist)
    draws = Predictive(tied, return_sites=None, parallel=parallel, **sources[source])()
    assert shapes(draws) == {"x": (5, 1), "y": (5, 3), "obs": (5, 3)}
    assert_close(draws["y"], draws["x"].expand(5, 3))


@BOTH
def test_the_vectorised_trace_holds_all_draws(parallel: Any) -> None:
    samples = {"b": torch.randn(5, 3)}
    trace = Predictive(nested, samples, parallel=parallel).get_vectorized_trace()
    assert trace.nodes["x"]["value"].shape == (5, 2, 3)
    assert trace.nodes["b"]["is_observed"]
    assert_close(trace.nodes["b"]["value"], samples["b"].reshape(5, 1, 3))
    assert trace.nodes["x"]["cond_indep_stack"][0].name == "_num_predictive_samples"


def test_call_gives_the_draws_sorted_by_name() -> None:
    predictive = Predictive(nested, num_samples=2, return_sites=["x", "a"])
    pyro.set_rng_seed(0)
    draws = predictive()
    pyro.set_rng_seed(0)
    assert_close(list(predictive.call()), [draws["a"], draws["x"]])


def test_the_older_name_warns() -> None:
    with pytest.warns(DeprecationWarning, match="call the object itself"):
        assert set(Predictive(nested, num_samples=2, return_sites=["a"]).get_samples()) == {"a"}


def test_a_prior_that_cannot_be_drawn_from_needs_samples_only() -> None:
    class Improper(dist.Normal):
        def sample(self, sample_shape: Any = ()) -> torch.Tensor:
            raise NotImplementedError("improper")

        def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
            raise NotImplementedError("improper")

    def model() -> None:
        pyro.sample("x", dist.Normal(pyro.sample("z", Improper(0.0, 1.0)), 1.0))

    for parallel in (False, True):
        draws = Predictive(model, {"z": torch.zeros(3)}, parallel=parallel)()
        assert shapes(draws) == {"x": (3,)}


def test_the_modules_of_model_and_guide_are_found() -> None:
    class Module(torch.nn.Module):
        def forward(self) -> Any:
            return pyro.sample("z", dist.Normal(0.0, 1.0))

    names = [
        name for name, _ in Predictive(Module(), guide=Module(), num_samples=1).named_modules()
    ]
    assert names == ["", "model", "guide"]


@pytest.mark.parametrize(
    "kwargs, kind, text",
    [
        ({}, ValueError, "needs num_samples.*got None"),
        ({"posterior_samples": {}}, ValueError, "a sample in posterior_samples, or num_samples"),
        ({"num_samples": 0}, ValueError, "got 0"),
        ({"guide": nested}, ValueError, "needs num_samples"),
        (
            {"guide": nested, "posterior_samples": {"a": torch.zeros(2)}},
            ValueError,
            "posterior_samples or a guide, not both",
        ),
        (
            {"posterior_samples": {"a": torch.zeros(2), "b": torch.zeros(3)}},
            ValueError,
            r"differ in their number of draws: \{'a': 2, 'b': 3\}",
        ),
        ({"posterior_samples": {"a": tensor(0.0)}}, ValueError, r"\['a'\] has shape \(\)"),
        ({"posterior_samples": {"a": [0.0]}}, TypeError, r"\['a'\] must be a tensor, got list"),
        ({"num_samples": 2, "return_sites": "x"}, TypeError, "must be a list, tuple or set.*'x'"),
        ({"num_samples": 2, "return_sites": 3}, TypeError, "got 3"),
    ],
)
def test_wrong_arguments_are_refused(kwargs: Any, kind: Any, text: Any) -> None:
    with pytest.raises(kind, match=text):
        Predictive(nested, **kwargs)


def test_another_number_of_samples_than_there_are_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="num_samples=3, but posterior_samples hold 5 draws"):
        predictive = Predictive(nested, {"a": torch.zeros(5)}, num_samples=3)
    assert predictive()["x"].shape == (5, 2, 3)


@BOTH
def test_an_unknown_site_is_warned_of(parallel: Any) -> None:
    with pytest.warns(UserWarning, match=r"return_sites names \['y'\].*\['x'\]"):
        Predictive(nested, num_samples=2, return_sites=["x", "y"], parallel=parallel)()


@BOTH
def test_samples_that_do_not_fit_their_site_are_refused(parallel: Any) -> None:
    predictive = Predictive(nested, {"b": torch.zeros(5, 4)}, parallel=parallel)
    with pytest.raises(ValueError, match=r"At site 'b': each posterior sample has shape \(4,\).*3"):
        predictive()
    assert _thread.stack == [] and _thread.dims._stack == []


def counting(body: Any) -> Any:
    counter = itertools.count()
    return lambda: body(next(counter))


@pytest.mark.parametrize("first", [True, False])
def test_a_site_that_runs_in_some_draws_only_is_refused(first: Any) -> None:
    def model(i: Any) -> None:
        if (i == 0) == first:
            pyro.sample("odd", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="At site 'odd': the site runs in some draws only"):
        Predictive(counting(model), num_samples=3)()
    assert shapes(Predictive(counting(model), num_samples=3, return_sites=["x"])()) == {"x": (3,)}


def test_a_site_that_skips_a_draw_is_refused() -> None:
    def model(i: Any) -> None:
        if i != 1:
            pyro.sample("odd", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="At site 'odd': the site runs in some draws only"):
        Predictive(counting(model), num_samples=3)()


@BOTH
@pytest.mark.parametrize("return_sites", [(), ["other"]])
def test_a_name_used_twice_is_refused(parallel: Any, return_sites: Any) -> None:
    def model() -> None:
        pyro.sample("other", dist.Normal(0.0, 1.0))
        for _ in range(2):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    predictive = Predictive(model, num_samples=3, return_sites=return_sites, parallel=parallel)
    with pytest.raises(ValueError, match="At site 'x': the name is used twice in one run"):
        predictive()


def test_a_shape_that_changes_is_refused() -> None:
    def model(i: Any) -> None:
        pyro.sample("x", dist.Normal(torch.zeros(i + 1), 1.0).to_event(1))

    with pytest.raises(ValueError, match=r"At site 'x': the shape differs .*\[\(1,\), \(2,\)\]"):
        Predictive(counting(model), num_samples=2)()


def test_equalize_around_a_guided_prediction_is_refused() -> None:
    predictive = Predictive(nested, guide=latent_guide, num_samples=2)
    with poutine.equalize(sites=["a", "b"]), pytest.raises(ValueError, match="Wrap the model"):
        predictive()


@BOTH
def test_samples_of_a_plate_are_refused(parallel: bool) -> None:
    predictive = Predictive(nested, {"cols": torch.zeros(5, 3)}, parallel=parallel)
    with pytest.raises(ValueError, match="At site 'cols': posterior samples have the name of a pl"):
        predictive()


@BOTH
def test_samples_of_a_member_must_be_the_shared_ones(parallel: bool) -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(0.0, 1.0))
        pyro.sample("z", dist.Normal(0.0, 1.0))

    tied = poutine.equalize(model, ["x", "y"])
    x = torch.randn(5)
    draws = Predictive(tied, {"x": x, "y": x.clone()}, return_sites=["y"], parallel=parallel)()
    assert_close(draws["y"], x)
    with pytest.raises(ValueError, match="'y'.*'x'|'x'.*'y'"):
        Predictive(tied, {"x": x, "y": x + 1.0}, parallel=parallel)()
