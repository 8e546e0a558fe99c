"""Spanning trees as a law: its normaliser, edges, options and errors."""

import math
from typing import Any

import pytest
import torch

import pyro
import pyro.distributions as dist
from pyro.distributions.spanning_tree import (
    SpanningTreeConstraint,
    enumerate_spanning_trees,
    find_best_tree,
    make_complete_graph,
    sample_tree,
    sample_tree_approx,
    sample_tree_mcmc,
)
from pyro.infer import TraceEnum_ELBO
from pyro.ops.trees import position
from tests.helpers import assert_close, assert_fits_probabilities

LOGITS = torch.tensor([0.5, -1.0, 0.2, 1.0, 0.3, -0.4], dtype=torch.float64)


def test_edges_of_a_complete_graph() -> None:
    assert make_complete_graph(4).tolist() == [[0, 0, 1, 0, 1, 2], [1, 2, 2, 3, 3, 3]]


def test_the_trees_of_a_triangle() -> None:
    listed = enumerate_spanning_trees(3)
    assert listed == [((0, 1), (0, 2)), ((0, 1), (1, 2)), ((0, 2), (1, 2))]
    assert enumerate_spanning_trees(1) == [()]
    assert len(enumerate_spanning_trees(6)) == 6**4


def test_edge_means_are_those_of_enumeration() -> None:
    law = dist.SpanningTree(LOGITS)
    trees = law.enumerate_support()
    matrix = torch.zeros(len(trees), 4, 4, dtype=torch.float64)
    which = torch.arange(len(trees))[:, None]
    matrix[which, trees[..., 0], trees[..., 1]] = 1.0
    matrix = matrix + matrix.mT
    expected = (law.log_prob(trees).exp()[:, None, None] * matrix).sum(0)
    assert_close(law.edge_mean, expected)
    assert_close(law.log_partition_function, LOGITS[position(trees)].sum(-1).logsumexp(0))


def test_a_batch_of_graphs() -> None:
    logits = torch.randn(2, 3, 6, dtype=torch.float64)
    law = dist.SpanningTree(logits)
    assert law.batch_shape == (2, 3) and law.event_shape == (3, 2)
    one = dist.SpanningTree(logits[1, 2])
    assert_close(law.edge_mean[1, 2], one.edge_mean)
    assert torch.equal(law.mode[1, 2], one.mode)
    assert torch.equal(law.mode, find_best_tree(logits))


def test_the_gradient_of_the_density_is_edges_less_their_mean() -> None:
    logits = LOGITS.clone().requires_grad_()
    law = dist.SpanningTree(logits)
    with torch.no_grad():
        law.log_partition_function  # noqa: B018  (kept with its graph all the same)
    tree = law.sample()
    (gradient,) = torch.autograd.grad(law.log_prob(tree), logits)
    there = torch.zeros_like(LOGITS).index_fill(0, position(tree), 1.0)
    u, v = make_complete_graph(4)
    assert_close(gradient, there - law.edge_mean[u, v].detach())


@pytest.mark.parametrize(
    "draw",
    [
        lambda logits: sample_tree(logits),
        lambda logits: sample_tree_approx(logits),
        lambda logits: sample_tree_mcmc(logits, sample_tree(logits)),
        lambda logits: dist.SpanningTree(logits, {"mcmc_steps": 2, "backend": "cpp"}).sample(),
        lambda logits: sample_tree(logits, dist.SpanningTree(logits).mode, mcmc_steps=8),
    ],
)
def test_all_samplers_draw_from_the_law(draw: Any) -> None:
    law = dist.SpanningTree(LOGITS)
    listed = law.enumerate_support()
    drawn = draw(LOGITS.expand(3000, 6))
    which = (drawn[:, None] == listed).flatten(-2).all(-1).int().argmax(-1)
    assert_fits_probabilities(which, law.log_prob(listed).exp())


def test_a_chain_goes_on_from_where_it_is_told() -> None:
    start = torch.tensor([[0, 1], [0, 2], [0, 3]])
    law = dist.SpanningTree(LOGITS, {"init_edges": start, "mcmc_steps": 0})
    assert torch.equal(law.sample((2,)), start.expand(2, 3, 2))
    assert torch.equal(sample_tree(LOGITS, start, mcmc_steps=0), start)
    assert dist.SpanningTree(LOGITS, {"init_edges": start}).expand([4]).sample((2,)).shape == (
        (2, 4, 3, 2)
    )


def test_trees_are_summed_over_in_a_model() -> None:
    def model() -> None:
        tree = pyro.sample(
            "tree", dist.SpanningTree(torch.zeros(6)), infer={"enumerate": "parallel"}
        )
        pyro.factor("weight", LOGITS[position(tree)].sum(-1))

    expected = dist.SpanningTree(LOGITS).log_partition_function - math.log(16)
    loss = TraceEnum_ELBO(max_plate_nesting=0).loss(model, lambda: None)
    assert_close(loss, -float(expected), atol=1e-6)


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_both_backends_are_one(backend: str) -> None:
    assert make_complete_graph(3, backend).shape == (2, 3)
    assert torch.equal(find_best_tree(LOGITS, backend), find_best_tree(LOGITS))


def test_what_there_is_not() -> None:
    with pytest.raises(ValueError, match="There is no backend 'fortran': pass 'python'"):
        find_best_tree(LOGITS, backend="fortran")
    with pytest.raises(ValueError, match="There is no backend 'fortran'"):
        dist.SpanningTree(LOGITS, {"backend": "fortran"}).sample()
    with pytest.raises(TypeError, match="SpanningTree: sample_tree takes no option 'speed'"):
        dist.SpanningTree(LOGITS, {"speed": "high"})
    with pytest.raises(ValueError, match=r"has 1, 3, 6, 10, ... edges, .*, but not 5"):
        dist.SpanningTree(LOGITS[:5])
    with pytest.raises(ValueError, match="'edge_logits' is a vector"):
        dist.SpanningTree(torch.tensor(1.0))


@pytest.mark.parametrize(
    "edges, fact",
    [
        ([[0, 1], [1, 2]], r"has shape \(..., 3, 2\), but this has shape \(2, 2\)"),
        ([[0, 1], [2, 1], [2, 3]], "pairs u < v"),
        ([[0, 2], [0, 1], [2, 3]], "ordered by v and then u. Sort them with pyro.ops.trees.in_o"),
        ([[0, 1], [0, 2], [3, 4]], "of different vertices below 4"),
        ([[0, 1], [0, 2], [1, 2]], "have a cycle"),
    ],
)
def test_edges_that_make_no_tree(edges: list[list[int]], fact: str) -> None:
    law = dist.SpanningTree(LOGITS)
    law.validate_edges(law.sample((5,)))
    with pytest.raises(ValueError, match=f"SpanningTree: .*{fact}"):
        law.validate_edges(torch.tensor(edges))
    assert not SpanningTreeConstraint(4).check(torch.tensor(edges)).any()
