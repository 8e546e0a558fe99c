"""Tests of significance: right where the truth is known, calibrated, and able to complain."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions.testing import gof, special
from tests.helpers import assert_close


def test_special_functions_are_scipys() -> None:
    for x in (0.0, 0.3, 2.0, 40.0):
        for s in (0.5, 2.0, 30.0):
            assert special.chi2sf(x, s) == pytest.approx(stats.chi2.sf(x, s), rel=1e-9)
            assert special.incomplete_gamma(x, s) == pytest.approx(stats.gamma.cdf(x, s), rel=1e-9)
    x = torch.tensor([0.3, 2.0], dtype=torch.float64)
    assert_close(special.chi2sf(x, 2.0), torch.exp(-x / 2))
    assert_close(special.chi2sf(1.0, 2 * x), torch.as_tensor(stats.chi2.sf(1.0, 2 * x)))
    assert special.chi2sf(-1.0, 2.0) == 1.0
    assert special.log(math.e) == 1.0 and special.log(0) == special.log(-1.0) == -math.inf


def test_counts_have_the_p_value_of_pearson() -> None:
    probs = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    counts = torch.tensor([18, 33, 49])
    expected = stats.chisquare(counts, 100 * probs).pvalue
    assert gof.multinomial_goodness_of_fit(probs, counts) == pytest.approx(expected, rel=1e-6)
    part = gof.multinomial_goodness_of_fit(probs[:2], counts[:2], total_count=100)
    assert part == pytest.approx(expected, rel=1e-6)


def test_small_cells_are_put_together() -> None:
    probs = torch.tensor([0.04, 0.03, 0.45, 0.05, 0.43])
    counts = torch.tensor([4, 2, 50, 6, 38])
    joined = stats.chisquare([12, 50, 38], [12, 45, 43]).pvalue
    assert gof.multinomial_goodness_of_fit(probs, counts) == pytest.approx(joined, rel=1e-5)
    with pytest.raises(gof.InvalidTest, match="15 samples are too few for two cells of 10"):
        gof.multinomial_goodness_of_fit(torch.ones(3) / 3, torch.tensor([5, 5, 5]))


def test_what_cannot_be_has_probability_zero() -> None:
    assert (
        gof.multinomial_goodness_of_fit(torch.tensor([0.5, 0.5, 0]), torch.tensor([30, 30, 1])) == 0
    )
    assert gof.unif01_goodness_of_fit(torch.linspace(0.0, 1.01, 100)) == 0
    assert gof.exp_goodness_of_fit(torch.linspace(-0.1, 3, 100)) == 0
    assert gof.auto_goodness_of_fit(torch.rand(100), torch.zeros(100)) == 0
    assert gof.auto_goodness_of_fit(torch.rand(100, 2), torch.zeros(100)) == 0


@pytest.mark.parametrize(
    "call, fact",
    [
        (lambda: gof.unif01_goodness_of_fit(torch.rand(39)), "39 samples are too few"),
        (lambda: gof.exp_goodness_of_fit(torch.rand(3)), "3 samples are too few"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(20), torch.ones(20)), "samples are too few"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(1, 2), torch.ones(1)), "has no neighbour"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(()), torch.ones(())), "samples is a number"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(50), torch.ones(49)), "one for each"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(50) / 0, torch.ones(50)), "must be finite"),
        (lambda: gof.auto_goodness_of_fit(torch.rand(50), -torch.ones(50)), "not negative"),
        (lambda: gof.get_nearest_neighbor_distances(torch.rand(5)), r"expected \(n, d\)"),
        (
            lambda: gof.multinomial_goodness_of_fit(torch.ones(2), torch.ones(2)),
            "probs sum to 2, expected at most 1",
        ),
        (
            lambda: gof.multinomial_goodness_of_fit(
                torch.ones(2) / 2, torch.ones(2), total_count=1
            ),
            "counts sum to 2, expected at most 1",
        ),
        (
            lambda: gof.multinomial_goodness_of_fit(torch.ones(2) / 2, torch.ones(3)),
            "as many numbers",
        ),
    ],
)
def test_refusals(call: object, fact: str) -> None:
    with pytest.raises(gof.InvalidTest, match=fact):
        call()  # type: ignore[operator]
    assert issubclass(gof.InvalidTest, ValueError)


LAWS = {
    "normal": dist.Normal(0.5, 2.0),
    "heavy": dist.Cauchy(0.0, 1.0),
    "edges": dist.Beta(0.5, 0.7),
    "step": dist.Exponential(2.0),
    "plane": dist.Normal(torch.zeros(2), torch.tensor([1.0, 3.0])).to_event(1),
    "space": dist.MultivariateNormal(
        torch.zeros(3), scale_tril=torch.eye(3) + 0.3 * torch.ones(3, 3).tril(-1)
    ),
    "count": dist.Poisson(4.0),
}


def p_value(law: dist.TorchDistribution, samples: Tensor, factor: float = 1.0) -> float:
    probs = factor * law.log_prob(samples).exp()
    return gof.auto_goodness_of_fit(samples, probs, dim=0 if law.support.is_discrete else None)


@pytest.mark.parametrize("name", LAWS)
def test_false_alarms_come_no_oftener_than_promised(name: str) -> None:
    """Of 300 tests at level 0.1, more than 55 fail with probability 2e-5 for correct code."""
    law = LAWS[name]
    alarms = sum(p_value(law, law.sample((200,))) < 0.1 for _ in range(300))
    assert alarms <= 55
    assert stats.binom.sf(55, 300, 0.1) < 2e-5


@pytest.mark.parametrize("name", LAWS)
def test_a_wrong_law_is_found(name: str) -> None:
    law = LAWS[name]
    samples = law.sample((20_000,))
    assert p_value(law, samples) > 1e-5
    if name == "count":
        assert p_value(law, (samples + (torch.rand(20_000) < 0.1)).floor()) < 1e-5
        return
    assert p_value(law, samples, factor=1.2) < 1e-5
    with dist.validation_enabled(False):
        wrong = (1.3 * samples).clamp(max=1 - 1e-6) if name == "edges" else 1.3 * samples
        assert p_value(law, wrong) < 1e-5


def test_a_gap_in_the_support_does_no_harm() -> None:
    samples = torch.rand(2000)
    apart = samples + 100.0 * (samples > 0.5)
    assert gof.density_goodness_of_fit(apart, torch.ones(2000)) > 1e-5
    clumped = samples.repeat_interleave(2)[:2000]
    assert gof.density_goodness_of_fit(clumped, torch.ones(2000)) < 1e-5


def test_a_law_on_a_surface() -> None:
    angle = 2 * math.pi * torch.rand(3000, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    probs = torch.full((3000,), 1 / (2 * math.pi))
    assert gof.auto_goodness_of_fit(circle, probs, dim=1) > 1e-5
    assert gof.auto_goodness_of_fit(circle, probs) < 1e-5
    assert gof.auto_goodness_of_fit(circle, 1.3 * probs, dim=1) < 1e-5


def test_rare_values_count_as_one() -> None:
    law = dist.Geometric(0.02)
    samples = law.sample((1500,))
    assert p_value(law, samples) > 1e-5
    assert p_value(law, samples + 20) < 1e-5
    with pytest.raises(gof.InvalidTest, match="too few for two cells"):
        gof.auto_goodness_of_fit(torch.arange(100), torch.full((100,), 1e-6))


def test_neighbours_and_volumes() -> None:
    points = torch.randn(50, 3)
    apart = torch.cdist(points.double(), points.double()).fill_diagonal_(math.inf).amin(1)
    assert_close(gof.get_nearest_neighbor_distances(points), apart)
    assert gof.get_nearest_neighbor_distances(points[:1]).isinf().all()
    volumes = [gof.volume_of_sphere(d, 2.0) for d in (1, 2, 3)]
    assert_close(volumes, [4.0, 4 * math.pi, 32 / 3 * math.pi])
    assert_close(gof.volume_of_sphere(2, torch.tensor([1.0, 2.0])), [math.pi, 4 * math.pi])


def test_histograms_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    gof.unif01_goodness_of_fit(torch.rand(200), plot=True)
    gof.multinomial_goodness_of_fit(torch.ones(2) / 2, torch.tensor([40, 60]), plot=True)
    lines = capsys.readouterr().out.splitlines()
    assert sum("probability" in line for line in lines) == 2
    assert lines[-2].split()[:2] == ["0.5000", "40"] and lines[-2].count("*") == 40
    assert lines[-1].count("|") == lines[-2].count("|") == 1
