"""The law that is sure of its value, and the law of nothing."""

import math

import pytest
import torch

import pyro.distributions as dist
from pyro.distributions import constraints
from tests.helpers import assert_close

T = torch.tensor


def test_density_at_the_value_and_elsewhere() -> None:
    law = dist.Delta(T([1.0, 2.0]), log_density=3.0)
    assert_close(law.log_prob(T([1.0, 0.0])), [3.0, -math.inf])
    assert_close(law.log_prob(T([1.0, 2.0])), [3.0, 3.0])
    assert_close(law.log_prob(law()), [3.0, 3.0])
    assert_close(law.log_prob(torch.ones(4, 1)), T([3.0, -math.inf]).expand(4, 2))


def test_an_event_is_equal_as_a_whole() -> None:
    law = dist.Delta(T([[1.0, 2.0], [3.0, 4.0]]), T([0.5, 0.0]), event_dim=1)
    assert (law.batch_shape, law.event_shape) == ((2,), (2,))
    assert_close(law.log_prob(T([[1.0, 2.0], [3.0, 5.0]])), [0.5, -math.inf])
    assert law.support.event_dim == 1
    assert dist.Delta(torch.zeros(2, 3), event_dim=2).log_prob(torch.zeros(2, 3)) == 0


def test_gradients() -> None:
    v, log_density = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    law = dist.Delta(v, log_density)
    (law.rsample((3,)).sum() + law.log_prob(law().detach()).sum()).backward()
    assert_close(v.grad, [3.0, 3.0])
    assert_close(log_density.grad, [1.0, 1.0])


def test_a_score_is_nobody_elses_memory() -> None:
    held = torch.zeros(2)
    law = dist.Delta(torch.ones(2), held)
    scored = law.log_prob(torch.ones(2))
    scored += 1
    assert_close(held, [0.0, 0.0])
    assert_close(law.log_prob(torch.ones(2)), [0.0, 0.0])


def test_shapes() -> None:
    assert dist.Delta(2.0).v.dtype == torch.float32
    whole = dist.Delta(T([1, 2]))
    assert whole().dtype == torch.int64
    assert whole.log_prob(T([1, 3])).dtype == torch.float32
    expanded = dist.Delta(T([1.0, 2.0]), 0.5, event_dim=1).expand([3])
    assert expanded.log_density.shape == (3,)
    assert expanded.v.shape == (3, 2)
    assert_close(expanded.mean, T([1.0, 2.0]).expand(3, 2))
    assert_close(expanded.variance, torch.zeros(3, 2))
    assert_close(expanded.entropy(), torch.full((3,), -0.5))
    with pytest.raises(ValueError, match="event_dim lies between 0 and 1; it is 3"):
        dist.Delta(torch.zeros(2), event_dim=3)
    with pytest.raises(ValueError, match=r"'log_density' has shape \(3,\), which does not expand"):
        dist.Delta(torch.zeros(2), torch.zeros(3))


def test_unit() -> None:
    law = dist.Unit(T([1.0, 2.0]))
    assert (law.batch_shape, law.event_shape) == ((2,), (0,))
    assert law().shape == (2, 0)
    assert law((3,)).shape == law.rsample((3,)).shape == (3, 2, 0)
    assert_close(law.log_prob(law()), [1.0, 2.0])
    assert law.log_prob(law((3,))).shape == (3, 2)
    assert_close(law.expand([4, 2]).log_prob(law()), T([1.0, 2.0]).expand(4, 2))
    assert law.support is constraints.real_vector


@pytest.mark.parametrize("has_rsample", [True, False])
def test_unit_in_a_guide(has_rsample: bool) -> None:
    law = dist.Unit(T(2.0), has_rsample=has_rsample)
    assert law.has_rsample is has_rsample
    parts = law.expand([3]).score_parts(torch.empty(3, 0))
    assert_close(parts.log_prob, torch.full((3,), 2.0))
    zero = parts.score_function if has_rsample else parts.entropy_term
    assert zero == 0
