"""Spanning trees: sums, draws and maxima against all trees of small graphs."""

import math

import pytest
import torch

from pyro.ops import trees
from tests.helpers import assert_close, assert_fits_probabilities

SIZES = range(2, 7)


def some_logits(vertices: int, spread: float = 2.0) -> torch.Tensor:
    return spread * torch.randn(vertices * (vertices - 1) // 2, dtype=torch.float64)


def masses(logits: torch.Tensor, vertices: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the edges' positions and the probability of each tree, by enumeration."""
    place = trees.position(trees.enumerate_all(vertices))
    return place, logits[place].sum(-1).softmax(0)


@pytest.mark.parametrize("vertices", SIZES)
def test_all_trees_are_listed_once(vertices: int) -> None:
    listed = trees.enumerate_all(vertices)
    assert listed.shape == (vertices ** (vertices - 2), vertices - 1, 2)
    assert len({str(tree) for tree in listed.tolist()}) == len(listed)
    kept = torch.ones(listed.shape[:-1], dtype=torch.bool)
    assert (trees.components(listed, kept, vertices) == 0).all()
    assert torch.equal(trees.in_order(listed.flip(-1, -2)), listed)


def test_there_is_one_tree_on_one_vertex() -> None:
    none = torch.zeros(0)
    assert trees.num_vertices_of(0) == 1
    assert trees.enumerate_all(1).shape == (1, 0, 2)
    assert_close(trees.log_sum(none), 0.0)
    assert trees.draw(none).shape == trees.best(none).shape == (0, 2)
    assert trees.edge_probabilities(none).shape == (0,)


@pytest.mark.parametrize("edges", [2, 4, 5, 7])
def test_numbers_of_edges_that_no_complete_graph_has(edges: int) -> None:
    with pytest.raises(ValueError, match=f"has 1, 3, 6, 10, ... edges, .* but not {edges}"):
        trees.num_vertices_of(edges)


def test_edges_stand_where_they_are_found() -> None:
    assert torch.equal(trees.position(trees.complete_graph(7).mT), torch.arange(21))


@pytest.mark.parametrize("vertices", SIZES)
def test_sums_and_probabilities_are_those_of_all_trees(vertices: int) -> None:
    logits = some_logits(vertices)
    place, probabilities = masses(logits, vertices)
    assert_close(trees.log_sum(logits), logits[place].sum(-1).logsumexp(0))
    there = torch.nn.functional.one_hot(place, len(logits)).sum(1).double()
    assert_close(trees.edge_probabilities(logits), probabilities @ there)
    assert torch.equal(place[probabilities.argmax()], trees.position(trees.best(logits)))


def test_the_sum_is_a_determinant() -> None:
    logits = some_logits(12)
    weights = trees.as_matrix(logits).exp()
    laplacian = weights.sum(-1).diag() - weights
    assert_close(trees.log_sum(logits), laplacian[1:, 1:].logdet())


def test_a_determinant_and_an_elimination_agree() -> None:
    """A batch is eliminated if one of its graphs has weights that are far apart."""
    logits = (8.0 * torch.rand(30 * 29 // 2, dtype=torch.float64)).clamp(max=7.9)
    both = torch.stack([logits, 10 * logits])
    # with ten digits: the determinant's rounding grows with the ratio of weights
    assert_close(trees.log_sum(logits), trees.log_sum(both)[0], rtol=1e-10)
    alone, batched = trees.edge_probabilities(logits), trees.edge_probabilities(both)[0]
    assert_close(alone, batched, atol=1e-10)


def test_weights_as_far_apart_as_numbers_go() -> None:
    """All but the largest tree weigh nothing: then the sum is its weight, to the last digits."""
    logits = 1e6 * some_logits(9)
    best = trees.position(trees.best(logits))
    assert_close(trees.log_sum(logits), logits[best].sum())
    expected = torch.zeros_like(logits).index_fill(0, best, 1.0)
    assert_close(trees.edge_probabilities(logits), expected)
    assert torch.equal(trees.position(trees.draw(logits)), best)


def test_missing_edges_have_no_tree_and_no_gradient() -> None:
    logits = torch.tensor([0.5, -math.inf, -0.3], dtype=torch.float64)
    assert_close(trees.log_sum(logits), 0.2)
    assert_close(trees.edge_probabilities(logits), [1.0, 0.0, 1.0])
    assert trees.draw(logits, torch.Size([20])).eq(torch.tensor([[0, 1], [1, 2]])).all()


def test_probabilities_have_gradients() -> None:
    logits = some_logits(5).requires_grad_()
    assert torch.autograd.gradcheck(trees.log_sum, logits)
    assert torch.autograd.gradcheck(trees.edge_probabilities, logits)


def which_tree(drawn: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    return (trees.position(drawn)[:, None] == place).all(-1).int().argmax(-1)


def test_draws_have_the_probabilities_of_trees() -> None:
    logits = some_logits(4, 1.0)
    place, probabilities = masses(logits, 4)
    drawn = trees.draw(logits, torch.Size([8000]))
    assert_fits_probabilities(which_tree(drawn, place), probabilities)


def test_edges_are_drawn_as_often_as_they_should_be() -> None:
    logits = torch.stack([some_logits(9), some_logits(9)])
    place = trees.position(trees.draw(logits, torch.Size([2000])))
    there = torch.nn.functional.one_hot(place, 36).sum(-2).double()
    mean = trees.edge_probabilities(logits)
    error = (mean * (1 - mean) / 2000).sqrt()
    assert ((there.mean(0) - mean).abs() <= 4.5 * error + 1e-12).all()


def test_a_step_of_the_chain_leaves_the_law_as_it_is() -> None:
    logits = some_logits(4, 1.0)
    place, probabilities = masses(logits, 4)
    start = trees.enumerate_all(4)[probabilities.multinomial(8000, True)]
    moved = trees.resample_edges(logits, start)
    assert (moved != start).any()
    assert_fits_probabilities(which_tree(moved, place), probabilities)


def test_a_long_chain_reaches_the_law_from_anywhere() -> None:
    logits = some_logits(4, 1.0)
    place, probabilities = masses(logits, 4)
    chain = trees.enumerate_all(4)[:1].expand(4000, 3, 2)
    for _ in range(8):
        chain = trees.resample_edges(logits, chain)
    assert_fits_probabilities(which_tree(chain, place), probabilities)
