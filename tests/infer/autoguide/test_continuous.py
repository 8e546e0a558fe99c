"""Guides with one vector for all sites: exact densities, posteriors, gradients and quantiles."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import kl_divergence

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints, transforms
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import (
    AutoContinuous,
    AutoDiagonalNormal,
    AutoGuideList,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalizingFlow,
    init_to_mean,
    init_to_value,
    mean_field_entropy,
)
from pyro.nn import PyroModule
from pyro.poutine.handlers import block
from tests.helpers import assert_close, assert_fits_cdf, assert_mean, trace_of


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.double)


# A linear model y = A u + noise of four numbers u: a pair, a logarithm, one in a plate.
DESIGN = double([[1.0, 0.5, -0.3, 0.2], [0.4, -1.0, 0.8, 0.6], [0.9, 0.7, 0.5, -1.1]])
DATA, NOISE = double([0.7, -1.2, 0.4]), 0.8
PRIOR_MEAN, PRIOR_SD = double([0.0, 0.5, 0.3, -0.2]), double([1.0, 2.0, 0.7, 1.5])


def linear_model() -> None:
    pair = pyro.sample("pair", dist.Normal(PRIOR_MEAN[:2], PRIOR_SD[:2]).to_event(1))
    level = pyro.sample("level", dist.LogNormal(PRIOR_MEAN[2], PRIOR_SD[2]))
    with pyro.plate("one", 1):
        x = pyro.sample("x", dist.Normal(PRIOR_MEAN[3:], PRIOR_SD[3:]))
    entries = [pair[..., 0], pair[..., 1], level.log(), x]
    mean = sum(entry * column for entry, column in zip(entries, DESIGN.T, strict=True))
    with pyro.plate("data", 3):
        pyro.sample("y", dist.Normal(mean, NOISE), obs=DATA)


PRECISION = torch.diag(PRIOR_SD**-2) + DESIGN.T @ DESIGN / NOISE**2
COVARIANCE = PRECISION.inverse()
MEAN = COVARIANCE @ (PRIOR_MEAN / PRIOR_SD**2 + DESIGN.T @ DATA / NOISE**2)
POSTERIOR = dist.MultivariateNormal(MEAN, COVARIANCE)
LOG_EVIDENCE = dist.MultivariateNormal(
    DESIGN @ PRIOR_MEAN,
    DESIGN @ torch.diag(PRIOR_SD**2) @ DESIGN.T + NOISE**2 * torch.eye(3).double(),
).log_prob(DATA)
FACTOR = torch.linalg.cholesky(COVARIANCE)


def multivariate() -> Any:
    guide = AutoMultivariateNormal(linear_model)
    guide()
    guide.loc.data = MEAN.clone()
    guide.scale = FACTOR.diagonal()
    guide.scale_tril = FACTOR / FACTOR.diagonal().unsqueeze(-1)
    return guide


def low_rank() -> Any:
    """A diagonal of half the least eigenvalue, and factors for all that is left."""
    guide = AutoLowRankMultivariateNormal(linear_model, rank=4)
    guide()
    values, vectors = torch.linalg.eigh(COVARIANCE)
    rest = values[0] / 2
    guide.loc.data = MEAN.clone()
    guide.scale = rest.sqrt().expand(4)
    guide.cov_factor.data = vectors * (values - rest).sqrt() / rest.sqrt()
    return guide


def inverse_autoregressive() -> Any:
    """A network without hidden layers is affine, and so can be the Cholesky factor."""
    guide = AutoIAFNormal(linear_model, hidden_dim=[])
    guide()
    layer = guide.transform[0].arn.layers[0]
    layer.weight.data = torch.cat([FACTOR.tril(-1), torch.zeros(4, 4)])
    layer.bias.data = torch.cat([MEAN, FACTOR.diagonal().log()])
    return guide


def flow() -> Any:
    guide = AutoNormalizingFlow(
        linear_model, lambda n: transforms.LowerCholeskyAffine(MEAN, FACTOR)
    )
    guide()
    return guide


def laplace() -> Any:
    guide = AutoLaplaceApproximation(linear_model)
    guide()
    guide.loc.data = MEAN.clone()
    return guide.laplace_approximation()


EXACT = [multivariate, low_rank, inverse_autoregressive, flow, laplace]


@pytest.mark.parametrize("make", EXACT)
class TestExactPosterior:
    def test_at_the_posterior_every_estimate_is_the_log_evidence(self, make: Any) -> None:
        guide = make()
        for _ in range(3):
            assert_close(Trace_ELBO().loss(linear_model, guide), -LOG_EVIDENCE.item())

    def test_also_where_particles_are_vectorised(self, make: Any) -> None:
        elbo = Trace_ELBO(num_particles=5, vectorize_particles=True)
        assert_close(elbo.loss(linear_model, make()), -LOG_EVIDENCE.item())

    def test_the_law_of_the_vector_is_the_posterior(self, make: Any) -> None:
        guide, u = make(), torch.randn(5, 4).double()
        assert_close(guide.get_posterior().log_prob(u), POSTERIOR.log_prob(u))

    def test_predictions(self, make: Any) -> None:
        samples = Predictive(linear_model, guide=make(), num_samples=500, parallel=True)()
        assert_mean(samples["level"].log().reshape(500), MEAN[2], COVARIANCE[2, 2].sqrt())
        products = samples["pair"][..., 0].reshape(500) * samples["level"].log().reshape(500)
        assert_mean(products, COVARIANCE[0, 2] + MEAN[0] * MEAN[2])


def closed_form(guide: Any) -> Tensor:
    """The loss of a normal guide: its divergence from the posterior less the log evidence."""
    law = guide.get_posterior()
    diagonal = isinstance(guide, AutoDiagonalNormal)
    covariance = law.variance.diag() if diagonal else law.covariance_matrix
    normal = torch.distributions.MultivariateNormal
    divergence = kl_divergence(normal(guide.loc, covariance), normal(MEAN, COVARIANCE))
    return torch.as_tensor(divergence - LOG_EVIDENCE)


@pytest.mark.parametrize(
    "make",
    [
        AutoDiagonalNormal,
        AutoMultivariateNormal,
        AutoLowRankMultivariateNormal,
        partial(AutoLowRankMultivariateNormal, rank=4),
    ],
)
def test_gradients_are_those_of_the_closed_form(make: Any) -> None:
    guide = make(linear_model, init_scale=0.8)
    guide()
    for leaf in guide.parameters():  # away from symmetry
        leaf.data += 0.3 * torch.randn_like(leaf)
    leaves = list(guide.parameters())
    expected = torch.autograd.grad(closed_form(guide), leaves)
    elbo = Trace_ELBO(num_particles=20, vectorize_particles=True)
    draws = []
    for _ in range(40):
        loss = elbo.differentiable_loss(linear_model, guide)
        draws.append(torch.autograd.grad(loss, leaves))
    for estimate, gradient in zip(zip(*draws, strict=True), expected, strict=True):
        moves = torch.stack(estimate).any(0)
        assert not gradient[~moves].any()
        assert_mean(torch.stack(estimate)[:, moves], gradient[moves])


@pytest.mark.parametrize("make", [multivariate, low_rank])
def test_the_posterior_is_stationary(make: Any) -> None:
    guide = make()
    assert_close(closed_form(guide), -LOG_EVIDENCE)
    gradients = torch.autograd.grad(closed_form(guide), list(guide.parameters()))
    for gradient in gradients:
        assert_close(gradient, torch.zeros_like(gradient))


def test_independent_numbers_have_their_optimum_at_the_precision() -> None:
    guide = AutoDiagonalNormal(linear_model)
    guide()
    guide.loc.data, guide.scale = MEAN.clone(), PRECISION.diagonal() ** -0.5
    for gradient in torch.autograd.grad(closed_form(guide), list(guide.parameters())):
        assert_close(gradient, torch.zeros_like(gradient))
    elbo = Trace_ELBO(num_particles=20, vectorize_particles=True)
    losses = torch.tensor([elbo.loss(linear_model, guide) for _ in range(50)])
    assert_mean(losses, closed_form(guide).item())


def test_the_closed_form_is_what_the_mean_field_objective_estimates() -> None:
    guide = AutoDiagonalNormal(linear_model, init_scale=0.5)
    guide()
    elbo = TraceMeanField_ELBO(num_particles=20, vectorize_particles=True)
    losses = torch.tensor([elbo.loss(linear_model, guide) for _ in range(50)])
    assert_mean(losses, closed_form(guide).item())


# The density of a draw, by a change of variables written out.


def many_supports() -> None:
    pyro.sample("real", dist.Normal(double([0.0, 1.0]), 1.0).to_event(1))
    pyro.sample("positive", dist.Gamma(double(2.0), 1.0))
    with pyro.plate("rows", 2):
        pyro.sample("interval", dist.Uniform(double(1.0), 3.0))
    pyro.sample("simplex", dist.Dirichlet(double([1.0, 2.0, 3.0])))
    pyro.sample("corr", dist.LKJCholesky(3, double(1.0)))


def by_hand(u: Tensor) -> Tensor:
    """From the vector to the coordinates that determine the values, in the model's order."""
    triangle = transforms.CorrCholeskyTransform()(u[7:10])
    return torch.cat(
        [
            u[:2],
            u[2:3].exp(),
            1 + 2 * torch.sigmoid(u[3:5]),
            transforms.StickBreakingTransform()(u[5:7])[:2],
            torch.stack([triangle[1, 0], triangle[2, 0], triangle[2, 1]]),
        ]
    )


