"""Guides that run the model: exact posteriors, densities by hand, priors that change."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import biject_to

import pyro
import pyro.distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import (
    AutoHierarchicalNormalMessenger,
    AutoMessenger,
    AutoNormal,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
    init_to_value,
)
from pyro.infer.autoguide.effect import AutoMessengerMeta
from pyro.nn import PyroModule
from pyro.poutine.guide import GuideMessenger
from tests.helpers import assert_close, trace_of
from tests.infer.autoguide.linear_gaussian import double

MESSENGERS = {
    "AutoNormalMessenger": AutoNormalMessenger,
    "AutoHierarchicalNormalMessenger": AutoHierarchicalNormalMessenger,
    "AutoRegressiveMessenger": AutoRegressiveMessenger,
}
EVERY_MESSENGER = pytest.mark.parametrize("make", MESSENGERS.values(), ids=list(MESSENGERS))


def nested() -> None:
    x = pyro.sample("x", dist.Normal(double(0.0), 1.0))
    y = pyro.sample("y", dist.Normal(x, 1.0))
    pyro.sample("z", dist.Normal(y, 1.0), obs=double(1.5))


# z ~ N(0, variance 3), x | z ~ N(z/3, 2/3), y | x, z ~ N((x + z)/2, 1/2).
LOG_EVIDENCE = dist.Normal(double(0.0), 3**0.5).log_prob(double(1.5))


class TestExactPosterior:
    def test_of_a_hierarchy(self) -> None:
        guide = AutoHierarchicalNormalMessenger(nested)
        guide()
        guide.locs.x, guide.scales.x, guide.weights.x = double(0.5), double(2 / 3) ** 0.5, double(0)
        guide.locs.y, guide.scales.y, guide.weights.y = (
            double(0.75),
            double(0.5) ** 0.5,
            double(0.5),
        )
        for _ in range(3):
            assert_close(Trace_ELBO().loss(nested, guide), -LOG_EVIDENCE.item())
        assert_close(guide.median(), {"x": double(0.5), "y": double(1.0)})

    def test_of_one_site(self) -> None:
        def model() -> None:
            x = pyro.sample("x", dist.LogNormal(double(0.0), 1.0))
            pyro.sample("z", dist.Normal(x.log(), 1.0), obs=double(1.5))

        expected = -dist.Normal(double(0.0), 2**0.5).log_prob(double(1.5)).item()
        for make in (AutoNormalMessenger, AutoRegressiveMessenger):
            pyro.clear_param_store()
            guide = make(model)
            guide()
            guide.locs.x, guide.scales.x = double(0.75), double(0.5) ** 0.5
            for _ in range(3):
                assert_close(Trace_ELBO().loss(model, guide), expected)

    def test_a_regression_on_the_prior_of_0_and_1_is_the_prior(self) -> None:
        guide = AutoRegressiveMessenger(nested, init_scale=1.0)
        guide()
        assert_close(guide.locs.y, double(0.0))
        trace = trace_of(guide)
        x, y = trace.nodes["x"]["value"], trace.nodes["y"]["value"]
        expected = dist.Normal(0.0, 1.0).log_prob(x) + dist.Normal(x, 1.0).log_prob(y)
        assert_close(trace.log_prob_sum(), expected)


LAWS: dict[str, Any] = {
    "real": dist.Normal(double(1.0), 2.0),
    "positive": dist.Gamma(double(2.0), 3.0),
    "vector": dist.MultivariateNormal(double([1.0, 2.0]), double([[2.0, 0.5], [0.5, 1.0]])),
    "event": dist.Gamma(double([2.0, 3.0]), 1.0).to_event(1),
    "simplex": dist.Dirichlet(double([1.0, 2.0, 3.0])),
    "corr_cholesky": dist.LKJCholesky(3, double(1.5)),
}


@pytest.mark.parametrize("name", LAWS)
class TestDensities:
    def guide(self, make: Any, name: str) -> Any:
        guide = make(lambda: pyro.sample("x", LAWS[name]), init_scale=0.7)
        guide()
        return guide

    def test_of_normal_coordinates(self, name: str) -> None:
        guide = self.guide(AutoNormalMessenger, name)
        trace = trace_of(guide)
        value, transform = trace.nodes["x"]["value"], biject_to(LAWS[name].support)
        u = transform.inv(value)
        base = dist.Normal(guide.locs.x, 0.7).log_prob(u).sum()
        expected = base - transform.log_abs_det_jacobian(u, value).sum()
        assert_close(trace.log_prob_sum(), expected)

    def test_are_those_of_the_mean_field_guide(self, name: str) -> None:
        messenger = self.guide(AutoNormalMessenger, name)
        guide = AutoNormal(messenger.model, init_scale=0.7)
        guide()
        guide.locs.x = messenger.locs.x.detach()
        pyro.set_rng_seed(2)
        one = trace_of(guide)
        pyro.set_rng_seed(2)
        other = trace_of(messenger)
        assert_close(other.nodes["x"]["value"], one.nodes["x"]["value"])
        assert_close(other.log_prob_sum(), one.log_prob_sum())

    def test_of_a_prior_moved_and_scaled(self, name: str) -> None:
        guide, law = self.guide(AutoRegressiveMessenger, name), LAWS[name]
        transform = biject_to(law.support)
        trace = trace_of(guide)
        value = trace.nodes["x"]["value"].detach()
        actual = trace.nodes["x"]["fn"].log_prob(value.clone())

        def by_hand(loc: Tensor, scale: Tensor) -> Any:
            u = transform.inv(value)
            before = (u - loc) / scale
            at_prior = law.log_prob(transform(before))
            at_prior = at_prior + transform.log_abs_det_jacobian(before, transform(before)).sum()
            return at_prior - scale.log().sum() - transform.log_abs_det_jacobian(u, value).sum()

        loc, scale = guide.locs.x, guide.scales.x
        expected = by_hand(loc, scale)
        assert_close(actual, expected)
        # Priors without reparametrised draws are fitted by this gradient.
        if not law.has_rsample:
            actual = trace.log_prob_sum()
            leaves = [guide.locs.x_unconstrained, guide.scales.x_unconstrained]
            assert_close(torch.autograd.grad(actual, leaves), torch.autograd.grad(expected, leaves))


class TestWeights:
    def test_of_zero_give_the_mean_field(self) -> None:
        mean_field = AutoNormalMessenger(nested)
        found = []
        for guide in (mean_field, AutoHierarchicalNormalMessenger(nested, init_weight=0.0)):
            pyro.clear_param_store()
            pyro.set_rng_seed(4)
            svi = SVI(nested, guide, pyro.optim.SGD({"lr": 0.0}), Trace_ELBO())
            found.append((torch.tensor([svi.step() for _ in range(3)]), guide()))
        assert_close(found[0], found[1])

    @pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
    def test_do_not_move_where_the_guide_starts(self, weight: float) -> None:
        start = {"x": double(2.0), "y": double(-1.0)}
        guide = AutoHierarchicalNormalMessenger(
            nested, init_weight=weight, init_loc_fn=init_to_value(values=start), init_scale=1e-12
        )
        # The prior's mean of y is x, at 2 up to ten deviations of 1e-12.
        assert_close(guide()["y"], start["y"], atol=1e-10)

    def test_may_be_one_for_a_site(self) -> None:
        class OneForASite(AutoHierarchicalNormalMessenger):
            weight_type = "scalar"

        def model() -> None:
            with pyro.plate("rows", 4, subsample_size=2):
                pyro.sample("x", dist.Gamma(torch.ones(3), 1.0).to_event(1))

        for make, shape in ((OneForASite, ()), (AutoHierarchicalNormalMessenger, (4, 3))):
            pyro.clear_param_store()
            guide = make(model)
            assert guide()["x"].shape == (2, 3)
            assert guide.weights.x.shape == shape

    def test_of_an_unknown_type_are_refused(self) -> None:
        class Matrix(AutoHierarchicalNormalMessenger):
            weight_type = "matrix"

        with pytest.raises(ValueError, match="weight_type is 'element' or 'scalar', got 'matrix'"):
            Matrix(nested)

    def test_are_for_the_sites_that_are_listed(self) -> None:
        guide = AutoHierarchicalNormalMessenger(nested, hierarchical_sites=["y"])
        guide()
        assert hasattr(guide.weights, "y") and not hasattr(guide.weights, "x")

    @pytest.mark.parametrize("law", [dist.Cauchy(0.0, 1.0), dist.LKJCholesky(2, 1.0)])
    def test_need_a_prior_with_a_mean(self, law: Any) -> None:
        def model() -> None:
            pyro.sample("x", law)

        guide = AutoHierarchicalNormalMessenger(model)
        guide()
        assert not hasattr(guide.weights, "x")
        listed = AutoHierarchicalNormalMessenger(model, hierarchical_sites=["x"])
        with pytest.raises(ValueError, match="At site 'x': .* has no finite mean. Leave it out"):
            listed()


def uniform_below() -> None:
    bound = pyro.sample("bound", dist.LogNormal(0.0, 1.0))
    pyro.sample("x", dist.Uniform(0.0, bound))


@EVERY_MESSENGER
class TestEveryMessenger:
    def test_is_both_a_handler_and_a_module(self, make: Any) -> None:
        assert issubclass(make, AutoMessenger)
        assert issubclass(make, GuideMessenger) and issubclass(make, PyroModule)
        assert type(make) is AutoMessengerMeta

    def test_follows_a_support_that_changes(self, make: Any) -> None:
        guide = make(uniform_below)
        for _ in range(5):
            values = guide()
            assert 0 < values["x"] < values["bound"]
        loss = Trace_ELBO().differentiable_loss(uniform_below, guide)
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in guide.parameters())

    def test_elements_of_amortised_plates_share_parameters(self, make: Any) -> None:
        def model(size: int) -> None:
            rows = pyro.plate("rows", size, dim=-1)
            with pyro.plate("outer", 2, dim=-2), rows:
                pyro.sample("x", dist.Gamma(torch.ones(3), 1.0).to_event(1))
            with rows:
                pyro.sample("y", dist.Gamma(1.0, 1.0))

        guide = make(model, amortized_plates=("rows",))
        for size in (4, 7):
            values = guide(size)
            assert values["x"].shape == (2, size, 3) and values["y"].shape == (size,)
        assert guide.locs.x.shape == (2, 1, 3) and guide.locs.y.shape == ()

    def test_gradients_reach_only_the_elements_that_were_drawn(self, make: Any) -> None:
        def model() -> None:
            with pyro.plate("rows", 10, subsample_size=4):
                pyro.sample("x", dist.Gamma(torch.full((2,), 2.0), 1.0).to_event(1))

        guide = make(model)
        guide()
        trace = trace_of(guide)
        trace.nodes["x"]["value"].sum().backward()
        drawn = set(trace.nodes["rows"]["value"].tolist())
        for name, parameter in guide.named_parameters():
            moved = {i for i, row in enumerate(parameter.grad) if row.any()}
            assert moved == drawn, name

    def test_sites_may_come_and_go(self, make: Any) -> None:
        def model(names: str) -> None:
            for name in names:
                pyro.sample(name, dist.Gamma(1.0, 1.0))

        guide = make(model)
        assert list(guide("ab")) == ["a", "b"]
        assert list(guide("bc")) == ["b", "c"]
        assert {name.split(".")[1][0] for name, _ in guide.named_parameters()} == {"a", "b", "c"}

    def test_names_in_the_store(self, make: Any) -> None:
        make(uniform_below)()
        assert {"locs.bound", "scales.bound", "locs.x", "scales.x"} <= {*pyro.get_param_store()}

    def test_traces_of_model_and_guide_share_the_values(self, make: Any) -> None:
        guide = make(nested)
        guide()
        model_trace, guide_trace = guide.get_traces()
        loss = guide_trace.log_prob_sum() - model_trace.log_prob_sum()
        values = {n: s["value"] for n, s in guide_trace.iter_stochastic_nodes()}
        assert list(values) == ["x", "y"]
        expected = trace_of(pyro.poutine.condition(nested, data=values)).log_prob_sum()
        assert_close(model_trace.log_prob_sum(), expected)
        assert torch.isfinite(loss)

    @pytest.mark.parametrize("scale", [0.0, -1.0, "0.1"])
    def test_a_wrong_scale_is_refused(self, make: Any, scale: Any) -> None:
        with pytest.raises(ValueError, match="init_scale must be a positive number, got"):
            make(nested, init_scale=scale)

    def test_plates_are_told_by_names(self, make: Any) -> None:
        with pytest.raises(TypeError, match="amortized_plates are names of plates, got"):
            make(nested, amortized_plates=[pyro.plate("rows", 3)])
        assert make(nested, amortized_plates="rows").amortized_plates == ("rows",)


def test_medians_of_later_sites_are_those_given_the_medians_of_earlier_ones() -> None:
    guide = AutoNormalMessenger(uniform_below)
    guide()
    guide.locs.bound, guide.locs.x = torch.tensor(1.0), torch.tensor(0.0)
    bound = torch.tensor(1.0).exp()
    assert_close(guide.median(), {"bound": bound, "x": bound / 2})


def test_guides_of_libraries_may_override_the_median_and_read_the_parameters() -> None:
    class Widened(AutoHierarchicalNormalMessenger):
        def _get_posterior_median(self, name: str, prior: Any) -> Tensor:
            return super()._get_posterior_median(name, prior) + 1.0

    guide = Widened(uniform_below, hierarchical_sites=["bound"])
    guide()
    prior = dist.LogNormal(0.0, 1.0)
    guide.locs.bound = torch.tensor(0.3)
    loc, scale, weight = guide._get_params("bound", prior)
    assert_close((loc, scale, weight), (0.3, 0.1, 1.0))
    assert_close(guide.median()["bound"], (loc + weight * prior.mean.log()).exp() + 1.0)
    assert len(guide._get_params("x", dist.Uniform(0.0, 1.0))) == 2


def test_a_guide_of_ones_own_may_ask_for_what_ran_before() -> None:
    class Own(AutoMessenger):
        def __init__(self, model: Any) -> None:
            super().__init__(model)
            self.net = torch.nn.Linear(1, 1).double()

        def get_posterior(self, name: str, prior: Any) -> Any:
            if name == "x":
                return double(3.0)
            return dist.Normal(self.net(self.upstream_value("x")[..., None])[..., 0], 1.0)

    guide = Own(nested)
    trace = trace_of(guide)
    assert_close(trace.nodes["x"]["value"], 3.0)
    assert_close(trace.nodes["y"]["fn"].loc, guide.net(double([3.0]))[0])
    assert_close(guide.call()[0], 3.0)
