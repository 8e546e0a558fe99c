"""The contract of any law, and the hook for backends that replace laws."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import pyro.distributions as dist
from pyro.distributions import distribution
from tests.helpers import assert_close


class Bare(dist.Distribution):
    """A law that defines nothing."""


@pytest.mark.parametrize(
    "call, fact",
    [
        (lambda law: law(), "Bare defines no sample"),
        (lambda law: law.log_prob(0), "Bare defines no log_prob"),
        (lambda law: law.enumerate_support(), "Bare cannot enumerate its support"),
        (lambda law: law.conjugate_update(law), "Bare has no conjugate_update"),
        (lambda law: law.rv, "randomvariable"),
    ],
)
def test_what_a_law_does_not_offer(call: Any, fact: str) -> None:
    with pytest.raises(NotImplementedError, match=fact):
        call(Bare())


def test_has_rsample_takes_a_boolean() -> None:
    with pytest.raises(ValueError, match="True or False, not 3"):
        dist.Normal(0.0, 1.0).has_rsample_(3)  # type: ignore[arg-type]


@pytest.fixture
def coercions() -> Iterator[list[Any]]:
    yield distribution.COERCIONS
    distribution.COERCIONS.clear()


def test_a_backend_may_build_something_else(coercions: list[Any]) -> None:
    seen = []

    def look(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((cls, args, kwargs))

    def replace(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return "something else" if cls is dist.Gamma else None

    coercions.extend([look, replace])
    assert dist.Gamma(1.0, rate=2.0) == "something else"
    assert isinstance(dist.Normal(0.0, 1.0), dist.Normal)
    assert seen[0] == (dist.Gamma, (1.0,), {"rate": 2.0})


def test_classes_of_laws_mix_with_abstract_classes() -> None:
    from abc import ABC

    class Mixed(dist.TorchDistribution, ABC):
        arg_constraints: dict[str, Any] = {}

    law = Mixed(torch.Size([2]))
    assert isinstance(law, dist.Distribution)
    assert isinstance(law, torch.distributions.Distribution)
    assert callable(law)


def test_score_parts_scale_and_mask() -> None:
    one = torch.ones(2)
    kept = torch.tensor([True, False])
    parts = distribution.ScoreParts(one, one, one).scale_and_mask(2.0, kept)
    assert_close(parts.log_prob, [2.0, 0.0])
    assert_close(parts.entropy_term, [2.0, 0.0])
    assert_close(parts.score_function, [1.0, 1.0])
    parts = distribution.ScoreParts(one, 0.0, one).scale_and_mask(torch.tensor(3.0), False)
    assert_close(parts.log_prob, [0.0, 0.0])
    assert parts.score_function == 0