FAMILIES: dict[str, Callable[..., Any]] = {
    "diagonal": AutoDiagonalNormal,
    "multivariate": AutoMultivariateNormal,
    "low rank": AutoLowRankMultivariateNormal,
    "autoregressive": partial(AutoIAFNormal, num_transforms=2),
    "planar": lambda model: AutoNormalizingFlow(model, transforms.planar),
}
EVERY_FAMILY = pytest.mark.parametrize("make", FAMILIES.values(), ids=list(FAMILIES))


@EVERY_FAMILY
def test_the_density_is_that_of_the_transformed_vector(make: Any) -> None:
    guide = make(many_supports)
    guide()
    for leaf in guide.parameters():
        leaf.data += 0.1 * torch.randn_like(leaf)
    trace = trace_of(guide)
    (name,) = (n for n in trace.nodes if n.endswith("_latent"))
    latent = trace.nodes[name]["value"].detach()
    assert latent.shape == (10,) == (guide.latent_dim,)
    log_det = torch.linalg.slogdet(jacobian(by_hand, latent)).logabsdet
    expected = guide.get_posterior().log_prob(latent) - log_det
    assert_close(trace.log_prob_sum(), expected)
    values = [trace.nodes[n]["value"] for n in ("real", "positive", "interval", "simplex", "corr")]
    real, positive, interval, simplex, triangle = values
    below = torch.stack([triangle[1, 0], triangle[2, 0], triangle[2, 1]])
    entries = torch.cat([real, positive.reshape(1), interval, simplex[:2], below])
    assert_close(entries, by_hand(latent))


