"""Assignments: sums, draws and maxima against all of them, SciPy, and Bethe's variational form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from pyro.ops.assignments import best, bethe_log_sum, can_sum, draw, enumerate_all, log_sum
from tests.helpers import assert_close, assert_fits_probabilities

SHAPES = [(1, 1), (2, 1), (5, 1), (1, 2), (2, 2), (3, 2), (2, 3)]


def some_logits(destinations: int, capacity: int) -> Tensor:
    return torch.randn(capacity * destinations, destinations, dtype=torch.float64)


def weights_of_all(logits: Tensor, capacity: int) -> Tensor:
    listed = enumerate_all(logits.size(-1), capacity)
    return logits[torch.arange(len(logits)), listed].sum(-1)


def factorial(n: int) -> int:
    return int(np.prod(np.arange(1, n + 1)))


@pytest.mark.parametrize("destinations, capacity", SHAPES)
def test_all_assignments_are_listed_once(destinations: int, capacity: int) -> None:
    listed = enumerate_all(destinations, capacity)
    count = factorial(destinations * capacity) // factorial(capacity) ** destinations
    assert len({tuple(row) for row in listed.tolist()}) == len(listed) == count
    full = torch.arange(destinations).repeat_interleave(capacity)
    assert (listed.sort(-1).values == full).all()


@pytest.mark.parametrize("destinations, capacity", SHAPES)
def test_sums_and_maxima_are_those_of_all(destinations: int, capacity: int) -> None:
    logits = some_logits(destinations, capacity)
    weights = weights_of_all(logits, capacity)
    assert_close(log_sum(logits, capacity), weights.logsumexp(0))
    listed = enumerate_all(destinations, capacity)
    assert torch.equal(best(logits, capacity), listed[weights.argmax()])


@pytest.mark.parametrize("capacity", [1, 2])
def test_gradients_of_sums_are_probabilities_of_pairs(capacity: int) -> None:
    logits = some_logits(3, capacity).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_sum(x, capacity), logits)
    (pairs,) = torch.autograd.grad(log_sum(logits, capacity), logits)
    assert_close(pairs.sum(-1), torch.ones(len(logits), dtype=torch.float64))
    assert_close(pairs.sum(-2), torch.full((3,), float(capacity), dtype=torch.float64))


def test_batches() -> None:
    logits = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    functions: list[Callable[[Tensor], Tensor]] = [
        lambda x: log_sum(x, 1),
        lambda x: bethe_log_sum(x, 1, 9),
        lambda x: best(x, 1),
    ]
    for function in functions:
        one_by_one = torch.stack([function(x) for x in logits.flatten(0, 1)])
        assert_close(function(logits).flatten(0, 1), one_by_one)
    assert draw(logits, 1, (5,)).shape == (5, 2, 3, 4)


@pytest.mark.parametrize("destinations, capacity", [(3, 1), (4, 1), (2, 2)])
def test_draws_have_the_probabilities_of_assignments(destinations: int, capacity: int) -> None:
    logits = some_logits(destinations, capacity)
    listed = enumerate_all(destinations, capacity)
    drawn = draw(torch.stack([logits, -logits]), capacity, (5000,))
    for values, scores in zip(drawn.unbind(1), (logits, -logits), strict=True):
        which = (values[:, None] == listed).all(-1).int().argmax(-1)
        assert_fits_probabilities(which, weights_of_all(scores, capacity).softmax(0))


def test_what_is_impossible_is_never_drawn_and_has_no_gradient() -> None:
    logits = some_logits(4, 1)
    logits[0, 1:] = -torch.inf
    rest = logits[1:, 1:].clone().requires_grad_()
    logits = logits.requires_grad_()
    for total in (lambda x: log_sum(x, 1), lambda x: bethe_log_sum(x, 1, 100)):
        whole = total(logits)
        assert_close(whole, (total(rest) + logits[0, 0]).detach())
        (gradient,) = torch.autograd.grad(whole, logits)
        assert_close(gradient[0], [1.0, 0.0, 0.0, 0.0], atol=1e-5)
    assert (draw(logits, 1, (50,))[:, 0] == 0).all()
    assert best(logits, 1)[0] == 0


def test_the_best_assignment_is_scipys() -> None:
    for size in (7, 40):
        logits = torch.randn(size, size, dtype=torch.float64)
        _, columns = optimize.linear_sum_assignment(-logits.numpy())
        assert torch.equal(best(logits, 1), torch.as_tensor(columns))


def test_equal_scores_are_no_trouble_for_the_best_assignment() -> None:
    assert best(torch.zeros(6, 3), 2).bincount().tolist() == [2, 2, 2]
    assert best(torch.full((3, 3), -torch.inf), 1).sort().values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [2, 3, 5, 30])
def test_the_bethe_permanent_of_ones(size: int) -> None:
    """Its beliefs are 1/n, so it is n^n (1 - 1/n)^(n (n - 1)) (Vontobel 2013)."""
    expected = size * np.log(size) + size * (size - 1) * np.log1p(-1 / size)
    assert_close(bethe_log_sum(torch.zeros(size, size, dtype=torch.float64), 1, 60), expected)


def balanced(free: Tensor) -> Tensor:
    """Return the doubly stochastic matrix that scaling rows and columns of exp(free) leads to."""
    for _ in range(200):
        free = free - free.logsumexp(1, True)
        free = free - free.logsumexp(0, True)
    return free.exp()


def test_messages_lead_to_the_largest_bethe_free_entropy() -> None:
    """It is concave over doubly stochastic matrices (Vontobel 2013), where it is maximised here."""
    logits = some_logits(4, 1)
    free = logits.clone().requires_grad_()
    climber = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        climber.zero_grad()
        pairs = balanced(free)
        rest = 1 - pairs
        value = torch.xlogy(pairs, pairs).sum() - (pairs * logits).sum()
        value = value - torch.xlogy(rest, rest).sum()
        value.backward()
        return value

    climber.step(loss)
    scores = logits.clone().requires_grad_()
    found = bethe_log_sum(scores, 1, 200)
    assert_close(found, -loss().detach(), atol=1e-8)
    (pairs,) = torch.autograd.grad(found, scores)
    assert_close(pairs, balanced(free), atol=1e-4)  # as flat as a maximum is
    exact = log_sum(logits, 1)
    assert exact - 2 * np.log(2) < found < exact  # within 2^(n/2) (Anari and Rezaei 2019)


def test_the_bethe_approximation_is_exact_where_pairs_make_no_cycle() -> None:
    """Sources 0 to 2 can only go to destination 0 or one of their own: a tree of pairs."""
    for capacity in (1, 2):
        logits = torch.full((3 * capacity, 3), -torch.inf, dtype=torch.float64)
        own = torch.arange(3).repeat_interleave(capacity)
        logits[torch.arange(3 * capacity), own] = torch.randn(3 * capacity, dtype=torch.float64)
        logits[0, 2] = 0.7
        assert_close(bethe_log_sum(logits, capacity, 50), log_sum(logits, capacity), atol=1e-9)


def test_what_is_too_much_to_sum() -> None:
    assert can_sum(20, 1) and not can_sum(21, 1)
    assert can_sum(12, 2) and not can_sum(13, 2)
