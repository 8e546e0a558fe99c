"""Gradients of densities and of draws, and the score function where draws have none."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.integration import bare, coordinates, nodes_for, nodes_of
from tests.distributions.table import some
from tests.distributions.test_draws import features, typical_size
from tests.helpers import MIN_P_VALUE, assert_close

STEP = 1e-4
BLOCKS = 16
FUNCTIONS = 6


def unchecked(example: Example, leaves: Sequence[Tensor]) -> Any:
    with dist.validation_enabled(False):
        return example.make_from(leaves)


@some(lambda example: bool(example.make_with_leaves()[1]))
def test_densities_by_their_parameters(example: Example) -> None:
    law, leaves = example.make_with_leaves()
    torch.manual_seed(1)
    value = law.sample().detach()
    if isinstance(law, (dist.Delta, dist.Unit)):
        pytest.skip("a density of atoms, or of nothing")

    def score(*parameters: Tensor) -> Tensor:
        with dist.validation_enabled(False):
            scored: Tensor = example.make_from(parameters).log_prob(value)
        return scored

    assert torch.autograd.gradcheck(score, leaves)


@some(lambda example: example.is_proper() and not example.make().support.is_discrete)
def test_densities_by_the_value(example: Example) -> None:
    law = example.make(torch.float64)
    torch.manual_seed(1)
    try:
        chart = coordinates(law, bare(law.support))
    except NotImplementedError:
        pytest.skip("no coordinates for the support")

    def score(free: Tensor) -> Tensor:
        with dist.validation_enabled(False):
            scored: Tensor = law.log_prob(chart.to_value(free)[0])
        return scored

    assert torch.autograd.gradcheck(score, [chart.draws[:2].clone().requires_grad_()])


@some(lambda example: example.make().has_rsample and example.pathwise and not example.biased)
def test_draws_by_the_parameters(example: Example) -> None:
    """At a fixed seed a draw is a smooth function of the parameters."""
    _, leaves = example.make_with_leaves()

    def draw(*parameters: Tensor) -> Tensor:
        torch.manual_seed(3)
        with dist.validation_enabled(False):
            value: Tensor = example.make_from(parameters).rsample((2,))
        return value

    assert torch.autograd.gradcheck(draw, leaves)


def directions(leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return a random direction in which to move the parameters."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(leaf.shape, generator=generator).to(leaf) for leaf in leaves]


def along(gradients: Sequence[Tensor | None], ways: Sequence[Tensor]) -> float:
    pairs = zip(gradients, ways, strict=True)
    return sum(float((gradient * way).sum()) for gradient, way in pairs if gradient is not None)


@functools.cache
def size_of(example: Example) -> Tensor:
    with torch.random.fork_rng(devices=()):
        return typical_size(example.make(torch.float64))


def bounded(example: Example, values: Tensor) -> Tensor:
    """Return a bounded function of values, fixed for each example."""
    signs = torch.tensor([1.0, -1.0] * (FUNCTIONS // 2)).double()
    return (
        features(example.make(torch.float64), values, size_of(example), FUNCTIONS, torch.tanh)
        @ signs
    )


def ends(law: Any) -> list[Tensor]:
    support = bare(law.support)
    return [
        torch.as_tensor(getattr(support, name, math.inf)).detach()
        for name in ("lower_bound", "upper_bound")
    ]


@functools.cache
def slope(example: Example) -> tuple[float, float, bool]:
    """Return the derivative of the mean of a bounded function along a random direction.

    It is a central difference of integrals, summed over the batch.

    :return: the slope, a bound of its error, and whether the support moves with the parameters.
    """
    _, leaves = example.make_with_leaves()
    ways = directions(leaves)
    moved = [
        unchecked(
            example, [leaf.detach() + by * way for leaf, way in zip(leaves, ways, strict=True)]
        )
        for by in (STEP, -STEP)
    ]
    if not any(not torch.equal(a, b) for a, b in zip(*map(ends, moved), strict=True)):
        nodes = nodes_of(example)
        masses = [nodes.masses(law) for law in moved]
        difference = (masses[0] - masses[1]) / (2 * STEP)
        terms = torch.where(difference == 0, 0.0, difference * bounded(example, nodes.values))
        result, error = nodes.integral(terms.reshape(len(terms), -1).sum(-1))
        if nodes.share is None or error < STEP:  # else the density jumps somewhere that moves
            return float(result), float(error) + 0.1 * STEP, False
    totals = []
    for law in moved:
        nodes = nodes_for(example, law)
        terms = nodes.masses(law) * bounded(example, nodes.values)
        totals.append(float(nodes.integral(terms)[0].sum()))
    return (totals[0] - totals[1]) / (2 * STEP), 0.1 * STEP, True


@some(lambda example: bool(example.make_with_leaves()[1]))
def test_gradients_outlive_a_draw_without_them(example: Example) -> None:
    """What a law keeps from a draw or a score made without gradients must not cut them later."""
    law, leaves = example.make_with_leaves()
    with torch.no_grad():
        value = law.sample()
        law.log_prob(value)
        law.expand_by([2]).sample()
    fresh = example.make_from(leaves)
    scores = [one.log_prob(value).sum() for one in (law, fresh)]
    assert scores[0].requires_grad == scores[1].requires_grad
    if scores[1].requires_grad:
        used, anew = (torch.autograd.grad(score, leaves, allow_unused=True) for score in scores)
        for one, other in zip(used, anew, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_close(one, other)


@some(lambda example: example.is_proper() and example.make().has_rsample and not example.biased)
def test_gradients_of_draws_are_those_of_expectations(example: Example) -> None:
    """Draws come in independent blocks, so that Student's test tells; false-alarm rate 1e-5."""
    law, leaves = example.make_with_leaves()
    ways, estimates = directions(leaves), []
    expected, error, _ = slope(example)
    torch.manual_seed(9)
    for _ in range(BLOCKS):
        means = bounded(example, law.rsample((200,))).mean(0).sum()
        gradients = torch.autograd.grad(means, leaves, retain_graph=True, allow_unused=True)
        estimates.append(along(gradients, ways))
    spread = float(np.std(estimates, ddof=1)) / math.sqrt(BLOCKS)
    room = float(stats.t(BLOCKS - 1).isf(MIN_P_VALUE / 2)) * spread + error
    assert abs(np.mean(estimates) - expected) <= room


