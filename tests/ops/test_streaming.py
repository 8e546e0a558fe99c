"""Statistics of a stream are those of its samples, however it is cut."""

import pickle
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch

from pyro.ops.streaming import (
    CountMeanStats,
    CountMeanVarianceStats,
    CountStats,
    StackStats,
    StatsOfDict,
    StreamingStats,
)
from tests.helpers import assert_close

SAMPLES = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
KINDS: dict[str, tuple[Callable[[], StreamingStats], Callable[[torch.Tensor], Any]]] = {
    "count": (CountStats, lambda x: {}),
    "mean": (CountMeanStats, lambda x: {"mean": x.mean(0)}),
    "variance": (CountMeanVarianceStats, lambda x: {"mean": x.mean(0), "variance": x.var(0)}),
    "stack": (StackStats, lambda x: {"samples": x}),
}
every_kind = pytest.mark.parametrize("make, expected", KINDS.values(), ids=list(KINDS))


def stats_of(make: Callable[[], StreamingStats], samples: Any) -> Any:
    stats = make()
    for sample in samples:
        stats.update(sample)
    return stats


@every_kind
@pytest.mark.parametrize("count", [2, 7])
def test_statistics_of_a_stream(make: Any, expected: Any, count: int) -> None:
    found = stats_of(make, SAMPLES[:count]).get()
    assert_close(found, {"count": count, **expected(SAMPLES[:count])})


@every_kind
def test_no_sample_has_a_count_alone(make: Any, expected: Any) -> None:
    assert make().get() == {"count": 0} == make().merge(make()).get()


@every_kind
@pytest.mark.parametrize("first, second", list(product([0, 1, 3], [3, 6, 7])))
def test_merging_is_associative_and_keeps_the_parts(
    make: Any, expected: Any, first: int, second: int
) -> None:
    parts = [SAMPLES[:first], SAMPLES[first:second], SAMPLES[second:]]
    a, b, c = (stats_of(make, part) for part in parts)
    before = [part.get() for part in (a, b, c)]
    whole = {"count": 7, **expected(SAMPLES)}
    assert_close(a.merge(b).merge(c).get(), whole)
    assert_close(a.merge(b.merge(c)).get(), whole)
    assert_close([part.get() for part in (a, b, c)], before)
    joined = a.merge(b)
    joined.update(SAMPLES[0])
    assert_close([part.get() for part in (a, b, c)], before)
    assert_close(pickle.loads(pickle.dumps(a.merge(b))).get(), a.merge(b).get())


def test_the_variance_of_one_sample_is_undefined() -> None:
    found = stats_of(CountMeanVarianceStats, SAMPLES[:1]).get()
    assert found["count"] == 1
    assert found["variance"].isnan().all()


def test_a_large_mean_costs_no_digits_of_the_variance() -> None:
    found = stats_of(CountMeanVarianceStats, SAMPLES + 1e6).get()
    assert_close(found["variance"], SAMPLES.var(0), rtol=1e-8)


def test_dictionaries_go_key_by_key() -> None:
    def make() -> StatsOfDict:
        return StatsOfDict(types={"x": CountMeanStats, ("y", 1): StackStats})

    a, b = make(), make()
    a.update({"x": SAMPLES[0], "z": SAMPLES[0]})
    a.update({"x": SAMPLES[1]})
    b.update({"x": SAMPLES[2], ("y", 1): SAMPLES[2]})
    merged = a.merge(b)
    merged.update({"w": None})
    expected = {
        "x": {"count": 3, "mean": SAMPLES[:3].mean(0)},
        ("y", 1): {"count": 1, "samples": SAMPLES[2:3]},
        "z": {"count": 1},
        "w": {"count": 1},
    }
    assert_close(merged.get(), expected)
    assert a.get()["z"] == {"count": 1} and "w" not in a.get()
    assert make().get() == {"x": {"count": 0}, ("y", 1): {"count": 0}}


@every_kind
def test_kinds_do_not_mix(make: Any, expected: Any) -> None:
    with pytest.raises(TypeError, match="merges with its own kind, got StatsOfDict"):
        make().merge(StatsOfDict())
