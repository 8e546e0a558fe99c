"""Logistic laws: symmetric, skew, and cut into ordered choices."""

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from tests.helpers import assert_close, assert_fits_probabilities

DOUBLE = torch.float64
ASYMMETRIES = torch.tensor([0.05, 0.4, 1.0, 2.5, 40.0], dtype=DOUBLE)


def skew() -> Any:
    return dist.SkewLogistic(torch.tensor(0.5, dtype=DOUBLE), 2.0, ASYMMETRIES)


def scipys() -> Any:
    return stats.genlogistic(ASYMMETRIES.numpy(), 0.5, 2.0)


def test_moments_of_the_skew_law_are_scipys() -> None:
    mean, variance = map(torch.as_tensor, scipys().stats("mv"))
    assert_close(skew().mean, mean, rtol=1e-9)
    assert_close(skew().variance, variance, rtol=1e-9)
    assert_close(skew().entropy(), torch.as_tensor(scipys().entropy()), rtol=1e-6)


def test_moments_of_the_symmetric_law_are_those_of_the_skew_one_without_skew() -> None:
    law = dist.Logistic(torch.tensor(0.5, dtype=DOUBLE), 2.0)
    assert_close(law.mean, skew().mean[2])
    assert_close(law.variance, skew().variance[2])
    assert_close(law.entropy(), skew().entropy()[2])
    x = torch.linspace(-9.0, 9.0, 7, dtype=DOUBLE)
    assert_close(law.log_prob(x), skew().log_prob(x[:, None])[:, 2])
    assert_close(law.cdf(x), skew().cdf(x[:, None])[:, 2])


def test_quantiles_undo_the_distribution_function() -> None:
    level = torch.tensor([1e-12, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-9], dtype=DOUBLE)[:, None]
    x = skew().icdf(level)
    assert_close(x, torch.as_tensor(scipys().ppf(level.numpy())), rtol=1e-6)
    assert_close(skew().cdf(x), level.expand(6, 5), rtol=1e-9)
    law = dist.Logistic(torch.tensor(0.5, dtype=DOUBLE), 2.0)
    assert_close(law.cdf(law.icdf(level)), level, rtol=1e-9)


@pytest.mark.parametrize("asymmetry", [None, 0.3, 4.0])
def test_tails_fall_off_as_they_should_in_single_precision(asymmetry: float | None) -> None:
    power = asymmetry or 1.0
    law = dist.Logistic(0.0, 1.0) if asymmetry is None else dist.SkewLogistic(0.0, 1.0, asymmetry)
    z = torch.tensor([-1e3, -100.0, 100.0, 1e3], requires_grad=True)
    result = law.log_prob(z)
    slope = torch.tensor([power, power, -1.0, -1.0])
    assert_close(result, math.log(power) + slope * z.detach(), rtol=1e-6)
    assert_close(torch.autograd.grad(result.sum(), z)[0], slope)


def exact_probabilities(predictor: float, cutpoints: list[float]) -> Tensor:
    """Differences of distribution functions, each from the tail in which it does not cancel."""
    bounds = [-math.inf, *(c - predictor for c in cutpoints), math.inf]
    pairs = zip(bounds, bounds[1:], strict=False)
    odds = torch.tensor(list(pairs), dtype=DOUBLE)
    low, high = odds.unbind(-1)
    right = low > 0
    masses = torch.where(
        right, (-low).sigmoid() - (-high).sigmoid(), high.sigmoid() - low.sigmoid()
    )
    return masses


@pytest.mark.parametrize("predictor", [-300.0, -30.0, -1.0, 0.3, 4.0, 300.0])
def test_ordered_choices_are_intervals_of_a_logistic_variable(predictor: float) -> None:
    cutpoints = [-1.0, 0.5, 0.501, 6.0]
    expected = exact_probabilities(predictor, cutpoints).log()
    double = dist.OrderedLogistic(predictor, torch.tensor(cutpoints, dtype=DOUBLE))
    assert_close(double.logits, expected, rtol=1e-11)
    single = dist.OrderedLogistic(predictor, torch.tensor(cutpoints))
    # 0.501 - 0.5 in single precision has five digits
    assert_close(single.log_prob(torch.arange(5)), expected, rtol=1e-5, atol=4e-5)
    assert_close(single.probs.sum(), 1.0)


def test_ordered_choices_have_gradients_far_out() -> None:
    predictor = torch.tensor([-200.0, 200.0], requires_grad=True)
    cutpoints = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    scored = dist.OrderedLogistic(predictor, cutpoints).log_prob(torch.tensor([3, 0]))
    slopes = torch.autograd.grad(scored.sum(), [predictor, cutpoints])
    assert_close(slopes[0], [1.0, -1.0])
    assert_close(slopes[1], [1.0, 0.0, -1.0])


def test_ordered_choices_are_drawn_and_enumerated_as_any_choice() -> None:
    law = dist.OrderedLogistic(torch.tensor(0.3), torch.tensor([-1.0, 0.5, 2.0]))
    assert isinstance(law, dist.Categorical)
    draws = law.sample((4000,))
    assert_fits_probabilities(draws, law.probs)
    hidden = torch.where(dist.Logistic(0.3, 1.0).sample((4000, 1)) > law.cutpoints, 1, 0).sum(-1)
    assert_fits_probabilities(hidden, law.probs)
    assert law.enumerate_support().tolist() == [0, 1, 2, 3]


def test_shapes_of_ordered_choices_broadcast() -> None:
    cutpoints = torch.tensor([[0.0, 1.0], [1.0, 2.0]])
    law = dist.OrderedLogistic(torch.zeros(3, 1), cutpoints)
    assert law.batch_shape == (3, 2) and law.cutpoints.shape == (3, 2, 2)
    assert law.expand([4, 3, 2]).predictor.shape == (4, 3, 2)
    assert_close(law.probs[0, 1, 0], torch.tensor(1.0).sigmoid())
    with pytest.raises(ValueError, match="'cutpoints' must be a tensor with a dimension"):
        dist.OrderedLogistic(torch.tensor(0.0), torch.tensor(1.0))
