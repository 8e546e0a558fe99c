"""AutoNormal: exact densities, exact posteriors and exact gradients."""

import math
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import biject_to

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal, init_to_value
from pyro.nn import PyroParam
from pyro.poutine.util import site_is_subsample
from tests.helpers import assert_close, assert_fits_cdf, assert_mean, trace_of


def double(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.double)


# Laws and the coordinates of a value that determine it, as many as the support has dimensions.
def everything(x: Tensor) -> Tensor:
    return x.reshape(-1)


def below_diagonal(x: Tensor) -> Tensor:
    return torch.cat([x[i, :i] for i in range(1, len(x))])


def lower_triangle(x: Tensor) -> Tensor:
    return torch.cat([x[i, : i + 1] for i in range(len(x))])


class Below(dist.TransformedDistribution):
    support = constraints.less_than(2.0)


SUPPORTS: dict[str, tuple[Any, Any]] = {
    "real": (dist.Normal(double(0.0), 1.0), everything),
    "positive": (dist.LogNormal(double(0.0), 1.0), everything),
    "interval": (dist.Uniform(double(1.0), 3.0), everything),
    "below": (
        Below(dist.LogNormal(double(0.0), 1.0), [dist.transforms.AffineTransform(2.0, -1.0)]),
        everything,
    ),
    "vector": (dist.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()), everything),
    "event": (dist.Gamma(double(2.0, 3.0), 1.0).to_event(1), everything),
    "simplex": (dist.Dirichlet(double(1.0, 2.0, 3.0)), lambda x: x[:-1]),
    "corr_cholesky": (dist.LKJCholesky(3, double(1.0)), below_diagonal),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_the_density_is_that_of_the_transformed_normal(name: str) -> None:
    law, coordinates = SUPPORTS[name]
    guide = AutoNormal(lambda: pyro.sample("x", law), init_scale=0.7)
    trace = trace_of(guide)
    unconstrained = trace.nodes["x_unconstrained"]["value"].detach()
    transform = biject_to(law.support)

    def onto_coordinates(u: Tensor) -> Tensor:
        result: Tensor = coordinates(transform(u))
        return result

    jacobian = torch.autograd.functional.jacobian(onto_coordinates, unconstrained)
    jacobian = jacobian.reshape(unconstrained.numel(), unconstrained.numel())
    loc, scale = guide.locs.x, guide.scales.x
    z = (unconstrained - loc) / scale
    base = (-0.5 * z**2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum()
    expected = base - jacobian.det().abs().log()
    trace.compute_log_prob()
    actual = trace.nodes["x_unconstrained"]["log_prob"] + trace.nodes["x"]["log_prob"]
    assert actual.shape == law.batch_shape
    assert_close(actual.sum(), expected)
    assert_close(trace.log_prob_sum(), expected)
    assert_close(trace.nodes["x"]["value"], transform(unconstrained))


def test_density_has_the_batch_shape_of_the_site() -> None:
    def model() -> None:
        with pyro.plate("rows", 4):
            pyro.sample("x", dist.Dirichlet(torch.ones(3)))
            pyro.sample("y", dist.LogNormal(torch.zeros(4, 2), 1.0).to_event(1))
            pyro.sample("z", dist.LogNormal(0.0, 1.0))

    trace = trace_of(AutoNormal(model))
    trace.compute_log_prob()
    for name in ("x", "y", "z"):
        assert trace.nodes[name]["log_prob"].shape == (4,)
        assert trace.nodes[f"{name}_unconstrained"]["log_prob"].shape == (4,)


def test_a_real_site_is_its_own_coordinate() -> None:
    law = dist.Normal(torch.zeros(2), 1.0).to_event(1)
    trace = trace_of(AutoNormal(lambda: pyro.sample("x", law)))
    assert trace.nodes["x"]["value"] is trace.nodes["x_unconstrained"]["value"]


def test_auxiliary_sites_are_marked() -> None:
    trace = trace_of(AutoNormal(lambda: pyro.sample("x", dist.Gamma(1.0, 1.0))))
    assert trace.nodes["x_unconstrained"]["infer"] == {"is_auxiliary": True}
    assert not any(site_is_subsample(trace.nodes[n]) for n in ("x", "x_unconstrained"))


DATA = double(0.3, 1.9, 1.1)
# With a standard normal prior and unit noise the posterior of the mean is N(sum / 4, variance 1/4),
# and the data are jointly normal with covariance I + 1 1'.
POSTERIOR_MEAN, POSTERIOR_SD = DATA.sum() / 4, double(0.5)
LOG_EVIDENCE = dist.MultivariateNormal(
    torch.zeros(3).double(), torch.eye(3).double() + torch.ones(3, 3).double()
).log_prob(DATA)


def normal_model() -> None:
    mean = pyro.sample("mean", dist.Normal(double(0.0), 1.0))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(mean, 1.0), obs=DATA)