@some(lambda example: example.is_proper() and bool(example.make_with_leaves()[1]))
def test_the_score_function_gives_the_gradients_of_expectations(example: Example) -> None:
    """The expectation of f(x) times the score is the derivative of that of f(x)."""
    _, leaves = example.make_with_leaves()
    expected, error, moves = slope(example)
    if moves:
        pytest.skip("the support moves, and the score function knows nothing of its ends")
    nodes, law = nodes_of(example), unchecked(example, leaves).has_rsample_(False)
    with torch.no_grad():
        weights = nodes.masses(law) * bounded(example, nodes.values)
        nowhere = (weights == 0)[(...,) + (None,) * law.event_dim]
        values = torch.where(nowhere, law.sample(), nodes.values)  # where gradients are numbers
    with dist.validation_enabled(False):
        score = law.score_parts(values).score_function
    if not score.requires_grad:
        pytest.skip("the density has no gradient")
    gradients = torch.autograd.grad((weights * score).sum(), leaves, allow_unused=True)
    assert along(gradients, directions(leaves)) == pytest.approx(expected, abs=error, rel=1e-5)


@some(lambda example: example.name in ("Beta", "Chi2", "Gamma", "InverseGamma"))
def test_implicit_gradients_of_draws(example: Example) -> None:
    """With F the distribution function, F(x; theta) fixed means dx/dtheta = -(dF/dtheta) / p(x)."""
    law, leaves = example.make_with_leaves()
    value = law.rsample()
    gradients = torch.autograd.grad(value.sum(), leaves, retain_graph=True)
    for which, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        step = 1e-5

        def cdf(shift: float, which: int = which) -> np.ndarray:
            count = iter(range(9))

            def shifted(numbers: Any) -> Tensor:
                tensor = torch.tensor(numbers, dtype=torch.float64)
                return tensor + shift if next(count) == which else tensor

            result: np.ndarray = scipy_law(example.build(shifted)).cdf(value.detach().numpy())
            return result

        slope = torch.as_tensor(cdf(step) - cdf(-step)) / (2 * step)
        expected = -slope / law.log_prob(value).exp().detach()
        assert leaf.shape == gradient.shape
        # torch computes derivatives of gamma and beta draws to about three digits
        assert_close(gradient, expected, rtol=5e-3, atol=5e-3)


def scipy_law(law: Any) -> Any:
    """Return SciPy's law with the parameters of ours."""
    from scipy import stats

    a = {name: value.numpy() for name, value in parameters_of(law)}
    if isinstance(law, dist.Beta):
        return stats.beta(a["concentration1"], a["concentration0"])
    if isinstance(law, dist.Chi2):
        return stats.chi2(a["df"])
    if isinstance(law, dist.InverseGamma):
        return stats.invgamma(a["concentration"], scale=a["rate"])
    return stats.gamma(a["concentration"], scale=1 / a["rate"])


def parameters_of(law: Any) -> Iterator[tuple[str, Tensor]]:
    for name in law.arg_constraints:
        yield name, getattr(law, name)