class Below(dist.TransformedDistribution):
    support = constraints.less_than(2.0)


class TestMediansAndQuantiles:
    LEVELS = [0.05, 0.5, 0.8]

    @staticmethod
    def model() -> None:
        pyro.sample("x", dist.Normal(double([0.0, 0.0]), 1.0).to_event(1))
        pyro.sample("positive", dist.Gamma(double(1.0), 1.0))
        pyro.sample("interval", dist.Uniform(double(1.0), 3.0))
        falling = transforms.AffineTransform(2.0, -1.0)
        pyro.sample("below", Below(dist.LogNormal(double(0.0), 1.0), [falling]))

    @pytest.mark.parametrize(
        "make", [AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal]
    )
    def test_in_closed_form(self, make: Any) -> None:
        guide = make(self.model, init_scale=0.6)
        guide()
        for leaf in guide.parameters():
            leaf.data += 0.2 * torch.randn_like(leaf)
        law = guide.get_posterior()
        loc, sd = guide.loc.detach(), law.variance.detach().sqrt()
        assert_close(guide._loc_scale(), (loc, sd))

        def normal(i: int, levels: Any = self.LEVELS) -> Tensor:
            return torch.as_tensor(scipy.stats.norm(loc[i], sd[i]).ppf(levels))

        found, medians = guide.quantiles(self.LEVELS), guide.median()
        expected = {
            "x": torch.stack([normal(0), normal(1)], -1),
            "positive": normal(2).exp(),
            "interval": 1 + 2 * torch.sigmoid(normal(3)),
            "below": 2 - normal(4, [1 - level for level in self.LEVELS]).exp(),
        }
        assert_close(found, expected)
        assert_close(medians, {name: value[1] for name, value in expected.items()})
        assert not any(value.requires_grad for value in medians.values())

    def test_are_those_of_the_draws(self) -> None:
        guide = AutoMultivariateNormal(lambda: pyro.sample("x", dist.Gamma(1.0, 1.0)))
        draws = torch.stack([guide()["x"] for _ in range(500)])
        loc, scale = (value.detach() for value in guide._loc_scale())
        assert_fits_cdf(draws, lambda x: torch.special.ndtr((x.log() - loc) / scale))

    def test_of_a_mode_are_the_mode(self) -> None:
        guide = AutoLaplaceApproximation(self.model)
        found, medians = guide.quantiles(self.LEVELS), guide.median()
        for name, value in medians.items():
            assert_close(found[name], torch.stack([value] * 3))
            assert_close(guide()[name], value)

    @pytest.mark.parametrize("name", ["autoregressive", "planar"])
    def test_of_a_flow_are_to_be_taken_from_draws(self, name: str) -> None:
        guide = FAMILIES[name](self.model)
        for ask in (guide.median, lambda: guide.quantiles([0.5])):
            with pytest.raises(NotImplementedError, match=r"in closed form. Take them from draws"):
                ask()


