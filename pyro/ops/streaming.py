"""Statistics of samples that come one at a time and are not kept.

Statistics of one kind can be merged: those of two parts of a stream make those of the whole.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

S = TypeVar("S", bound="StreamingStats")


class StreamingStats(ABC):
    """Base of statistics that are updated sample by sample.

    :meth:`merge` is associative, and a fresh object is neutral to it.
    """

    @abstractmethod
    def update(self, sample: Any) -> None:
        """Take one more sample into account.

        :param sample: the sample.
        """

    @abstractmethod
    def merge(self: S, other: S) -> S:
        """Return the statistics of both streams, this one's samples first; neither changes.

        :param other: statistics of the same kind.
        :raises TypeError: where they are of another.
        """

    @abstractmethod
    def get(self) -> dict[Any, Any]:
        """Return the statistics by name."""

    def _require_same_kind(self, other: "StreamingStats") -> None:
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__} merges with its own kind, got {type(other).__name__}."
            )


class CountStats(StreamingStats):
    """Counts samples.

    >>> stats = CountStats()
    >>> stats.update(torch.zeros(2))
    >>> stats.get()
    {'count': 1}
    """

    def __init__(self) -> None:
        self.count = 0

    def update(self, sample: Any) -> None:
        """Count one more sample.

        :param sample: anything.
        """
        self.count += 1

    def merge(self, other: "CountStats") -> "CountStats":
        """Return the count of both streams.

        :param other: the other stream's count.
        """
        self._require_same_kind(other)
        merged = type(self)()
        merged.count = self.count + other.count
        return merged

    def get(self) -> dict[str, Any]:
        """Return the ``count``."""
        return {"count": self.count}


class CountMeanStats(StreamingStats):
    """The mean of tensors of one shape.

    >>> stats = CountMeanStats()
    >>> for x in (1.0, 2.0, 6.0):
    ...     stats.update(torch.tensor(x))
    >>> stats.get()
    {'count': 3, 'mean': tensor(3.)}
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0

    def update(self, sample: Tensor) -> None:
        """Take one more sample into account.

        :param sample: a tensor.
        """
        self.count += 1
        self.mean = self.mean + (sample.detach() - self.mean) / self.count

    def merge(self, other: "CountMeanStats") -> "CountMeanStats":
        """Return the mean of both streams.

        :param other: the other stream's mean.
        """
        self._require_same_kind(other)
        merged = type(self)()
        merged.count = self.count + other.count
        if merged.count:
            merged.mean = self.mean + (other.mean - self.mean) * (other.count / merged.count)
        return merged

    def get(self) -> dict[str, Any]:
        """Return the ``count`` and, of one sample or more, the ``mean``."""
        return {"count": self.count, "mean": self.mean} if self.count else {"count": 0}


class CountMeanVarianceStats(StreamingStats):
    """The mean and the unbiased variance of tensors of one shape.

    >>> stats = CountMeanVarianceStats()
    >>> for x in (1.0, 2.0, 6.0):
    ...     stats.update(torch.tensor(x))
    >>> stats.get()
    {'count': 3, 'mean': tensor(3.), 'variance': tensor(7.)}

    Source: Chan, Golub and LeVeque 1983, The American Statistician 37(3).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())  # the sum of squared deviations from the mean

    def update(self, sample: Tensor) -> None:
        """Take one more sample into account.

        :param sample: a tensor.
        """
        sample = sample.detach()
        self.count += 1
        if self.count == 1:
            self.mean, self.squares = sample, torch.zeros_like(sample)
            return
        apart = sample - self.mean
        self.mean = torch.add(self.mean, apart, alpha=1 / self.count)
        self.squares = torch.addcmul(self.squares, apart, sample - self.mean)

    def merge(self, other: "CountMeanVarianceStats") -> "CountMeanVarianceStats":
        """Return the mean and variance of both streams.

        :param other: the other stream's statistics.
        """
        self._require_same_kind(other)
        if not (self.count and other.count):
            return copy.copy(self if self.count else other)
        merged = type(self)()
        merged.count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / merged.count
        merged.mean = self.mean + apart * share
        merged.squares = self.squares + other.squares + apart.square() * (self.count * share)
        return merged

    def get(self) -> dict[str, Any]:
        """Return the ``count`` and, of one sample or more, ``mean`` and ``variance``.

        The variance of a single sample is NaN.
        """
        if not self.count:
            return {"count": 0}
        variance = self.squares / (self.count - 1)
        return {"count": self.count, "mean": self.mean, "variance": variance}


class StackStats(StreamingStats):
    """Keeps all samples.

    >>> stats = StackStats()
    >>> for x in (1.0, 2.0):
    ...     stats.update(torch.tensor(x))
    >>> stats.get()
    {'count': 2, 'samples': tensor([1., 2.])}
    """

    def __init__(self) -> None:
        self.samples: list[Tensor] = []

    def update(self, sample: Tensor) -> None:
        """Keep one more sample.

        :param sample: a tensor.
        """
        self.samples.append(sample.detach())

    def merge(self, other: "StackStats") -> "StackStats":
        """Return the samples of both streams, one after the other.

        :param other: the samples that come after.
        """
        self._require_same_kind(other)
        merged = type(self)()
        merged.samples = self.samples + other.samples
        return merged

    def get(self) -> dict[str, Any]:
        """Return the ``count`` and, of one sample or more, the stacked ``samples``."""
        if not self.samples:
            return {"count": 0}
        return {"count": len(self.samples), "samples": torch.stack(self.samples)}


class StatsOfDict(StreamingStats):
    """Statistics of samples that are dictionaries, key by key.

    :param types: what makes the statistics of a key, by key.
    :param default: what makes those of all other keys.

    >>> stats = StatsOfDict(types={"x": CountMeanStats})
    >>> stats.update({"x": torch.ones(()), "y": torch.zeros(2)})
    >>> stats.get()
    {'x': {'count': 1, 'mean': tensor(1.)}, 'y': {'count': 1}}
    """

    def __init__(
        self,
        types: Mapping[Hashable, Callable[[], StreamingStats]] = {},
        default: Callable[[], StreamingStats] = CountStats,
    ) -> None:
        self.types = dict(types)
        self.default = default
        self.stats: dict[Hashable, StreamingStats] = {key: make() for key, make in types.items()}

    def _of(self, key: Hashable) -> StreamingStats:
        if key not in self.stats:
            self.stats[key] = self.types.get(key, self.default)()
        return self.stats[key]

    def update(self, sample: Mapping[Hashable, Any]) -> None:
        """Take one more sample into account.

        :param sample: a dictionary.
        """
        for key, value in sample.items():
            self._of(key).update(value)

    def merge(self, other: "StatsOfDict") -> "StatsOfDict":
        """Return the statistics of both streams; a key may come in one of them only.

        :param other: the other stream's statistics.
        """
        self._require_same_kind(other)
        merged = type(self)({**other.types, **self.types}, self.default)
        for key in [*self.stats, *(key for key in other.stats if key not in self.stats)]:
            parts = [copy.copy(part.stats[key]) for part in (self, other) if key in part.stats]
            merged.stats[key] = parts[0] if len(parts) == 1 else parts[0].merge(parts[1])
        return merged

    def get(self) -> dict[Any, Any]:
        """Return the statistics of each key, by key."""
        return {key: stats.get() for key, stats in self.stats.items()}
