import math
from typing import Any

import pytest
import torch
from torch import tensor
from torch.distributions import kl_divergence

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from tests.helpers import assert_close, trace_of
from tests.infer.exact import expected_gradient, normal_outcomes
from tests.infer.test_trace_elbo import (
    assert_unbiased,
    chain,
    chain_loss,
    chain_params,
    coins_in_plate,
    double,
    guide_in_plate,
    leaves,
    leaves_of,
)


def chain_guide() -> None:
    means, scales = chain_params()
    for i in range(2):
        pyro.sample(f"z{i + 1}", dist.Normal(means[i], scales[i]))


def test_gaussian_chain_is_unbiased() -> None:
    expected = chain_loss()
    params = leaves("means", "scales")
    outcomes = normal_outcomes(["z1", "z2"], {"z1": True, "z2": True})
    loss, grads = expected_gradient(TraceMeanField_ELBO(), chain, chain_guide, outcomes, params)
    assert_close(loss, expected)
    assert_close(grads, list(torch.autograd.grad(expected, params)))


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_discrete_sites_are_unbiased(scale: Any) -> None:
    """KL of Bernoullis in closed form, the likelihood by score functions."""
    model, guide = (poutine.scale(fn, scale) for fn in (coins_in_plate, guide_in_plate))
    assert_unbiased(model, guide, ["g", "z"], {"z": (3,)}, TraceMeanField_ELBO())


def prior_only(
    scale: Any = 1.0, mask: Any = True, size: Any = 3, subsample_size: Any = None
) -> Any:
    def model() -> None:
        with pyro.plate("data", size, subsample_size=subsample_size):
            with poutine.scale(scale=scale), poutine.mask(mask=mask):
                pyro.sample("z", dist.Normal(double(0.5), 2.0))

    return model


def posterior(scale: Any = 1.0, mask: Any = True, size: Any = 3, subsample_size: Any = None) -> Any:
    def guide() -> None:
        loc = pyro.param("loc", torch.arange(size, dtype=torch.double))
        with pyro.plate("data", size, subsample_size=subsample_size) as index:
            with poutine.scale(scale=scale), poutine.mask(mask=mask):
                pyro.sample("z", dist.Normal(loc[index], 0.3))

    return guide


def divergences(size: Any = 3) -> Any:
    loc = torch.arange(size, dtype=torch.double)
    return kl_divergence(dist.Normal(loc, double(0.3)), dist.Normal(double(0.5), 2.0))


SEEN = tensor([True, False, True])


@pytest.mark.parametrize(
    "options, weights",
    [
        ({}, double(1.0, 1.0, 1.0)),
        ({"scale": 2.5}, double(2.5, 2.5, 2.5)),
        ({"scale": double(1.0, 2.0, 3.0)}, double(1.0, 2.0, 3.0)),
        ({"mask": SEEN}, double(1.0, 0.0, 1.0)),
        ({"mask": SEEN, "scale": 0.5}, double(0.5, 0.0, 0.5)),
        ({"mask": False}, double(0.0, 0.0, 0.0)),
    ],
)
def test_without_data_the_loss_is_the_weighted_divergence(options: Any, weights: Any) -> None:
    loss = TraceMeanField_ELBO().loss(prior_only(**options), posterior(**options))
    assert_close(loss, (divergences() * weights).sum())


def test_equal_masks_and_scales_need_not_be_the_same_objects() -> None:
    model = prior_only(mask=SEEN.clone(), scale=double(1.0, 2.0, 3.0))
    guide = posterior(mask=SEEN.clone(), scale=double(1.0, 2.0, 3.0))
    assert_close(
        TraceMeanField_ELBO().loss(model, guide),
        (divergences() * double(1.0, 0.0, 3.0)).sum(),
    )


