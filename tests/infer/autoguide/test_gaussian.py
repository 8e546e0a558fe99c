"""AutoGaussian: exact posteriors, and one law whatever computes it."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoGaussian, AutoGuideList, AutoNormal
from pyro.infer.autoguide.coupled_normal import Places
from pyro.poutine.handlers import block
from tests.helpers import assert_close, assert_mean, trace_of
from tests.infer.autoguide.linear_gaussian import MODELS, double, hierarchy, posterior_of

BACKENDS = pytest.mark.parametrize("backend", ["dense", "sparse"])
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))


def shaken(model: Any, backend: str, scale: float = 0.3) -> Any:
    """A guide with arbitrary parameters, the same for both backends."""
    pyro.clear_param_store()
    guide = AutoGaussian(model, backend=backend)
    guide()
    generator = torch.Generator().manual_seed(5)
    for parameter in guide.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data += scale * noise
    return guide


def precision_of(guide: Any) -> Tensor:
    law = guide._law()
    whole = torch.stack([law.factor.times(unit) for unit in torch.eye(len(law.loc)).double()], 1)
    root = whole / law.scale
    return (root.T @ root).detach()


def set_to(guide: Any, mean: Tensor, precision: Tensor) -> None:
    """Give a guide the parameters of a normal law, or fail where they do not suffice."""
    places, layout = Places(guide._layout, guide._fronts), guide._layout
    ordered = precision[places.order][:, places.order]
    root = torch.linalg.cholesky(ordered.flip(0, 1)).flip(0, 1).T  # lower; its transpose times it
    scale = 1 / root.diagonal()
    unit = root * scale
    for name, part in layout.split(mean).items():
        loc, _ = guide._get_loc_and_scale(name)
        setattr(guide.locs, name, part.reshape(loc.shape))
        values = layout.split(scale[places.rank])[name]
        setattr(guide.scales, name, values.reshape(loc.shape))
    rest, start = unit.clone(), 0
    rest.view(-1)[places.places] = 0
    assert_close(rest, torch.eye(len(mean)).double())
    for name, kept in places.kept.items():
        coupling = torch.zeros_like(getattr(guide.couplings, name))
        taken = places.places[start : start + len(kept)]
        coupling.view(-1)[kept] = unit.reshape(-1)[taken]
        setattr(guide.couplings, name, coupling)
        start += len(kept)


@BACKENDS
@EVERY_MODEL
class TestExactPosterior:
    def test_every_estimate_is_the_log_evidence(self, model: Any, backend: str) -> None:
        posterior = posterior_of(model)
        guide = AutoGaussian(model, backend=backend)
        guide()
        set_to(guide, posterior.mean, posterior.precision)
        assert_close(precision_of(guide), posterior.precision)
        for _ in range(3):
            assert_close(Trace_ELBO().loss(model, guide), -posterior.log_evidence.item())
        assert_close(guide.median(), posterior.split(posterior.mean))

    def test_quantiles_are_those_of_the_marginals(self, model: Any, backend: str) -> None:
        posterior = posterior_of(model)
        guide = AutoGaussian(model, backend=backend)
        guide()
        set_to(guide, posterior.mean, posterior.precision)
        sd = posterior.precision.inverse().diagonal().sqrt()
        upper = posterior.split(posterior.mean + 1.959963984540054 * sd)
        assert_close({n: q[0] for n, q in guide.quantiles([0.975]).items()}, upper)


@EVERY_MODEL
class TestBackends:
    def test_agree_on_draws_from_the_same_noise(self, model: Any) -> None:
        draws = []
        for backend in ("dense", "sparse"):
            guide = shaken(model, backend)
            pyro.set_rng_seed(3)
            draws.append((guide(), guide._law().rsample((2, 3))))
        assert_close(draws[0], draws[1])

    def test_agree_with_the_multivariate_normal(self, model: Any) -> None:
        for backend in ("dense", "sparse"):
            guide = shaken(model, backend)
            law = guide._law()
            expected = dist.MultivariateNormal(law.loc, precision_matrix=precision_of(guide))
            values = law.rsample((4,))
            by_noise = law.log_prob(values)
            assert_close(by_noise, expected.log_prob(values))
            assert_close(law.log_prob(values.clone()), by_noise)
            assert_close(law.entropy(), expected.entropy())
            assert_close(law.variance, expected.variance)
            assert_close(law.mean, expected.mean)
            assert law.expand([2, 1]).rsample().shape == (2, 1, len(law.loc))

    def test_agree_on_losses_and_gradients(self, model: Any) -> None:
        found = []
        for backend in ("dense", "sparse"):
            guide = shaken(model, backend)
            pyro.set_rng_seed(3)
            loss = Trace_ELBO(num_particles=2).differentiable_loss(model, guide)
            found.append((loss, torch.autograd.grad(loss, list(guide.parameters()))))
        assert_close(found[0], found[1])

    def test_have_parameters_of_the_same_names_and_shapes(self, model: Any) -> None:
        shapes = [
            {name: p.shape for name, p in shaken(model, backend).named_parameters()}
            for backend in ("dense", "sparse")
        ]
        assert shapes[0] == shapes[1]

    def test_begin_where_the_mean_field_does(self, model: Any) -> None:
        guide, mean_field = AutoGaussian(model), AutoNormal(model)
        guide(), mean_field()
        assert_close(guide.quantiles([0.1, 0.9]), mean_field.quantiles([0.1, 0.9]))


def test_the_density_of_positive_sites_has_the_jacobian() -> None:
    def model() -> None:
        x = pyro.sample("x", dist.LogNormal(double(0.0), 1.0))
        pyro.sample("y", dist.LogNormal(x, 1.0))

    guide = shaken(model, "sparse")
    trace = trace_of(guide)
    x, y = trace.nodes["x"]["value"], trace.nodes["y"]["value"]
    law = dist.MultivariateNormal(guide._law().loc, precision_matrix=precision_of(guide))
    expected = law.log_prob(torch.stack([x.log(), y.log()])) - x.log() - y.log()
    assert_close(trace.log_prob_sum(), expected)


def test_draws_have_the_mean_and_covariance() -> None:
    guide = shaken(hierarchy, "sparse")
    law = guide._law()
    draws = law.sample((4000,))
    assert_mean(draws, law.loc)
    centered = draws - law.loc
    assert_mean(centered[:, :, None] * centered[:, None], precision_of(guide).inverse())


@pytest.mark.parametrize("size", [10, 1000])
def test_parameters_grow_with_the_size_of_a_plate(size: int) -> None:
    def model() -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", size):
            x = pyro.sample("x", dist.Normal(mean, torch.ones(2)).to_event(1))
            pyro.sample("y", dist.Normal(x.sum(-1), 1.0), obs=torch.zeros(size))

    guide = AutoGaussian(model, backend="sparse")
    guide()
    # For each x two means, two deviations, 2 x 2 couplings with each other and 2 with the mean.
    assert sum(p.numel() for p in guide.parameters()) == 2 + size * (2 + 2 + 4 + 2)


def model_of_some(batch: Tensor) -> None:
    mean = pyro.sample("mean", dist.Normal(double(0.0), 1.0))
    with pyro.plate("rows", 3, subsample=batch):
        x = pyro.sample("x", dist.LogNormal(mean, 1.0))
        y = pyro.subsample(double([0.3, 0.1, 2.0]), event_dim=0)
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)


def plates_of_some(batch: Tensor) -> Any:
    return pyro.plate("rows", 3, subsample=batch)


@BACKENDS
def test_the_mean_over_all_subsamples_is_the_whole(backend: str) -> None:
    guide = AutoGaussian(model_of_some, backend=backend, create_plates=plates_of_some)
    guide(torch.arange(3))

    def loss(*batch: int) -> float:
        pyro.set_rng_seed(0)  # the draws are of all elements, whichever run
        return Trace_ELBO().loss(model_of_some, guide, torch.tensor(batch))

    assert_close((loss(0, 1) + loss(2, 0) + loss(1, 2)) / 3, loss(0, 1, 2))


@pytest.mark.parametrize("backend", ["funsor", None])
def test_other_names_of_backends(backend: Any) -> None:
    assert sorted(AutoGaussian(hierarchy, backend=backend)()) == [
        "group",
        "local",
        "mean",
        "slope",
    ]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="backend is 'dense' or 'sparse', got 'fast'"):
        AutoGaussian(hierarchy, backend="fast")


def test_two_may_be_parts_of_a_list() -> None:
    guide = AutoGuideList(hierarchy)
    guide.append(AutoGaussian(block(hierarchy, expose=["mean", "slope"])))
    guide.append(AutoGaussian(block(hierarchy, hide=["mean", "slope"]), backend="sparse"))
    assert sorted(guide()) == ["group", "local", "mean", "slope"]


def test_dimensions_without_a_plate_are_of_one_vector() -> None:
    make = partial(AutoGaussian, lambda: pyro.sample("x", dist.Normal(torch.zeros(3), 1.0)))
    guide = make()
    guide()
    assert guide.couplings.x.shape == (3, 3)
