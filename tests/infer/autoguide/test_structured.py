"""AutoStructured: exact posteriors, kinds of conditional laws and of dependencies."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoStructured, init_to_value
from pyro.infer.autoguide.structured import linear_dependencies
from tests.helpers import assert_close, trace_of
from tests.infer.autoguide.linear_gaussian import (
    MODELS,
    Posterior,
    common_effects,
    double,
    hierarchy,
    posterior_of,
)
from tests.infer.autoguide.test_gaussian import model_of_some, plates_of_some


def set_to(guide: Any, posterior: Posterior) -> None:
    """Give a guide the posterior's regressions, or fail where its dependencies do not suffice."""
    covariance = posterior.precision.inverse()
    ends = torch.tensor([shape.numel() for shape in posterior.shapes.values()]).cumsum(0).tolist()
    places = dict(zip(posterior.shapes, zip([0, *ends], ends, strict=False), strict=True))
    means = posterior.mean
    for name, (start, end) in places.items():
        weights = torch.linalg.solve(covariance[:start, :start], covariance[:start, start:end]).T
        rest = weights.clone()
        for other in guide.dependencies.get(name, ()):
            columns = slice(*places[other])
            weight = getattr(getattr(guide.deps, name), other).weight
            weight.data.copy_(weights[:, columns])
            rest[:, columns] = 0
        assert_close(rest, torch.zeros_like(rest))
        own = covariance[start:end, start:end] - weights @ covariance[:start, start:end]
        factor = torch.linalg.cholesky(own)
        setattr(guide.locs, name, means[start:end])
        setattr(guide.scales, name, factor.diagonal())
        if end - start > 1:
            setattr(guide.scale_trils, name, factor / factor.diagonal()[:, None])


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_at_the_posterior_every_estimate_is_the_log_evidence(model: Any) -> None:
    posterior = posterior_of(model)
    guide = AutoStructured(model)
    guide()
    set_to(guide, posterior)
    for _ in range(3):
        assert_close(Trace_ELBO().loss(model, guide), -posterior.log_evidence.item())
    assert_close(guide.median(), posterior.split(posterior.mean))


def two_sites() -> None:
    x = pyro.sample("x", dist.LogNormal(double([0.0, 1.0]), 1.0).to_event(1))
    pyro.sample("y", dist.Normal(x.sum(), 1.0))


def test_the_density_is_that_of_the_transformed_deviations() -> None:
    guide = AutoStructured(two_sites, conditionals={"x": "mvn", "y": "normal"})
    guide()
    guide.locs.x, guide.scales.x = double([0.5, -0.5]), double([0.3, 2.0])
    guide.scale_trils.x = double([[1.0, 0.0], [0.7, 1.0]])
    guide.deps.y.x.weight.data = double([[2.0, -3.0]])
    guide.locs.y, guide.scales.y = double([1.0]), double([0.2])
    trace = trace_of(guide)
    x, y = trace.nodes["x"]["value"], trace.nodes["y"]["value"]
    tril = double([[0.3, 0.0], [1.4, 2.0]])
    deviation = x.log() - double([0.5, -0.5])
    expected = (
        dist.MultivariateNormal(double([0.0, 0.0]), scale_tril=tril).log_prob(deviation)
        - x.log().sum()
        + dist.Normal(1.0 + 2 * deviation[0] - 3 * deviation[1], 0.2).log_prob(y)
    )
    assert_close(trace.log_prob_sum(), expected)


