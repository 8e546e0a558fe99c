"""Matchings as laws: normalisers, modes, errors."""

import itertools
from typing import Any

import pytest
import torch

import pyro.distributions as dist
from pyro.distributions import one_one_matching, one_two_matching
from pyro.distributions.one_one_matching import OneOneMatchingConstraint
from pyro.distributions.one_two_matching import OneTwoMatchingConstraint
from tests.helpers import assert_close

LAWS: list[tuple[Any, int]] = [(dist.OneOneMatching, 1), (dist.OneTwoMatching, 2)]


def some_logits(capacity: int, size: int = 3) -> torch.Tensor:
    return torch.randn(capacity * size, size, dtype=torch.float64)


def test_the_normaliser_is_a_permanent() -> None:
    logits = some_logits(1, 4)
    products = [
        sum(logits[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(4))
    ]
    law = dist.OneOneMatching(logits)
    assert_close(law.log_partition_function, torch.stack(products).logsumexp(0))


def test_two_places_of_one_destination_are_two_destinations_up_to_order() -> None:
    logits = some_logits(2)
    twice = dist.OneOneMatching(logits.repeat_interleave(2, -1)).log_partition_function
    expected = twice - 3 * torch.tensor(2.0, dtype=torch.float64).log()
    assert_close(dist.OneTwoMatching(logits).log_partition_function, expected)


@pytest.mark.parametrize("law, capacity", LAWS)
def test_the_mode_is_the_likeliest(law: Any, capacity: int) -> None:
    logits = torch.stack([some_logits(capacity), some_logits(capacity)])
    matching = law(logits)
    listed = matching.enumerate_support()
    best = matching.log_prob(listed).argmax(0)
    assert torch.equal(matching.mode(), listed[best, [0, 1]])
    module = one_one_matching if capacity == 1 else one_two_matching
    assert torch.equal(module.maximum_weight_matching(logits), matching.mode())


@pytest.mark.parametrize("law, capacity", LAWS)
def test_belief_propagation_approximates_the_normaliser_alone(law: Any, capacity: int) -> None:
    logits = some_logits(capacity)
    exact, approximate = law(logits), law(logits, bp_iters=50)
    assert exact.log_partition_function > approximate.log_partition_function
    value = approximate.sample()
    shift = exact.log_partition_function - approximate.log_partition_function
    assert_close(approximate.log_prob(value) - exact.log_prob(value), shift)
    assert torch.equal(exact.mode(), approximate.mode())
    assert approximate.expand([2]).bp_iters == 50


@pytest.mark.parametrize("law, capacity", LAWS)
def test_the_gradient_is_pairs_less_their_mean(law: Any, capacity: int) -> None:
    logits = some_logits(capacity).requires_grad_()
    matching = law(logits)
    with torch.no_grad():
        matching.log_partition_function  # noqa: B018  (kept with its graph all the same)
    value = matching.sample()
    (gradient,) = torch.autograd.grad(matching.log_prob(value), logits)
    listed = matching.enumerate_support()
    pairs = torch.nn.functional.one_hot(listed, 3).double()
    mean = (matching.log_prob(listed).detach().exp()[:, None, None] * pairs).sum(0)
    assert_close(gradient, torch.nn.functional.one_hot(value, 3) - mean)


def test_enumeration_of_two_to_one() -> None:
    assert one_two_matching.enumerate_one_two_matchings(1).tolist() == [[0, 0]]
    assert one_two_matching.enumerate_one_two_matchings(3).shape == (90, 6)


def test_too_many_sources() -> None:
    one = dist.OneOneMatching(torch.zeros(30, 30))
    with pytest.raises(ValueError, match="too many matchings of 30 sources .* bp_iters=20"):
        one.log_prob(one.mode())
    with pytest.raises(NotImplementedError, match="draws matchings of up to 20 sources"):
        one.sample()
    two = dist.OneTwoMatching(torch.zeros(40, 20), bp_iters=20)
    assert two.log_prob(two.mode()).isfinite()
    with pytest.raises(NotImplementedError, match="draws matchings of up to 24 sources"):
        two.sample()


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"OneOneMatching: 'logits' has shape \(2, 3\), expected"):
        dist.OneOneMatching(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"OneTwoMatching: .* expected \(..., 2 \* size, size\)"):
        dist.OneTwoMatching(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="'bp_iters' is 0, expected at least 1, or None"):
        dist.OneOneMatching(torch.zeros(2, 2), bp_iters=0)
    assert not OneOneMatchingConstraint(3).check(torch.zeros(5, 2)).any()
    assert not OneTwoMatchingConstraint(3).check(torch.zeros(5, 3)).any()
