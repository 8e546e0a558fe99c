"""Lines through groups of points by least squares, the most likely ones in closed form."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Line(NamedTuple):
    """A line through the mean of the points that it was fitted to."""

    centre: float
    height: float
    slope: float
    noise: float

    def log_density(self, x: Array, y: Array) -> Array:
        residual = (y - self.height - self.slope * (x - self.centre)) / self.noise
        return -(residual**2) / 2 - np.log(self.noise) - np.log(2 * np.pi) / 2


def fit(groups: Sequence[tuple[Array, Array]], one_slope: bool, one_noise: bool) -> list[Line]:
    """The most likely line of each group.

    A shared slope has this closed form only where the noise is shared too.
    """
    assert one_noise or not one_slope
    sums = np.array([[((x - x.mean()) ** 2).sum(), _cross(x, y)] for x, y in groups])
    pooled = np.broadcast_to(sums.sum(0), sums.shape)
    squares, cross = (pooled if one_slope else sums).T
    slopes = cross / squares
    residuals = [
        ((y - y.mean() - slope * (x - x.mean())) ** 2)
        for (x, y), slope in zip(groups, slopes, strict=True)
    ]
    everything = np.concatenate(residuals).mean()
    return [
        Line(x.mean(), y.mean(), slope, np.sqrt(everything if one_noise else own.mean()))
        for (x, y), slope, own in zip(groups, slopes, residuals, strict=True)
    ]


def _cross(x: Array, y: Array) -> float:
    return float(((x - x.mean()) * (y - y.mean())).sum())


def with_slope_and_noise_of(source: Line, x: Array, y: Array) -> Line:
    """The most likely line of a group when only its height is free."""
    return Line(x.mean(), y.mean(), source.slope, source.noise)