def lognormal_model() -> None:
    level = pyro.sample("mean", dist.LogNormal(double(0.0), 1.0))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(level.log(), 1.0), obs=DATA)


def local_model() -> None:
    with pyro.plate("data", 3):
        x = pyro.sample("mean", dist.Normal(double(0.0), 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=DATA)


@pytest.mark.parametrize(
    ("model", "mean", "sd", "log_evidence"),
    [
        (normal_model, POSTERIOR_MEAN, POSTERIOR_SD, LOG_EVIDENCE),
        (lognormal_model, POSTERIOR_MEAN, POSTERIOR_SD, LOG_EVIDENCE),
        (
            local_model,
            DATA / 2,
            double(0.5).sqrt().expand(3),
            dist.Normal(double(0.0), math.sqrt(2.0)).log_prob(DATA).sum(),
        ),
    ],
)
class TestExactPosterior:
    def test_at_the_posterior_every_estimate_is_the_log_evidence(
        self, model: Any, mean: Tensor, sd: Tensor, log_evidence: Tensor
    ) -> None:
        guide = AutoNormal(model)
        guide()
        guide.locs.mean, guide.scales.mean = mean, sd
        for _ in range(3):
            assert_close(Trace_ELBO().loss(model, guide), -log_evidence.item())

    def test_gradients_are_those_of_the_closed_form(
        self, model: Any, mean: Tensor, sd: Tensor, log_evidence: Tensor
    ) -> None:
        # loss = KL(q, posterior) - log evidence, KL between two normals.
        guide = AutoNormal(model, init_scale=0.8)
        guide()
        loc, scale = guide.locs.mean, guide.scales.mean
        divergence = ((sd / scale).log() + (scale**2 + (loc - mean) ** 2) / (2 * sd**2) - 0.5).sum()
        parameters = [guide.locs.mean_unconstrained, guide.scales.mean_unconstrained]
        expected = torch.autograd.grad(divergence, parameters)
        draws = []
        for _ in range(400):
            loss = Trace_ELBO().differentiable_loss(model, guide)
            draws.append(torch.autograd.grad(loss, parameters))
        for estimate, gradient in zip(zip(*draws, strict=True), expected, strict=True):
            assert_mean(torch.stack(estimate), gradient)


class TestQuantiles:
    LEVELS = [0.01, 0.2, 0.5, 0.975]

    def quantiles(self, law: Any, loc: float = 0.3, scale: float = 0.6) -> Tensor:
        guide = AutoNormal(lambda: pyro.sample("x", law), init_scale=scale)
        guide()
        guide.locs.x = double(loc)
        values = guide.quantiles(self.LEVELS)["x"]
        assert_close(values[2], guide.median()["x"])
        return values

    def test_of_a_real_site(self) -> None:
        expected = scipy.stats.norm(0.3, 0.6).ppf(self.LEVELS)
        assert_close(self.quantiles(dist.Normal(double(0.0), 1.0)), torch.as_tensor(expected))

    def test_of_a_positive_site(self) -> None:
        expected = scipy.stats.lognorm(0.6, scale=math.exp(0.3)).ppf(self.LEVELS)
        assert_close(self.quantiles(dist.Gamma(double(1.0), 1.0)), torch.as_tensor(expected))

    def test_of_a_site_in_an_interval(self) -> None:
        logits = torch.as_tensor(scipy.stats.norm(0.3, 0.6).ppf(self.LEVELS))
        expected = 1 + 2 * torch.sigmoid(logits)
        assert_close(self.quantiles(dist.Uniform(double(1.0), 3.0)), expected)

    def test_of_a_site_below_a_bound_where_the_map_falls(self) -> None:
        values = self.quantiles(SUPPORTS["below"][0])
        upper = scipy.stats.lognorm(0.6, scale=math.exp(0.3)).isf(self.LEVELS)
        assert_close(values, 2 - torch.as_tensor(upper))
        assert (values.diff() > 0).all()

    def test_are_those_of_the_draws(self) -> None:
        guide = AutoNormal(lambda: pyro.sample("x", dist.Gamma(1.0, 1.0)), init_scale=0.5)
        draws = torch.stack([guide()["x"] for _ in range(500)])
        assert_fits_cdf(draws, lambda x: torch.special.ndtr(x.log() / 0.5))


class TestParameters:
    def test_names_in_the_store(self) -> None:
        AutoNormal(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))()
        assert list(pyro.get_param_store()) == ["AutoNormal.locs.x", "AutoNormal.scales.x"]

    def test_state_dict_keys(self) -> None:
        guide = AutoNormal(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
        guide()
        assert list(guide.state_dict()) == ["locs.x_unconstrained", "scales.x_unconstrained"]

    def test_initial_values(self) -> None:
        law = dist.Gamma(1.0, torch.ones(2))
        start = torch.tensor([2.0, 3.0])
        guide = AutoNormal(
            lambda: pyro.sample("x", law),
            init_loc_fn=init_to_value(values={"x": start}),
            init_scale=0.25,
        )
        guide()
        assert_close(guide.locs.x, start.log())
        assert_close(guide.scales.x, [0.25, 0.25])
        assert_close(guide.median()["x"], start)

    def test_scales_are_reached_by_softplus(self) -> None:
        guide = AutoNormal(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
        guide()
        softplus = torch.nn.functional.softplus(guide.scales.x_unconstrained)
        assert_close(guide.scales.x, softplus)
        assert guide.scale_constraint is constraints.softplus_positive

    @pytest.mark.parametrize("scale", [0.0, -1.0, "0.1", None, math.nan])
    def test_a_wrong_scale_is_refused(self, scale: Any) -> None:
        with pytest.raises(ValueError, match="init_scale must be a positive number, got"):
            AutoNormal(normal_model, init_scale=scale)

    def test_a_constant_may_stand_in_for_a_parameter(self) -> None:
        guide = AutoNormal(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))
        guide()
        guide.scales.x = PyroParam(torch.tensor(3.0), constraints.positive)
        guide.scales.x_unconstrained.requires_grad_(False)
        trace = trace_of(guide)
        assert "AutoNormal.scales.x" not in trace
        assert_close(trace.nodes["x_unconstrained"]["fn"].scale, 3.0)

    def test_a_subclass_may_say_what_loc_and_scale_are(self) -> None:
        class Amortized(AutoNormal):
            def _get_loc_and_scale(self, name: str) -> tuple[Tensor, Tensor]:
                return torch.tensor(5.0), torch.tensor(1e-3)

        guide = Amortized(lambda: pyro.sample("x", dist.LogNormal(0.0, 1.0)))
        trace = trace_of(guide)
        assert_close(trace.nodes["x_unconstrained"]["fn"].loc, 5.0)
        assert_close(guide.median()["x"], math.exp(5.0))

    def test_setting_up_anew_follows_the_model(self) -> None:
        size = 2
        guide = AutoNormal(lambda: pyro.sample("x", dist.LogNormal(torch.zeros(size), 1.0)))
        guide()
        size = 3
        pyro.clear_param_store()
        guide._setup_prototype()
        assert guide()["x"].shape == (3,)
        assert guide.median()["x"].shape == (3,)
