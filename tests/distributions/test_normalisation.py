"""Every density integrates to one, and every law over a few values lists them."""

import math

import pytest
import torch

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.integration import nodes_of
from tests.distributions.table import EXAMPLES, some
from tests.helpers import assert_close


@some(Example.is_proper)
def test_a_density_integrates_to_one(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    total, error = nodes.integral(nodes.masses(law))
    assert total.shape == law.batch_shape
    assert error.max() <= (0.1 if nodes.share is None else 1e-6), "the rule is too coarse"
    assert ((total - 1).abs() <= error).all(), f"the density integrates to {total}"


def test_the_rules_tell_wrong_densities() -> None:
    """The test above fails for what it should: densities that are a tenth of a percent off."""
    for example in EXAMPLES:
        nodes = nodes_of(example) if example.is_proper() else None
        if nodes is None or nodes.share is None:
            continue
        total, error = nodes.integral(1.001 * nodes.masses(example.make(torch.float64)))
        assert ((total - 1).abs() > error).all()


@some(lambda example: example.is_proper() and not example.make().support.is_discrete)
def test_nodes_lie_within_the_support(example: Example) -> None:
    """What is integrated over is no more than the support, but for rounding at its edges."""
    law, nodes = example.make(torch.float64), nodes_of(example)
    values = nodes.values.expand(-1, *law.batch_shape, *law.event_shape)
    inside = law.support.check(values)
    masses = nodes.masses(law).expand(inside.shape)
    assert (masses * ~inside).sum(0).max() <= 1e-6


@some(lambda example: example.make().has_enumerate_support)
def test_enumeration(example: Example) -> None:
    law = example.make(torch.float64)
    values = law.enumerate_support()
    short = law.enumerate_support(expand=False)
    assert values.shape == short.shape[:1] + law.batch_shape + law.event_shape
    assert short.shape == short.shape[:1] + (1,) * len(law.batch_shape) + law.event_shape
    assert_close(short.expand(values.shape), values)
    assert len(values.reshape(len(values), -1).unique(dim=0)) == len(values)
    assert law.support.check(values).all()
    expanded = law.expand_by([2]).enumerate_support()
    assert_close(expanded, values.unsqueeze(1).expand(-1, 2, *values.shape[1:]))


@some(lambda example: not example.make().has_enumerate_support)
def test_a_law_that_cannot_list_its_values_says_so(example: Example) -> None:
    with pytest.raises(NotImplementedError):
        example.make().enumerate_support()


@some(lambda example: example.is_proper() and example.make().support.is_discrete)
def test_values_that_are_not_listed_have_no_probability(example: Example) -> None:
    law, nodes = example.make(torch.float64), nodes_of(example)
    assert (nodes.masses(law) <= 1 + 1e-12).all()
    with dist.validation_enabled(False):
        off = law.log_prob(torch.full(law.shape(), 0.5, dtype=torch.float64))
    assert off.shape == law.batch_shape
    assert not (off == math.inf).any()
