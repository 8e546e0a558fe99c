"""Normal observations in groups: against dense multivariate normal laws."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_mean

GROUPS = torch.tensor([2, 0, 0, 2, 2, 3])


def parameters() -> list[Tensor]:
    shape = {"dtype": torch.float64}
    loc, scale = torch.randn(4, **shape), torch.rand(4, **shape) + 0.5
    return [loc, scale, torch.rand(6, **shape) + 0.3]


def joint(loc: Tensor, scale: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the design of the linear model, and the mean and covariance of observations."""
    design = torch.nn.functional.one_hot(GROUPS, 4).double()
    covariance = design @ scale.square().diag() @ design.mT + noise.square().diag()
    return design, design @ loc, covariance


def test_the_density_is_that_of_a_dense_normal_law() -> None:
    leaves = [x.requires_grad_() for x in parameters()]
    law = dist.GroupedNormalNormal(*leaves, GROUPS)
    _, mean, covariance = joint(*leaves)
    dense = torch.distributions.MultivariateNormal(mean, covariance)
    values = law.sample((7,))
    found, expected = law.log_prob(values), dense.log_prob(values)
    assert_close(found, expected)
    slopes = torch.autograd.grad(expected.sum(), leaves, retain_graph=True)
    assert_close(torch.autograd.grad(found.sum(), leaves), slopes)
    assert_close(law.mean, dense.mean)
    assert_close(law.variance, dense.variance)


def test_the_posterior_is_that_of_a_dense_normal_law() -> None:
    loc, scale, noise = parameters()
    law = dist.GroupedNormalNormal(loc, scale, noise, GROUPS)
    design, mean, covariance = joint(loc, scale, noise)
    value = law.sample()
    gain = scale.square().diag() @ design.mT @ covariance.inverse()
    posterior = law.get_posterior(value)
    assert isinstance(posterior, dist.Normal)
    assert_close(posterior.loc, loc + gain @ (value - mean))
    dense = scale.square().diag() - gain @ design @ scale.square().diag()
    assert_close(dense, posterior.variance.diag())
    assert_close(posterior.loc[1], loc[1])  # of a group without observations
    assert_close(posterior.scale[1], scale[1])


def test_prior_times_likelihood_is_evidence_times_posterior() -> None:
    loc, scale, noise = parameters()
    law = dist.GroupedNormalNormal(loc, scale, noise, GROUPS)
    value, means = law.sample((3,)), torch.randn(4).double()
    likelihood = dist.Normal(means[GROUPS], noise).log_prob(value).sum(-1)
    prior = dist.Normal(loc, scale).log_prob(means).sum()
    posterior = law.get_posterior(value).log_prob(means).sum(-1)
    assert_close(law.log_prob(value) + posterior, prior + likelihood)


def test_draws_have_the_moments_of_the_dense_law() -> None:
    loc, scale, noise = parameters()
    draws = dist.GroupedNormalNormal(loc, scale, noise, GROUPS).sample((4000,))
    _, mean, covariance = joint(loc, scale, noise)
    assert_mean(draws, mean)
    distance = draws - mean
    assert_mean(distance[:, :, None] * distance[:, None, :], covariance)


def test_batches_and_one_scale_for_all() -> None:
    loc, scale, noise = parameters()
    law = dist.GroupedNormalNormal(torch.stack([loc, -loc]), scale[:1], noise[0], GROUPS)
    assert law.batch_shape == (2,) and law.event_shape == (6,)
    value = law.sample((5,))
    second = dist.GroupedNormalNormal(-loc, scale[0].expand(4), noise[0].expand(6), GROUPS)
    assert_close(law.log_prob(value)[:, 1], second.log_prob(value[:, 1]))
    assert_close(law.get_posterior(value).loc[:, 1], second.get_posterior(value[:, 1]).loc)
    shapes = dist.GroupedNormalNormal.infer_shapes((2, 4), (1,), (), (6,))
    assert shapes == (law.batch_shape, law.event_shape)


@pytest.mark.parametrize(
    "loc, groups, fact",
    [
        (torch.zeros(()), GROUPS, "need a dimension for the groups"),
        (torch.zeros(3), GROUPS, "has numbers from 0 to 3, but .* tell of groups 0 to 2"),
        (torch.zeros(4), GROUPS - 1, "has numbers from -1 to 2"),
        (torch.zeros(4), GROUPS[None], r"has shape \(1, 6\) and dtype torch.int64, expected a vec"),
        (torch.zeros(4), GROUPS.float(), "dtype torch.float32, expected a vector of integers"),
    ],
)
def test_groups_that_there_are_not(loc: Tensor, groups: Any, fact: str) -> None:
    scale = torch.tensor(1.0)
    with pytest.raises(ValueError, match=f"GroupedNormalNormal: .*{fact}"):
        dist.GroupedNormalNormal(loc, scale, scale, groups)
