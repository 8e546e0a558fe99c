"""Divergences, against the definition: the expectation of a difference of log densities."""

import math
import warnings
from typing import Any

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close, assert_mean

T = torch.tensor
N = dist.Normal


def kept(*values: bool) -> torch.Tensor:
    return T(values)


loc = T([0.3, -0.5])
p, q = N(loc, T([0.7, 1.2])), N(T([0.0, 1.0]), 2.0)
full = dist.MultivariateNormal(T([0.0, 1.0]), T([[1.5, 0.4], [0.4, 0.8]]))


@pytest.mark.parametrize(
    "p, q",
    [
        (p, q),
        (p.mask(True), q),
        (p.mask(False), q),
        (p, q.mask(False)),
        (p.mask(False), q.mask(False)),
        (p.mask(kept(True, False)), q.mask(kept(True, False))),
        (p.mask(kept(True, False)), q),
        (p, q.mask(kept(False, True))),
        (p.mask(kept(True, False)), q.mask(kept(False, True))),
        (p.mask(kept(True, False)), q.mask(True)),
        (dist.ExpandedDistribution(p, [3, 2]), q),
        (dist.ExpandedDistribution(p, [3, 2]), dist.ExpandedDistribution(q, [3, 2])),
        (p, dist.ExpandedDistribution(q, [3, 2])),
        (dist.ExpandedDistribution(p, [3, 2]), q.mask(kept(True, False))),
        (p.mask(kept(True, False)), dist.ExpandedDistribution(q, [3, 2])),
        (p.to_event(1), q.to_event(1)),
        (p.expand([3, 2]).to_event(2), q.to_event(1).expand([3]).to_event(1)),
        (p.expand([3, 2]).to_event(2), full.expand([3]).to_event(1)),
        (p.to_event(1), full),
        (full, q.to_event(1)),
        (dist.LogNormal(loc, 1.0), dist.LogNormal(0.0, 2.0)),
        (dist.Gamma(2.0, 3.0), dist.Exponential(1.0)),
        (dist.Beta(2.0, 3.0), dist.Uniform(0.0, 1.0)),
        (dist.Bernoulli(0.3), dist.Bernoulli(logits=0.5)),
        (dist.Categorical(T([0.2, 0.8])), dist.Categorical(T([0.5, 0.5]))),
        (dist.OneHotCategorical(T([0.2, 0.8])), dist.OneHotCategorical(T([0.5, 0.5]))),
        (dist.HalfNormal(1.0), dist.HalfNormal(2.0)),
        (dist.Gumbel(0.0, 1.0), dist.Gumbel(1.0, 2.0)),
        (dist.Pareto(2.0, 3.0), dist.Pareto(1.0, 2.0)),
    ],
    ids=lambda law: f"{type(law).__name__}",
)
def test_it_is_the_mean_of_the_difference(p: Any, q: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = dist.kl_divergence(p, q)
    value = p.expand(exact.shape).sample((20_000,))
    difference = p.expand(exact.shape).log_prob(value) - q.expand(exact.shape).log_prob(value)
    assert exact.shape == difference.shape[1:]
    if (difference == 0).all():
        assert (exact == 0).all()
    else:
        # a masked entry has neither error nor spread
        for index in range(exact.numel()):
            entry = difference.reshape(20_000, -1)[:, index].double()
            if entry.std() > 0:
                assert_mean(entry, exact.reshape(-1)[index].double())
            else:
                assert_close(entry[0].float(), exact.reshape(-1)[index], atol=1e-5)


def test_from_a_sure_value() -> None:
    sure = dist.Delta(loc, T([0.5, 0.0]))
    assert_close(dist.kl_divergence(sure, q), T([0.5, 0.0]) - q.log_prob(loc))
    masked = q.mask(kept(True, False))
    assert_close(dist.kl_divergence(sure, masked), T([0.5, 0.0]) - masked.log_prob(loc))
    event = dist.Delta(loc, event_dim=1)
    assert_close(dist.kl_divergence(event, full), -full.log_prob(loc))
    expanded = dist.kl_divergence(sure, dist.ExpandedDistribution(q, [3, 2]))
    assert expanded.shape == (3, 2)
    assert_close(dist.kl_divergence(sure.mask(False), sure.mask(False)), [0.0, 0.0])


def test_what_has_no_closed_form_says_so() -> None:
    with pytest.raises(NotImplementedError):
        dist.kl_divergence(N(0.0, 1.0), dist.Cauchy(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="MultivariateNormal"):
        dist.kl_divergence(dist.Gamma(loc.exp(), 1.0).to_event(1), full)


def test_the_value_of_a_normal_divergence() -> None:
    expected = math.log(2.0) + (1 + 1) / 8 - 0.5
    assert_close(dist.kl_divergence(N(0.0, 1.0), N(1.0, 2.0)), T(expected))
