"""Draws agree with the density: counts in cells, and means of bounded functions."""

import math
from typing import Any

import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.integration import Nodes, nodes_of
from tests.distributions.table import some
from tests.helpers import MAX_Z, MIN_P_VALUE

COUNT = 4000


def assert_counts_fit(counts: Tensor, probabilities: Tensor) -> None:
    """Pearson's test of one entry of a batch, with false-alarm rate ``MIN_P_VALUE``.

    Cells in which fewer than five are expected are pooled into one.
    """
    assert not counts[probabilities == 0].any(), "a draw has probability zero"
    common = COUNT * probabilities >= 5
    rare = 1 - probabilities[common].sum().clamp(max=1)
    expected = torch.cat([probabilities[common], rare[None]])
    seen = torch.cat([counts[common], (COUNT - counts[common].sum())[None]]).double()
    if COUNT * rare < 5:  # too few to be tested, so that they count among the others
        assert seen[-1] <= 40, "draws have next to no probability"
        expected, seen = expected[:-1], seen[:-1]
    if len(seen) > 1:
        expected = expected / expected.sum() * seen.sum()
        assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue >= MIN_P_VALUE


def cells(law: Any, nodes: Nodes) -> tuple[Tensor, Tensor]:
    """Return ends of about 30 cells of even probability, and their probabilities."""
    assert nodes.edges is not None
    edges = nodes.edges.reshape(len(nodes.edges), -1)
    masses = nodes.masses(law).reshape(len(edges) - 1, -1, edges.size(-1)).sum(1)
    below = torch.cat([torch.zeros_like(masses[:1]), masses.cumsum(0)])
    wanted = torch.linspace(0, 1, 31, dtype=torch.float64)[1:-1, None].expand(-1, edges.size(-1))
    where = torch.searchsorted(below.T.contiguous(), wanted.T.contiguous()).T
    where = where.clamp(max=len(edges) - 1)
    return edges.gather(0, where), below.gather(0, where)


def check_cells(law: Any, nodes: Nodes) -> None:
    draws = law.sample((COUNT,)).reshape(COUNT, -1)
    ends, below = cells(law, nodes)
    assert (ends.diff(dim=0) > 0).sum() >= 8 * ends.size(-1), "too few cells"
    for entry in range(draws.size(-1)):
        distinct = torch.cat([torch.tensor([True]), below[:, entry].diff() > 0])
        inner, shares = ends[distinct, entry].contiguous(), below[distinct, entry]
        where = torch.bucketize(draws[:, entry].contiguous(), inner)
        bounds = torch.cat([torch.zeros(1), shares, torch.ones(1)])
        assert_counts_fit(torch.bincount(where, minlength=len(inner) + 1), bounds.diff())


def check_listed(law: Any, nodes: Nodes) -> None:
    size = law.event_shape.numel()
    draws = law.sample((COUNT,)).reshape(COUNT, -1, size)
    values = nodes.values.reshape(len(nodes.values), -1, size)
    masses = nodes.masses(law).reshape(len(values), -1)
    for entry in range(draws.size(1)):
        hits = (draws[:, None, entry] == values[:, entry]).all(-1)
        assert_counts_fit(hits.sum(0), masses[:, entry])


def features(
    law: Any, values: Tensor, spread: Tensor, count: int = 12, shape: Any = torch.cos
) -> Tensor:
    """Return functions of values between -1 and 1, of one shape across random directions."""
    generator = torch.Generator().manual_seed(11)
    size = max(1, law.event_shape.numel())
    ways = torch.randn(size, count, generator=generator, dtype=torch.float64)
    shift = torch.randn(count, generator=generator, dtype=torch.float64)
    flat = values.reshape(*values.shape[: values.dim() - law.event_dim], size).double()
    result: Tensor = shape((flat / spread) @ ways + shift)
    return result


def typical_size(law: Any) -> Tensor:
    """Return how large the entries of an event are, as the median over draws."""
    draws = law.sample((200,)).double().abs()
    draws = draws.reshape(-1, max(1, law.event_shape.numel()))
    return draws.median(0).values.clamp(min=0.1)


def check_features(law: Any, nodes: Nodes) -> None:
    """Compare means of bounded functions: 7e-6 a function, fewer where the integral is sampled."""
    spread = typical_size(law)
    mean, error = nodes.expectation(law, lambda x: features(law, x, spread))
    square, _ = nodes.expectation(law, lambda x: features(law, x, spread) ** 2)
    count = COUNT if nodes.share is not None else 10 * COUNT  # that the integrals err more
    drawn = features(law, law.sample((count,)), spread).mean(0)
    deviation = (square - mean**2).clamp(min=0).sqrt()
    room = MAX_Z * deviation / math.sqrt(count) + error + 1e-9
    assert ((drawn - mean).abs() <= room).all()


@some(Example.is_proper)
def test_draws_follow_the_density(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    if law.support.is_discrete:
        check_listed(law, nodes)
    elif nodes.edges is not None:
        check_cells(law, nodes)
    else:
        check_features(law, nodes)


@some(Example.is_proper)
def test_expanded_laws_draw_alike(example: Example) -> None:
    """Draws along a stretched batch are independent and follow the density too."""
    law = example.make(torch.float64)
    spread = typical_size(law)
    wide = law.expand_by([COUNT, 1]).expand(torch.Size([COUNT, 2]) + law.batch_shape)
    first, second = features(law, wide.sample(), spread).unbind(1)
    if isinstance(law, (dist.Delta, dist.Unit)):
        return
    spread_of_difference = (first - second).std(0) / math.sqrt(COUNT)
    assert ((first - second).mean(0).abs() <= MAX_Z * spread_of_difference + 1e-12).all()
    product = (first - first.mean(0)) * (second - second.mean(0))
    assert (product.mean(0).abs() <= MAX_Z * product.std(0) / math.sqrt(COUNT) + 1e-12).all()