class TestVector:
    @staticmethod
    def model() -> None:
        x = pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("columns", 3, dim=-1), pyro.plate("rows", 2, dim=-2):
            pyro.sample("cell", dist.LogNormal(x[..., 0], 1.0))
        pyro.sample("simplex", dist.Dirichlet(torch.ones(3)))

    START = {
        "x": torch.tensor([1.0, 2.0]),
        "cell": torch.arange(3.0, 9.0).exp().reshape(2, 3),
        "simplex": torch.full((3,), 1 / 3),
    }

    def guide(self) -> Any:
        guide = AutoDiagonalNormal(self.model, init_loc_fn=init_to_value(values=self.START))
        guide()
        return guide

    def test_holds_the_sites_in_the_order_of_the_model(self) -> None:
        guide = self.guide()
        assert guide.latent_dim == 10
        expected = [*range(1, 9), 0.0, 0.0]
        assert_close(guide._init_loc(), expected)
        assert_close(guide.loc, expected)
        assert_close(guide.median(), self.START)

    def test_is_taken_apart_by_site(self) -> None:
        guide = self.guide()
        parts = list(guide._unpack_latent(torch.arange(10.0)))
        assert [site["name"] for site, _ in parts] == ["x", "cell", "simplex"]
        assert_close([value for _, value in parts], [[0.0, 1.0], [[2, 3, 4], [5, 6, 7]], [8.0, 9]])

    def test_a_batch_of_vectors_lies_left_of_the_plates(self) -> None:
        guide = self.guide()
        batch = torch.arange(40.0).reshape(4, 1, 1, 10)
        values = {site["name"]: value for site, value in guide._unpack_latent(batch)}
        shapes = {name: value.shape for name, value in values.items()}
        assert shapes == {"x": (4, 1, 1, 2), "cell": (4, 2, 3), "simplex": (4, 1, 1, 2)}
        assert_close(values["cell"][3], [[32.0, 33, 34], [35, 36, 37]])

    def test_is_drawn_at_an_auxiliary_site(self) -> None:
        guide = self.guide()
        trace = trace_of(guide)
        site = trace.nodes["_AutoDiagonalNormal_latent"]
        assert site["infer"] == {"is_auxiliary": True}
        values = {part["name"]: value for part, value in guide._unpack_latent(site["value"])}
        assert_close(trace.nodes["cell"]["value"], values["cell"].exp())
        assert guide.sample_latent().shape == (10,)

    def test_sites_keep_their_dtypes(self) -> None:
        def model() -> None:
            pyro.sample("single", dist.LogNormal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("double", dist.Normal(torch.zeros(()).double(), 1.0))

        for make in FAMILIES.values():
            pyro.clear_param_store()
            guide = make(model)
            dtypes = {name: value.dtype for name, value in guide().items()}
            assert dtypes == {"single": torch.float, "double": torch.double}
            assert guide.sample_latent().dtype == torch.double

    @EVERY_FAMILY
    def test_is_white_noise_transformed(self, make: Any) -> None:
        guide = make(many_supports)
        guide()
        for leaf in guide.parameters():
            leaf.data += 0.1 * torch.randn_like(leaf)
        u = torch.randn(10).double()
        if isinstance(guide, AutoLowRankMultivariateNormal):
            with pytest.raises(NotImplementedError, match=r"defines no get_transform\(\)"):
                guide.get_transform()
            return
        base, transform = guide.get_base_dist(), guide.get_transform()
        assert_close(base.mean, torch.zeros(10))
        assert_close(base.variance, torch.ones(10))
        law = dist.TransformedDistribution(base, [transform])
        assert_close(law.log_prob(u), guide.get_posterior().log_prob(u))

    @EVERY_FAMILY
    def test_a_setup_anew_follows_the_model(self, make: Any) -> None:
        guide = make(lambda size: pyro.sample("x", dist.LogNormal(torch.zeros(size), 1.0)))
        guide(2)
        pyro.clear_param_store()
        guide._setup_prototype(3)
        assert guide(3)["x"].shape == (3,)
        assert guide.latent_dim == 3


class TestSubsampling:
    @staticmethod
    def model() -> None:
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        z = pyro.sample("z", dist.Normal(x, 1.0))
        with pyro.plate("rows", 10, subsample_size=4) as rows:
            y = pyro.sample("y", dist.Normal(z, 1.0))
            pyro.sample("obs", dist.Normal(y, 1.0), obs=torch.arange(10.0)[rows])

    @EVERY_FAMILY
    def test_is_refused_with_the_remedy(self, make: Any) -> None:
        remedy = r"At site 'y': plate 'rows' draws 4 of its 10 elements.*Use AutoNormal.*hide="
        with pytest.raises(NotImplementedError, match=remedy):
            make(self.model)()

    @EVERY_FAMILY
    def test_the_remedy_helps(self, make: Any) -> None:
        guide = AutoGuideList(self.model)
        guide.append(make(block(self.model, hide=["y"])))
        guide.append(AutoNormal(block(self.model, expose=["y"])))
        svi = SVI(self.model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        assert all(math.isfinite(svi.step()) for _ in range(3))
        assert sorted(guide()) == ["x", "y", "z"]

    def test_of_data_alone_is_welcome(self) -> None:
        def model() -> None:
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            with pyro.plate("rows", 10, subsample_size=4) as rows:
                pyro.sample("obs", dist.Normal(x, 1.0), obs=torch.arange(10.0)[rows])

        assert list(AutoMultivariateNormal(model)()) == ["x"]


class TestParameters:
    def test_names(self) -> None:
        names = {
            AutoDiagonalNormal: ["loc", "scale"],
            AutoMultivariateNormal: ["loc", "scale", "scale_tril"],
            AutoLowRankMultivariateNormal: ["loc", "scale", "cov_factor"],
            AutoLaplaceApproximation: ["loc"],
        }
        for make, expected in names.items():
            make(linear_model)()
            found = [name.split(".") for name in pyro.get_param_store() if make.__name__ in name]
            assert found == [[make.__name__, name] for name in expected]

    def test_keys_of_the_state(self) -> None:
        guide = AutoMultivariateNormal(linear_model)
        guide()
        assert set(guide.state_dict()) == {
            "loc",
            "scale_unconstrained",
            "scale_tril_unconstrained",
        }

    def test_those_of_a_flow_are_those_of_its_module(self) -> None:
        guide = AutoIAFNormal(linear_model, hidden_dim=9)
        guide()
        names = [name for name, _ in guide.named_parameters()]
        assert names == [
            f"transform.0.arn.layers.{i}.{k}" for i in (0, 1) for k in ("weight", "bias")
        ]
        assert guide.transform[0].arn.hidden_dims == [9]
        assert "AutoIAFNormal.transform$$$0.arn.layers.0.weight" in pyro.get_param_store()

    def test_an_autoregressive_guide_goes_forwards_and_backwards(self) -> None:
        guide = AutoIAFNormal(linear_model, num_transforms=3, stable=True)
        guide()
        orders = [flow.arn.permutation.tolist() for flow in guide.transform]
        assert orders == [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]]
        assert all(flow.stable for flow in guide.transform)

    @pytest.mark.parametrize("make", [AutoDiagonalNormal, AutoMultivariateNormal])
    def test_initial_scale(self, make: Any) -> None:
        guide = make(linear_model, init_to_mean, 0.25)
        guide()
        assert_close(guide.get_posterior().variance, torch.full((4,), 0.25**2))
        assert_close(guide.median()["pair"], PRIOR_MEAN[:2])

    def test_low_rank_begins_with_about_the_initial_scale(self) -> None:
        def model() -> None:
            pyro.sample("x", dist.Normal(torch.zeros(400), 1.0).to_event(1))

        guide = AutoLowRankMultivariateNormal(model, init_scale=0.25)
        guide()
        assert guide.cov_factor.shape == (400, guide.rank) == (400, 20)
        # A variance is a half of the scale's square, and a half times a chi-square over its rank.
        assert_mean(guide.get_posterior().variance, 0.25**2, 0.25**2 / 2 * math.sqrt(2 / 20))

    @pytest.mark.parametrize("make", [AutoDiagonalNormal, AutoLowRankMultivariateNormal])
    @pytest.mark.parametrize("scale", [0.0, -1.0, "0.1", None, math.nan])
    def test_a_wrong_scale_is_refused(self, make: Any, scale: Any) -> None:
        with pytest.raises(ValueError, match="init_scale must be a positive number, got"):
            make(linear_model, init_scale=scale)

    @pytest.mark.parametrize("rank", [0, -1, 2.0, "two"])
    def test_a_wrong_rank_is_refused(self, rank: Any) -> None:
        with pytest.raises(ValueError, match="rank must be a positive whole number, got"):
            AutoLowRankMultivariateNormal(linear_model, rank=rank)

    def test_a_wrong_number_of_flows_is_refused(self) -> None:
        with pytest.raises(ValueError, match="num_transforms must be a positive number, got 0"):
            AutoIAFNormal(linear_model, num_transforms=0)

    def test_what_makes_no_transform_is_refused(self) -> None:
        with pytest.raises(TypeError, match="must make a transform, or a list of them.*made 4"):
            AutoNormalizingFlow(linear_model, lambda size: size)()  # type: ignore[arg-type,return-value]

    def test_a_flow_may_be_a_list(self) -> None:
        def make(size: int) -> list[Any]:
            return [transforms.planar(size), transforms.permute(size)]

        guide = AutoNormalizingFlow(linear_model, make)
        guide()
        assert [name for name, _ in guide.named_parameters()] == [
            "transform.0.bias",
            "transform.0.u",
            "transform.0.w",
        ]

    def test_two_of_a_kind_have_vectors_of_their_own(self) -> None:
        guide = AutoGuideList(linear_model)
        guide.append(AutoDiagonalNormal(block(linear_model, expose=["pair", "x"])))
        guide.append(AutoDiagonalNormal(block(linear_model, hide=["pair", "x"])))
        latents = [name for name in trace_of(guide).nodes if name.endswith("_latent")]
        assert latents == ["_AutoGuideList.0_latent", "_AutoGuideList.1_latent"]

    def test_a_guide_within_a_module(self) -> None:
        class Outer(PyroModule):
            def __init__(self) -> None:
                super().__init__()
                self.guide = AutoMultivariateNormal(linear_model)

            def forward(self) -> Any:
                return self.guide()

        trace = trace_of(Outer())
        assert {"guide.loc", "guide.scale", "_guide_latent"} <= set(trace.nodes)


class TestLaplace:
    def test_where_the_posterior_is_normal_the_curvature_is_the_same_everywhere(self) -> None:
        guide = AutoLaplaceApproximation(linear_model)
        guide()
        for _ in range(2):
            normal = guide.laplace_approximation()
            assert_close(normal.get_posterior().covariance_matrix, COVARIANCE)
            assert_close(normal.loc, guide.loc)
            guide.loc.data += torch.randn(4).double()

    def test_one_step_of_newton_leads_to_the_mode(self) -> None:
        guide = AutoLaplaceApproximation(linear_model)
        guide()
        loss = Trace_ELBO().differentiable_loss(linear_model, guide)
        (gradient,) = torch.autograd.grad(loss, [guide.loc])
        covariance = guide.laplace_approximation().get_posterior().covariance_matrix
        assert_close(guide.loc - covariance @ gradient, MEAN)

    def test_of_a_gamma_posterior(self) -> None:
        # With u = log(rate) the density of Gamma(a, b) is exp(a u - b exp(u)): mode log(a / b), and
        # a second derivative there of a.
        def model(a: float, b: float) -> None:
            pyro.sample("rate", dist.Gamma(double(a), b))

        guide = AutoLaplaceApproximation(model)
        guide(3.0, 2.0)
        guide.loc.data = double([math.log(3.0 / 2.0)])
        normal = guide.laplace_approximation(3.0, 2.0)
        assert_close(normal.get_posterior().covariance_matrix, [[1 / 3.0]])
        assert_close(normal.median(3.0, 2.0)["rate"], 1.5)
        loss = Trace_ELBO().differentiable_loss(model, guide, 3.0, 2.0)
        assert_close(torch.autograd.grad(loss, [guide.loc])[0], [0.0])

    def test_its_parameters_are_constants_until_wanted(self) -> None:
        normal = laplace()
        normal()
        assert [n for n in pyro.get_param_store() if n.startswith("AutoMultivariate")] == []
        assert not any(leaf.requires_grad for leaf in normal.parameters())
        fresh = AutoMultivariateNormal(linear_model)
        fresh()
        fresh.load_state_dict(normal.state_dict())
        assert_close(fresh.get_posterior().covariance_matrix, COVARIANCE)
        pyro.clear_param_store()
        normal.requires_grad_()
        before = {name: leaf.detach().clone() for name, leaf in normal.named_parameters()}
        SVI(linear_model, normal, pyro.optim.Adam({"lr": 0.1}), Trace_ELBO()).step()
        assert_close(closed_form(copy.deepcopy(normal)) >= -LOG_EVIDENCE, True)
        assert any((leaf != before[name]).any() for name, leaf in normal.named_parameters())

    def test_a_point_that_is_no_maximum_is_refused(self) -> None:
        def model() -> None:
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.factor("up", x**2)

        guide = AutoLaplaceApproximation(model)
        with pytest.raises(ValueError, match=r"no maximum of the posterior.*eigenvalue -1, exp"):
            guide.laplace_approximation()

    def test_is_seen_by_no_handler_outside(self) -> None:
        guide = AutoLaplaceApproximation(linear_model)
        guide()
        assert set(trace_of(guide.laplace_approximation).nodes) == {"_INPUT", "_RETURN"}

    def test_a_model_without_latent_sites(self) -> None:
        def model() -> None:
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(0.5))

        assert AutoLaplaceApproximation(model).laplace_approximation()() == {}