class TestKinds:
    def test_a_point_has_no_scale_and_is_not_drawn(self) -> None:
        guide = AutoStructured(
            two_sites,
            conditionals={"x": "delta", "y": "normal"},
            init_loc_fn=init_to_value(values={"x": double([1.0, 2.0]), "y": double(0.5)}),
        )
        trace = trace_of(guide)
        assert_close(trace.nodes["x"]["value"], [1.0, 2.0])
        assert "x_aux" not in trace
        assert_close(trace.nodes["y_aux"]["fn"].base_dist.scale, [0.1])
        assert not hasattr(guide.scales, "x")

    def test_a_module_draws_the_deviation_and_becomes_a_part(self) -> None:
        class Laplace(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.log_scale = torch.nn.Parameter(double([0.0, 1.0]))

            def forward(self) -> Tensor:
                law = dist.Laplace(double(0.0), self.log_scale.exp()).to_event(1)
                return torch.as_tensor(pyro.sample("noise", law, infer={"is_auxiliary": True}))

        guide = AutoStructured(two_sites, conditionals={"x": Laplace(), "y": "normal"})
        guide()
        guide.locs.x = double([0.5, -0.5])
        trace = trace_of(guide)
        deviation = trace.nodes["noise"]["value"]
        assert_close(trace.nodes["x"]["value"], (double([0.5, -0.5]) + deviation).exp())
        assert "conds.x.log_scale" in guide.state_dict()
        assert_close(guide.median()["x"], double([0.5, -0.5]).exp())

    def test_a_dependency_may_be_a_function_or_a_module(self) -> None:
        class Square(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.factor = torch.nn.Parameter(double(3.0))

            def forward(self, deviation: Tensor) -> Tensor:
                return self.factor * deviation.square().sum(-1, keepdim=True) + 1.0

        for kind in (Square(), lambda d: 3.0 * d.square().sum(-1, keepdim=True) + 1.0):
            pyro.clear_param_store()
            guide = AutoStructured(
                two_sites,
                conditionals={"x": "normal", "y": "delta"},
                dependencies={"y": {"x": kind}},
            )
            trace = trace_of(guide)
            deviation = trace.nodes["x_aux"]["value"]
            assert_close(trace.nodes["y"]["value"], 3.0 * deviation.square().sum() + 1.0)
            assert_close(guide.median()["y"], double(1.0))
            if isinstance(kind, Square):
                assert "deps.y.x.factor" in guide.state_dict()
                SVI(two_sites, guide, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
                assert kind.factor.item() != 3.0

    def test_sites_may_depend_on_later_ones(self) -> None:
        guide = AutoStructured(two_sites, dependencies={"x": {"y": "linear"}})
        values = guide()
        assert list(values) == ["x", "y"]
        assert guide.deps.x.y.weight.shape == (2, 1)

    def test_without_dependencies_sites_are_independent(self) -> None:
        guide = AutoStructured(two_sites, conditionals="normal", dependencies={})
        guide()
        assert list(guide.state_dict()) == [
            "locs.x_unconstrained",
            "locs.y_unconstrained",
            "scales.x_unconstrained",
            "scales.y_unconstrained",
        ]


def test_linear_dependencies_are_those_of_the_posterior_and_what_eliminations_fill_in() -> None:
    guide = AutoStructured(common_effects)
    guide()
    assert guide.dependencies == {"b": {"a": "linear"}, "c": {"a": "linear", "b": "linear"}}
    names = ["a", "b", "c", "d"]
    assert linear_dependencies(names, {"a": {"b"}, "c": {"d"}}) == {
        "b": {"a": "linear"},
        "d": {"c": "linear"},
    }


class TestDeltas:
    def test_are_sure_of_what_was_drawn(self) -> None:
        guide = AutoStructured(two_sites)
        guide()
        deltas = guide.get_deltas()
        assert list(deltas) == ["x", "y"]
        assert_close(deltas["x"].log_density, -deltas["x"].v.log().sum())
        assert_close(deltas["y"].log_density, double(0.0))

    def test_of_some_sites_draw_only_what_these_depend_on(self) -> None:
        guide = AutoStructured(common_effects, dependencies={"c": {"a": "linear"}})
        guide()
        trace = trace_of(lambda: guide.get_deltas(["c"]))
        assert list(trace.nodes["_RETURN"]["value"]) == ["c"]
        assert "a_aux" in trace and "b_aux" not in trace

    def test_need_a_guide_that_is_set_up(self) -> None:
        with pytest.raises(ValueError, match="Call the guide with the model's arguments first"):
            AutoStructured(two_sites).get_deltas()

    def test_of_unknown_sites_are_refused(self) -> None:
        guide = AutoStructured(two_sites)
        guide()
        with pytest.raises(ValueError, match="At site 'z': the model has no such latent site"):
            guide.get_deltas(["z"])


@pytest.mark.parametrize("conditionals", ["mvn", "normal"])
def test_the_mean_over_all_subsamples_is_the_whole(conditionals: str) -> None:
    guide = AutoStructured(model_of_some, conditionals=conditionals, create_plates=plates_of_some)
    guide(torch.arange(3))
    assert guide.locs.x.shape == (3,)

    def loss(*batch: int) -> float:
        pyro.set_rng_seed(0)  # the draws are of all elements, whichever run
        return Trace_ELBO().loss(model_of_some, guide, torch.tensor(batch))

    assert_close((loss(0, 1) + loss(2, 0) + loss(1, 2)) / 3, loss(0, 1, 2))


def test_the_elements_that_run_are_selected() -> None:
    guide = AutoStructured(model_of_some, create_plates=plates_of_some)
    guide(torch.arange(3))
    guide.locs.x, guide.scales.x = double([1.0, 2.0, 3.0]), torch.full((3,), 1e-9).double()
    guide.scales.mean = double([1e-9])
    value = guide(torch.tensor([2, 0]))["x"]
    # The standard deviation is 1e-9: ten of them at most.
    assert_close(value, double([3.0, 1.0]).exp(), rtol=1e-8)
    assert_close(guide.median()["x"], double([1.0, 2.0, 3.0]).exp())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"init_scale": -1.0}, "init_scale must be a positive number, got -1.0"),
        ({"init_scale": math.nan}, "init_scale must be a positive number, got nan"),
        ({"conditionals": "student"}, "'delta', 'normal', 'mvn' or a callable, got 'student'"),
        ({"conditionals": {"x": 3}}, "'delta', 'normal', 'mvn' or a callable, got 3"),
        ({"conditionals": {"x": "mvn"}}, "At site 'y': it has no conditional"),
        ({"dependencies": "cubic"}, "A dependency is 'linear' or a callable, got 'cubic'"),
        ({"dependencies": {"y": {"x": 3}}}, "A dependency is 'linear' or a callable, got 3"),
        ({"dependencies": {"y": {"z": "linear"}}}, "At site 'z': the model has no such latent"),
        ({"dependencies": {"z": {"x": "linear"}}}, "At site 'z': the model has no such latent"),
        ({"dependencies": {"y": {"y": "linear"}}}, r"\['y'\] go round in circles"),
        (
            {"dependencies": {"y": {"x": "linear"}, "x": {"y": "linear"}}},
            r"\['x', 'y'\] go round in circles",
        ),
    ],
)
def test_wrong_options_are_refused(options: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        AutoStructured(two_sites, **options)()


def test_names_of_parameters() -> None:
    AutoStructured(hierarchy)()
    assert [name for name in pyro.get_param_store() if "local" in name] == [
        "AutoStructured.locs.local",
        "AutoStructured.scales.local",
        "AutoStructured.scale_trils.local",
        "AutoStructured.deps.local.slope$$$weight",
        "AutoStructured.deps.local.group$$$weight",
    ]
