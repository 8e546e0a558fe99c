"""Coalescent times: densities in closed form and by quadrature, draws, rates, phylogenies."""

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.distributions.coalescent import CoalescentTimesConstraint, bio_phylo_to_times
from pyro.infer.autoguide import AutoNormal
from pyro.ops.lineages import cumulative_rate, inverse_cumulative_rate
from tests.helpers import assert_close, assert_fits_cdf

LEAVES = torch.tensor([3.7, 2.5, 3.0, 0.8], dtype=torch.float64)
RATES = torch.tensor([0.5, 1.5, 0.7, 2.0], dtype=torch.float64)


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def slow_log_density(leaves: Tensor, times: Tensor, rate: Tensor) -> float:
    """Walk back in time from event to event, through the borders of intervals too."""

    def at(t: float) -> float:
        return float(rate[min(max(int(np.floor(t)), 0), len(rate) - 1)])

    borders = [float(i) for i in range(1, len(rate))]
    events = [(t, -1) for t in times.tolist()] + [(t, 1) for t in leaves.tolist()]
    events += [(t, 0) for t in borders]
    total, lineages, now = 0.0, 0, np.inf
    for t, change in sorted(events, key=lambda event: -event[0]):
        pairs = lineages * (lineages - 1) / 2
        if pairs:
            total -= pairs * at((t + now) / 2) * (now - t)
        if change < 0:
            total += np.log(pairs * at(t))
        lineages, now = lineages + change, t
    assert lineages == 1
    return total


def some_times(leaves: Tensor, count: int = 20) -> Iterator[Tensor]:
    yield from dist.CoalescentTimes(leaves, 0.4).sample((count,))


def test_densities_are_those_of_a_walk_back_in_time() -> None:
    law = dist.CoalescentTimes(LEAVES, 0.7)
    changing = dist.CoalescentTimesWithRate(LEAVES, RATES)
    for times in some_times(LEAVES):
        assert_close(law.log_prob(times), slow_log_density(LEAVES, times, double(0.7)))
        assert_close(changing.log_prob(times), slow_log_density(LEAVES, times, RATES))


def test_two_lineages_wait_exponentially() -> None:
    law = dist.CoalescentTimes(double(0.0, 1.0), 2.0)
    waits = double(0.1, 1.0, 3.0)
    assert_close(law.log_prob(-waits[:, None]), dist.Exponential(double(2.0)).log_prob(waits))


def test_three_lineages_wait_for_each_of_their_pairs() -> None:
    law = dist.CoalescentTimes(torch.zeros(3, dtype=torch.float64))
    first, second = dist.Exponential(double(3.0)), dist.Exponential(double(1.0))
    expected = first.log_prob(double(0.4)) + second.log_prob(double(0.9))
    assert_close(law.log_prob(double(-1.3, -0.4)), expected[0])