class TestGuidesOfOnesOwn:
    def test_a_base_law_and_a_transform_suffice(self) -> None:
        class AutoStudent(AutoContinuous):
            def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
                super()._setup_prototype(*args, **kwargs)
                self.loc = torch.nn.Parameter(self._init_loc())

            def get_base_dist(self) -> Any:
                return dist.StudentT(5.0, torch.zeros(self.latent_dim).double(), 1.0).to_event(1)

            def get_transform(self, *args: Any, **kwargs: Any) -> Any:
                return transforms.AffineTransform(self.loc, 0.5)

        guide = AutoStudent(linear_model)
        latent = guide.sample_latent()
        expected = dist.StudentT(5.0, guide.loc, 0.5).log_prob(latent).sum()
        assert_close(guide.get_posterior().log_prob(latent), expected)
        svi = SVI(linear_model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        assert math.isfinite(svi.step())

    def test_the_law_may_depend_on_the_arguments(self) -> None:
        class Amortized(AutoContinuous):
            def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
                return dist.Normal(args[0], 1e-3).to_event(1)

        def model(data: Tensor) -> None:
            pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))

        guide = Amortized(model)
        data = torch.tensor([3.0, 4.0])
        assert_mean(torch.stack([guide(data)["x"] for _ in range(100)]), data, 1e-3)

    def test_the_base_says_what_is_missing(self) -> None:
        guide = AutoContinuous(linear_model)
        for ask, what in (
            (guide, r"defines no get_base_dist\(\)"),
            (guide.get_transform, r"defines no get_transform\(\)"),
            (guide.median, "no medians and quantiles in closed form"),
        ):
            with pytest.raises(NotImplementedError, match=f"AutoContinuous .*{what}|{what}"):
                ask()


def test_entropy_in_closed_form() -> None:
    def model() -> None:
        pyro.sample("x", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    for make in (AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal):
        guide = make(model, init_scale=0.5)
        guide()
        covariance = guide.get_posterior().variance.diag()
        if not isinstance(guide, AutoDiagonalNormal):
            covariance = guide.get_posterior().covariance_matrix
        expected = 1.5 * math.log(2 * math.pi * math.e) + covariance.logdet() / 2
        assert_close(mean_field_entropy(guide, ()), expected)
