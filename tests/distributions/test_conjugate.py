"""Products of densities in closed form."""

from typing import Any

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close

T = torch.tensor
PAIRS = [
    (dist.Gamma(T([2.0, 0.7]), 1.5), dist.Gamma(3.0, T([0.5, 2.0]))),
    (dist.Gamma(2.0, 1.5), dist.Gamma(3.0, 0.5)),
    (dist.Beta(T([2.0, 0.7]), 1.5), dist.Beta(3.0, T([1.5, 2.0]))),
    (dist.Dirichlet(T([2.0, 0.7, 1.0])), dist.Dirichlet(T([[1.0, 3.0, 2.0], [1.5, 1.0, 0.5]]))),
    (dist.Gamma(T([2.0, 0.7]), 1.5).to_event(1), dist.Gamma(T([3.0, 1.0]), 0.5).to_event(1)),
    (
        dist.ExpandedDistribution(dist.Gamma(2.0, 1.5), [2]),
        dist.ExpandedDistribution(dist.Gamma(3.0, 0.5), [2]),
    ),
    (dist.Gamma(T([2.0, 0.7]), 1.5).mask(True), dist.Gamma(3.0, 0.5)),
    (dist.Gamma(T([2.0, 0.7]), 1.5).mask(False), dist.Gamma(3.0, 0.5).expand([2])),
    (dist.Gamma(T([2.0, 0.7]), 1.5).mask(T([True, False])), dist.Gamma(T([3.0, 1.0]), 0.5)),
    (
        dist.Dirichlet(torch.ones(2, 3) * 2).mask(T([True, False])),
        dist.Dirichlet(torch.ones(2, 3) * 3),
    ),
]


@pytest.mark.parametrize("law, other", PAIRS, ids=lambda law: type(law).__name__)
def test_the_product_of_densities(law: Any, other: Any) -> None:
    updated, log_normalizer = law.conjugate_update(other)
    value = updated.sample()
    assert log_normalizer.shape == updated.batch_shape
    assert_close(
        updated.log_prob(value) + log_normalizer,
        law.log_prob(value) + other.log_prob(value),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "law", [dist.Gamma(1.0, 1.0), dist.Beta(1.0, 1.0), dist.Dirichlet(torch.ones(2))]
)
def test_only_a_law_of_the_same_kind_will_do(law: Any) -> None:
    name = type(law).__name__
    with pytest.raises(TypeError, match=f"{name}.conjugate_update takes a {name}, not Normal"):
        law.conjugate_update(dist.Normal(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="Normal has no conjugate_update"):
        dist.Normal(0.0, 1.0).conjugate_update(law)