def panels(borders: list[float], end: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauss and Legendre between borders, as far as some ends."""
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(30))
    edges = torch.minimum(double(*borders), end[..., None])
    half = edges.diff(dim=-1)[..., None] / 2
    return (edges[..., :-1, None] + half * (nodes + 1)).flatten(-2), (half * weights).flatten(-2)


@pytest.mark.parametrize(
    "law",
    [
        dist.CoalescentTimes(double(1.0, 0.0, 0.3), 0.7),
        dist.CoalescentTimesWithRate(double(1.7, 0.6, 1.2), double(0.5, 2.0)),
    ],
)
def test_densities_integrate_to_one(law: Any) -> None:
    """Between the kinks, which are at leaves and where rates change."""
    leaves = law.leaf_times.sort().values
    borders = sorted({-60.0, -20.0, -6.0, -2.0, 0.0, 1.0, *leaves.tolist()})
    second, outer = panels(borders, leaves[1])
    first, inner = panels(borders, torch.minimum(second, leaves[0]))
    values = torch.stack([first, second[:, None].expand_as(first)], -1)
    inside = inner > 0
    values = values.where(inside[..., None], leaves[0] - double(2.0, 1.0))
    total = (law.log_prob(values).exp() * inside * inner * outer[:, None]).sum()
    assert_close(total, 1.0, atol=1e-9)


def test_the_rate_can_be_taken_out_of_time() -> None:
    law = dist.CoalescentTimes(LEAVES, 2.5)
    plain = dist.CoalescentTimes(LEAVES * 2.5)
    times = next(some_times(LEAVES))
    expected = plain.log_prob(times * 2.5) + 3 * np.log(2.5)
    assert_close(law.log_prob(times), expected)


def test_a_constant_grid_is_a_constant_rate() -> None:
    grid = dist.CoalescentTimesWithRate(LEAVES, torch.full((6,), 0.7, dtype=torch.float64))
    for times in some_times(LEAVES, 3):
        assert_close(grid.log_prob(times), dist.CoalescentTimes(LEAVES, 0.7).log_prob(times))


def test_cumulative_rates_and_back() -> None:
    times = torch.linspace(-2, 7, 37, dtype=torch.float64)
    level = cumulative_rate(RATES, times)
    assert_close(inverse_cumulative_rate(RATES, level), times)
    slopes = level.diff() / times.diff()
    cells = times[:-1].floor().clamp(0, 3).long()
    assert_close(slopes, RATES[cells])


def test_draws_wait_exponentially_at_the_rate_of_all_pairs() -> None:
    """The integral of the rate of meeting between meetings is exponential of rate 1."""
    for law in (dist.CoalescentTimes(LEAVES, 0.6), dist.CoalescentTimesWithRate(LEAVES, RATES)):
        draws = law.sample((1500,))
        assert law.support.check(draws).all()
        rate = RATES if isinstance(law, dist.CoalescentTimesWithRate) else double(0.6)
        for which in range(3):
            # the hazard from one meeting to the next one before it
            start = draws[:, which + 1] if which < 2 else torch.full((1500,), 4.0).double()
            hazard = torch.zeros(1500, dtype=torch.float64)
            events = LEAVES.sort(descending=True).values
            met = 2 - which
            for k, leaf in enumerate(events):
                until = events[k + 1] if k < 3 else torch.tensor(-torch.inf, dtype=torch.float64)
                high = torch.minimum(start, leaf)
                low = torch.maximum(draws[:, which], until)
                lineages = k + 1 - met
                span = (cumulative_rate(rate, high) - cumulative_rate(rate, low)).clamp(min=0.0)
                hazard = hazard + lineages * (lineages - 1) / 2 * span * (high > low)
            assert_fits_cdf(hazard, lambda x: torch.as_tensor(stats.expon.cdf(x.numpy())))


def test_draws_of_a_batch_have_rates_of_their_own() -> None:
    law = dist.CoalescentTimes(torch.zeros(2, dtype=torch.float64), double(0.5, 5.0))
    draws = law.sample((1000,))[..., 0]
    for times, rate in zip(draws.unbind(-1), (0.5, 5.0), strict=True):
        assert_fits_cdf(-times, lambda x, r=rate: torch.as_tensor(stats.expon.cdf(x, scale=1 / r)))


def test_likelihoods_of_rates_are_parts_of_the_density() -> None:
    for shift in (0.0, 2.0, -3.0):  # some of it beyond the grid
        for times in some_times(LEAVES, 5):
            leaves, times = LEAVES + shift, times + shift
            parts = dist.CoalescentRateLikelihood(leaves, times, 4)
            whole = dist.CoalescentTimesWithRate(leaves, RATES).log_prob(times)
            assert_close(parts(RATES).sum(-1), whole)
            chosen = torch.tensor([3, 1])
            assert_close(parts(RATES[chosen], chosen), parts(RATES)[chosen])
            assert_close(parts(RATES[1:3], slice(1, 3)), parts(RATES)[1:3])
            assert parts(RATES.expand(2, 5, 4)).shape == (2, 5, 4)


def test_likelihoods_of_rates_come_in_batches() -> None:
    times = torch.stack(list(some_times(LEAVES, 3)))
    parts = dist.CoalescentRateLikelihood(LEAVES.expand(3, 4), times, 4)
    whole = dist.CoalescentTimesWithRate(LEAVES, RATES).log_prob(times)
    assert_close(parts(RATES).sum(-1), whole)
    with pytest.raises(ValueError, match="must lie within the support CoalescentTimesConstraint"):
        dist.CoalescentRateLikelihood(LEAVES, LEAVES[:3], 4)


def test_gradients_of_rates() -> None:
    times = next(some_times(LEAVES))
    rates = RATES.clone().requires_grad_()
    parts = dist.CoalescentRateLikelihood(LEAVES, times, 4)
    assert torch.autograd.gradcheck(parts, rates)
    leaves = (LEAVES + 0.05).requires_grad_()  # off the ends of intervals, where there are kinks
    moved = times.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda ls, r, t: dist.CoalescentTimesWithRate(ls, r).log_prob(t), (leaves, rates, moved)
    )
    assert torch.autograd.gradcheck(
        lambda ls, t: dist.CoalescentTimes(ls, 0.7).log_prob(t), (leaves, moved)
    )


def test_times_in_any_order() -> None:
    disordered = CoalescentTimesConstraint(double(0.0, 1.0, 2.0), ordered=False)
    values = torch.tensor([[-1.0, 0.5], [0.5, -1.0], [0.5, 0.7], [-1.0, 1.5]])
    assert disordered.check(values).tolist() == [True, True, False, False]
    ordered = CoalescentTimesConstraint(double(0.0, 1.0, 2.0))
    assert ordered.check(values).tolist() == [True, False, False, False]


def test_times_have_free_coordinates() -> None:
    law = dist.CoalescentTimes(torch.stack([LEAVES, LEAVES.flip(0) + 1]), 0.7)
    transform = dist.biject_to(law.support)
    times = law.sample((5,))
    free = transform.inv(times)
    assert_close(transform(free), times)
    assert transform.codomain.check(transform(3 * torch.randn(500, 2, 3).double())).all()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: dist.biject_to(CoalescentTimesConstraint(LEAVES))(x), free[0, 0]
    )
    assert_close(jacobian.slogdet().logabsdet, transform.log_abs_det_jacobian(free, times)[0, 0])
    assert transform(torch.full((3,), 1e4).double()).isfinite().all()
    cached = transform.with_cache(1)
    assert_close(cached(free), times)
    assert cached.with_cache(1) is cached
    with pytest.raises(NotImplementedError, match="without ordered=True"):
        dist.biject_to(CoalescentTimesConstraint(LEAVES, ordered=False))


def test_a_guide_draws_possible_times() -> None:
    law = dist.CoalescentTimes(LEAVES.float())

    def model() -> None:
        pyro.sample("times", law)

    guide = AutoNormal(model)
    for _ in range(20):
        assert law.support.check(guide()["times"])


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="CoalescentTimes: 'leaf_times' has shape .* two leaves"):
        dist.CoalescentTimes(torch.zeros(1))
    with pytest.raises(ValueError, match="CoalescentTimesWithRate: 'leaf_times' has shape"):
        dist.CoalescentTimesWithRate(torch.zeros(()), torch.ones(3))
    with pytest.raises(ValueError, match=r"'rate_grid' has shape \(\), expected \(..., duration\)"):
        dist.CoalescentTimesWithRate(torch.zeros(3), torch.tensor(1.0))
    assert dist.CoalescentTimesWithRate(LEAVES, RATES).duration == 4


def clade(length: float | None, *clades: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(branch_length=length, clades=list(clades))


def test_times_of_a_phylogeny() -> None:
    inner = clade(0.5, clade(1.0), clade(2.0))
    tree = SimpleNamespace(root=clade(None, inner, clade(3.0)))
    leaves, meetings = bio_phylo_to_times(tree)
    assert_close(leaves, [2.5, 3.5, 4.0])
    assert_close(meetings, [1.0, 1.5])
    assert dist.CoalescentTimes(leaves).log_prob(meetings).isfinite()
    leaves, _ = bio_phylo_to_times(tree, get_time=lambda c: 7.0 if c is inner else len(c.clades))
    assert_close(leaves, [0.0, 0.0, 0.0])


def test_branches_that_meet_at_once_and_lengths_that_are_missing() -> None:
    fork = clade(None, clade(None), clade(None), clade(None))
    tree = SimpleNamespace(root=clade(None, clade(None), fork))
    leaves, meetings = bio_phylo_to_times(tree)
    assert_close(leaves, [2.0, 3.0, 3.0, 3.0])
    assert_close(meetings, [1.0, 2.0, 2.0])


def test_a_tree_of_biopython() -> None:
    phylo = pytest.importorskip("Bio.Phylo", reason="Biopython is not installed")
    tree = phylo.read(io.StringIO("((A:1.0,B:2.0):0.5,C:3.0);"), "newick")
    leaves, meetings = bio_phylo_to_times(tree)
    assert_close(leaves, [2.5, 3.5, 4.0])
    assert_close(meetings, [1.0, 1.5])