def test_subsampled_divergences_are_scaled_up() -> None:
    options = {"size": 10, "subsample_size": 4}
    pyro.set_rng_seed(1)
    index = trace_of(posterior(**options)).nodes["data"]["value"]
    pyro.set_rng_seed(1)
    loss = TraceMeanField_ELBO().loss(prior_only(**options), posterior(**options))
    assert_close(loss, divergences(10)[index].sum() * 10 / 4)


@pytest.mark.parametrize(
    "model_scale, guide_scale, model_mask, guide_mask",
    [(2.0, 1.0, True, True), (1.0, 0.5, True, True), (1.0, 1.0, SEEN, True)],
)
def test_a_site_weighed_differently_by_model_and_guide_is_estimated_from_its_draw(
    model_scale: Any, guide_scale: Any, model_mask: Any, guide_mask: Any
) -> None:
    model = prior_only(model_scale, model_mask)
    guide = posterior(guide_scale, guide_mask)
    losses = []
    for elbo in (TraceMeanField_ELBO(), Trace_ELBO()):
        pyro.set_rng_seed(5)
        losses.append(elbo.loss(model, guide))
    assert losses[0] == losses[1] != 0.0


def test_a_law_without_a_closed_form_is_estimated_from_its_draw() -> None:
    class Odd(dist.TorchDistribution):
        arg_constraints = {}
        support = constraints.unit_interval
        has_rsample = True

        def rsample(self, sample_shape: Any = ()) -> Any:
            return torch.rand(sample_shape, dtype=torch.double)

        def log_prob(self, value: Any) -> Any:
            return torch.zeros_like(value)

        def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
            return self

    def model() -> None:
        pyro.sample("a", dist.Normal(double(0.0), 1.0))
        pyro.sample("b", dist.Beta(double(2.0), 1.0))

    def guide() -> None:
        pyro.sample("a", dist.Normal(double(1.0), 1.0))
        pyro.sample("b", Odd())

    b = trace_of(poutine.seed(guide, 2)).nodes["b"]["value"]
    loss = poutine.seed(TraceMeanField_ELBO().loss, 2)(model, guide)
    assert_close(loss, 0.5 - (2 * b).log())


def test_a_delta_guide_gives_the_posterior_density() -> None:
    def guide() -> None:
        at = pyro.param("at", double(0.7))
        pyro.sample("z1", dist.Delta(at))
        pyro.sample("z2", dist.Delta(at))

    params = leaves_of(guide)
    answers = []
    for elbo in (TraceMeanField_ELBO(), Trace_ELBO()):
        loss = elbo.differentiable_loss(chain, guide)
        answers.append([loss, *torch.autograd.grad(loss, params)])
    assert_close(answers[0], answers[1])


@pytest.mark.parametrize("vectorize", [False, True])
def test_particles_agree_where_everything_is_analytic(vectorize: Any) -> None:
    elbo = TraceMeanField_ELBO(num_particles=4, vectorize_particles=vectorize)
    assert_close(elbo.loss(prior_only(), posterior()), divergences().sum())


def test_an_auxiliary_guide_site_is_charged_for() -> None:
    def guide() -> None:
        posterior()()
        pyro.sample("helper", dist.Normal(double(0.0), 1.0), infer={"is_auxiliary": True})

    helper = trace_of(poutine.seed(guide, 4)).nodes["helper"]["value"]
    loss = poutine.seed(TraceMeanField_ELBO().loss, 4)(prior_only(), guide)
    log_q = -0.5 * helper**2 - 0.5 * math.log(2 * math.pi)
    assert_close(loss, divergences().sum() + log_q)


def test_a_guide_in_another_order_is_warned_of_once() -> None:
    def guide() -> None:
        means, scales = chain_params()
        for i in (1, 0):
            pyro.sample(f"z{i + 1}", dist.Normal(means[i], scales[i]))

    with pytest.warns(UserWarning, match="order z2, z1, the model in the order z1, z2"):
        TraceMeanField_ELBO().loss(chain, guide)
    TraceMeanField_ELBO().loss(chain, guide)
