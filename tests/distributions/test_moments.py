"""Means, variances, entropies, modes and distribution functions against sums and integrals."""

from typing import Any

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions import constraints
from tests.distributions.examples.example import Example
from tests.distributions.integration import Nodes, circle, nodes_of
from tests.distributions.table import some

proper = some(Example.is_proper)


def declared(law: Any, name: str) -> Any:
    """Return what the law says, or skip the test where it says nothing."""
    try:
        value = getattr(law, name)
        return value() if name == "entropy" else value
    except NotImplementedError:
        pytest.skip(f"no {name}")


def assert_within(actual: Tensor, expected: Tensor, error: Tensor) -> None:
    finite = actual.isfinite()
    room = error + 1e-9 * (1 + expected.abs())
    assert finite.any() or not actual.numel(), "nothing to compare"
    wrong = finite & ((actual - expected).abs() > room)
    assert not wrong.any(), f"{actual} is said, {expected} computed, up to {error}"


def is_of_angles(example: Example) -> bool:
    return example.nodes is circle


def resultant(law: Any, nodes: Nodes) -> Tensor:
    """Return the mean of points on the circle, whose angle and length describe a law of angles."""
    cosine, _ = nodes.expectation(law, torch.cos)
    sine, _ = nodes.expectation(law, torch.sin)
    return torch.complex(cosine, sine)


@proper
def test_means(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    mean = declared(law, "mean")
    if is_of_angles(example):
        turn = torch.polar(torch.ones_like(mean), -mean) * resultant(law, nodes)
        return assert_within(turn.angle(), torch.zeros_like(mean), torch.zeros_like(mean))
    if not mean.isfinite().any():
        pytest.skip("the mean is infinite, or no number")
    expected, error = nodes.expectation(law, lambda x: x)
    if law.support is constraints.sphere:  # its mean is on the sphere too
        expected = torch.nn.functional.normalize(expected, dim=-1)
    assert_within(mean, expected, error)


@proper
def test_variances(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    variance = declared(law, "variance")
    if is_of_angles(example):
        spread = 1 - resultant(law, nodes).abs()
        return assert_within(variance, spread, torch.zeros_like(spread))
    if not variance.isfinite().any():
        pytest.skip("the variance is infinite, or no number")
    mean = torch.where(law.mean.isfinite(), law.mean, 0.0)
    assert_within(variance, *nodes.expectation(law, lambda x: (x - mean) ** 2))


@proper
def test_entropies(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    entropy = declared(law, "entropy")

    def surprise(value: Tensor) -> Tensor:
        with dist.validation_enabled(False):
            return -law.log_prob(value)

    expected, error = nodes.expectation(law, surprise)
    assert_within(entropy, expected, error * 40)  # for the logarithm of the last number, -37


@proper
def test_modes(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    mode = declared(law, "mode")
    mode = mode() if callable(mode) else mode
    with dist.validation_enabled(False):
        highest, others = law.log_prob(mode), law.log_prob(nodes.values)
    finite = highest.isfinite()  # a density may be unbounded
    assert not (finite & (others > highest + 1e-9 * (1 + highest.abs()))).any()


@some(lambda example: example.is_proper() and not example.make().event_shape)
def test_distribution_functions(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    if nodes.edges is None or is_of_angles(example):
        pytest.skip("a turn begins anywhere, and counts have no density")
    edges = nodes.edges
    masses = nodes.masses(law).reshape(len(edges) - 1, -1, *law.batch_shape).sum(1)
    below = torch.cat([torch.zeros_like(masses[:1]), masses.cumsum(0)])
    with dist.validation_enabled(False):
        try:
            share = law.cdf(edges)
        except NotImplementedError:
            pytest.skip("no distribution function")
        assert_within(share, below, torch.full_like(below, 1e-6))
        try:
            back = law.icdf(share)
        except NotImplementedError:
            return
    well = (share > 1e-3) & (share < 1 - 1e-3)
    assert well.any()
    assert_within(back[well], edges[well], torch.full_like(edges[well], 1e-6))
