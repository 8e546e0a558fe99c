"""The law of weighted samples, in batches and of vectors."""

import math

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_probabilities

SAMPLES = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LOG_WEIGHTS = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_moments_are_weighted_means() -> None:
    law = dist.Empirical(SAMPLES, LOG_WEIGHTS)
    shares = LOG_WEIGHTS.exp() / LOG_WEIGHTS.exp().sum(-1, keepdim=True)
    assert (law.batch_shape, law.event_shape, law.sample_size) == ((3,), (2,), 4)
    mean = torch.einsum("bn,bnd->bd", shares, SAMPLES)
    square = torch.einsum("bn,bnd->bd", shares, SAMPLES**2)
    assert_close(law.mean, mean)
    assert_close(law.variance, square - mean**2)
    assert_close(law.enumerate_support(), SAMPLES.transpose(0, 1))
    assert law.log_weights is LOG_WEIGHTS


def test_equal_samples_add_their_weights() -> None:
    law = dist.Empirical(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.5, 0.2, 0.3]).log())
    values = torch.tensor([1.0, 2.0, 3.0])
    assert_close(law.log_prob(values), [math.log(0.5), math.log(0.5), -math.inf])


def test_a_batch_scores_each_element_by_its_own_samples() -> None:
    law = dist.Empirical(SAMPLES, LOG_WEIGHTS)
    values = law.enumerate_support()
    assert_close(law.log_prob(values), LOG_WEIGHTS.log_softmax(-1).t())
    assert_close(law.log_prob(SAMPLES[0, 0]).isinf(), torch.tensor([False, True, True]))


def test_draws_of_a_batch_follow_the_weights() -> None:
    law = dist.Empirical(SAMPLES, LOG_WEIGHTS)
    drawn = law.sample((5, 400))
    assert drawn.shape == (5, 400, 3, 2)
    hits = (drawn.reshape(-1, 3, 1, 2) == SAMPLES).all(-1)
    assert hits.sum(-1).eq(1).all()
    for chosen, log_weights in zip(hits.int().argmax(-1).t(), LOG_WEIGHTS, strict=True):
        assert_fits_probabilities(chosen, log_weights.exp())


def test_a_batch_expands() -> None:
    law = dist.Empirical(SAMPLES[:1], LOG_WEIGHTS[:1]).expand([5, 3])
    assert law.sample().shape == (5, 3, 2)
    assert_close(law.log_prob(SAMPLES[0, 1]), LOG_WEIGHTS[:1].log_softmax(-1)[0, 1].expand(5, 3))
    assert_close(law.mean, dist.Empirical(SAMPLES[0], LOG_WEIGHTS[0]).mean.expand(5, 3, 2))


def test_weights_have_gradients() -> None:
    log_weights = LOG_WEIGHTS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: dist.Empirical(SAMPLES, w).mean, [log_weights])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'log_weights' has shape \(5,\), expected the leftmost"):
        dist.Empirical(torch.zeros(4, 3), torch.zeros(5))
    with pytest.raises(ValueError, match="'log_weights' has shape"):
        dist.Empirical(torch.zeros(3), torch.zeros(()))


def test_samples_may_be_integers() -> None:
    law = dist.Empirical(torch.tensor([1, 2]), torch.zeros(2))
    assert law.sample().dtype == torch.int64
    assert_close((law.mean, law.variance), (1.5, 0.25))
    with pytest.raises(ValueError, match="must lie within the support"):
        law.log_prob(torch.tensor(1.5))
