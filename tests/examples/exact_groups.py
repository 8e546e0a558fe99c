"""The same models as ``examples/equalize.py`` without sampling, by closed forms and quadrature.

The values of group g are Normal(mean + shift, spread * std), where mean is Normal(0, 1) and std is
LogNormal(0, 1). Given the std, the place mean + shift is integrated out in closed form.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

Array = NDArray[np.float64]
LOG_2PI = math.log(2 * math.pi)
LOG_STD = np.linspace(-6.0, 6.0, 1201)
PLACES = np.linspace(-6.0, 6.0, 601)


def log_normal_density(x: Array, mean: Array | float, variance: Array | float) -> Array:
    return np.asarray(-0.5 * (LOG_2PI + np.log(variance) + (x - mean) ** 2 / variance))


def log_integral(log_values: Array, grid: Array) -> Array:
    """The trapezoid rule on an even grid, the last axis, for integrands that vanish at its ends."""
    return np.asarray(logsumexp(log_values, axis=-1) + math.log(grid[1] - grid[0]))


class Ties(NamedTuple):
    """For each of three groups the number of the mean, the std and the shift that it uses."""

    mean: tuple[int, ...]
    std: tuple[int, ...]
    shift: tuple[int, ...]


OWN, ONE = (0, 1, 2), (0, 0, 0)
TIES = {
    "free": Ties(OWN, OWN, OWN),
    "equal std": Ties(OWN, ONE, OWN),
    "equal mean and std": Ties(ONE, ONE, ONE),
    "equal shift": Ties(OWN, OWN, ONE),
}


class Summary(NamedTuple):
    """Sufficient statistics of groups, each of shape (..., groups)."""

    sizes: Array
    averages: Array
    squares: Array
    spread: Array | float

    @classmethod
    def of(cls, groups: list[Array], spread: float) -> "Summary":
        """Of standardised groups."""
        return cls(
            np.array([float(len(g)) for g in groups]),
            np.array([g.mean() for g in groups]),
            np.array([((g - g.mean()) ** 2).sum() for g in groups]),
            spread,
        )

    def standardised(self) -> "Summary":
        """The same groups with overall mean 0 and standard deviation 1, and their spread."""
        total = self.sizes.sum(-1, keepdims=True)
        centre = (self.sizes * self.averages).sum(-1, keepdims=True) / total
        within = self.squares.sum(-1, keepdims=True)
        between = (self.sizes * (self.averages - centre) ** 2).sum(-1, keepdims=True)
        variance = (within + between) / (total - 1)
        spread = np.sqrt(within / variance / (total - self.sizes.shape[-1]))
        averages = (self.averages - centre) / np.sqrt(variance)
        return Summary(self.sizes, averages, self.squares / variance, spread[..., 0])

    def pooled(self) -> "Summary":
        """All rows as one group."""
        sizes = self.sizes.sum(-1, keepdims=True)
        averages = (self.sizes * self.averages).sum(-1, keepdims=True) / sizes
        between = (self.sizes * (self.averages - averages) ** 2).sum(-1, keepdims=True)
        return Summary(sizes, averages, self.squares.sum(-1, keepdims=True) + between, self.spread)


def log_evidence_of_std(data: Summary, centre: float, variance: float) -> Array:
    """log p(group | log std), (..., groups, grid), for a place Normal(centre, variance)."""
    noise = np.expand_dims(np.asarray(data.spread), (-1, -2)) ** 2 * np.exp(2 * LOG_STD)
    size, average, squares = (x[..., None] for x in (data.sizes, data.averages, data.squares))
    within = -0.5 * (size - 1) * (LOG_2PI + np.log(noise)) - 0.5 * np.log(size)
    within = within - 0.5 * squares / noise
    return np.asarray(within + log_normal_density(average, centre, variance + noise / size))


def over_std(log_likelihood: Array) -> Array:
    """The integral over the log std under its Normal(0, 1) prior."""
    return log_integral(log_likelihood + log_normal_density(LOG_STD, 0.0, 1.0), LOG_STD)


def log_evidence(label: str, data: Summary) -> Array:
    """log p(values) with the shifts under Normal(0, 1), so that a place is Normal(0, 2)."""
    if label == "free":
        return np.asarray(over_std(log_evidence_of_std(data, 0.0, 2.0)).sum(-1))
    if label == "equal std":
        return over_std(log_evidence_of_std(data, 0.0, 2.0).sum(-2))
    if label == "equal mean and std":
        return over_std(log_evidence_of_std(data.pooled(), 0.0, 2.0).sum(-2))
    given_shift = [over_std(log_evidence_of_std(data, s, 1.0)).sum(-1) for s in PLACES]
    prior = log_normal_density(PLACES, 0.0, 1.0)
    return log_integral(np.stack(given_shift, -1) + prior, PLACES)


def log_bayes_factor(label: str, data: Summary) -> Array:
    """Of a model that shares something against the best of those that it restricts."""
    best = log_evidence("free", data)
    if label == "equal mean and std":
        best = np.maximum(best, log_evidence("equal std", data))
    return log_evidence(label, data) - best


class MeanField(NamedTuple):
    """A normal guide over the means and the log stds, with the shifts."""

    shift: Array
    mean: Array
    mean_scale: Array
    log_std: Array
    log_std_scale: Array
    elbo: float


def elbo(data: Summary, ties: Ties, guide: MeanField) -> float:
    """E log p(values, mean, std) - E log q, in closed form."""
    place = (guide.shift[[*ties.shift]] + guide.mean[[*ties.mean]], guide.mean_scale[[*ties.mean]])
    log_std, scale = guide.log_std[[*ties.std]], guide.log_std_scale[[*ties.std]]
    residual = data.squares + data.sizes * ((data.averages - place[0]) ** 2 + place[1] ** 2)
    precision = np.exp(-2 * log_std + 2 * scale**2) / data.spread**2
    likelihood = -data.sizes * (np.log(data.spread) + log_std + 0.5 * LOG_2PI)
    divergence = normal_divergence(guide.mean, guide.mean_scale).sum()
    divergence += normal_divergence(guide.log_std, guide.log_std_scale).sum()
    return float((likelihood - 0.5 * precision * residual).sum() - divergence)


def normal_divergence(mean: Array, scale: Array) -> Array:
    """KL(Normal(mean, scale) || Normal(0, 1))."""
    return np.asarray(0.5 * (mean**2 + scale**2 - 1) - np.log(scale))


def best_guide(label: str, data: Summary) -> MeanField:
    """The guide and the shifts of the greatest ELBO."""
    ties = TIES[label]
    shift = data.averages if ties.shift == OWN else np.zeros(1)
    mean = data.averages - shift if ties.mean == OWN else np.zeros(1)
    log_std = np.zeros(max(ties.std) + 1)
    start = [shift, mean, np.full(len(mean), -4.0), log_std, np.full(len(log_std), -3.0)]
    at = np.cumsum([len(part) for part in start])[:-1]

    def guide_of(flat: Array) -> MeanField:
        shift, mean, log_scale, log_std, log_std_scale = np.split(flat, at)
        guide = MeanField(shift, mean, np.exp(log_scale), log_std, np.exp(log_std_scale), 0.0)
        return guide._replace(elbo=elbo(data, ties, guide))

    found = minimize(
        lambda flat: -guide_of(flat).elbo,
        np.concatenate(start),
        method="L-BFGS-B",
        bounds=[(-8.0, 8.0) if x > -3 else (-8.0, 0.0) for x in np.concatenate(start)],
        options={"ftol": 1e-15, "gtol": 1e-7},
    )
    return guide_of(found.x)


def pointwise_elpd(label: str, groups: list[Array], spread: float, guide: MeanField) -> Array:
    """WAIC of each row under the guide, by Gauss-Hermite quadrature over mean and log std."""
    ties = TIES[label]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    log_weights = np.log(weights / weights.sum())
    log_weights = log_weights[:, None, None] + log_weights[:, None]
    result = []
    for g, values in enumerate(groups):
        mean = guide.mean[ties.mean[g]] + guide.mean_scale[ties.mean[g]] * nodes
        place = (mean + guide.shift[ties.shift[g]])[:, None, None]
        log_std = guide.log_std[ties.std[g]] + guide.log_std_scale[ties.std[g]] * nodes
        noise = (spread * np.exp(log_std[:, None])) ** 2
        log_p = log_normal_density(values, place, noise)
        average = (np.exp(log_weights) * log_p).sum((0, 1))
        variance = (np.exp(log_weights) * (log_p - average) ** 2).sum((0, 1))
        result.append(logsumexp(log_weights + log_p, axis=(0, 1)) - variance)
    return np.concatenate(result)


def leave_one_out(groups: list[Array], spread: float) -> Array:
    """Exact log p(row | the other rows) of the free model with the shifts integrated out."""
    result = []
    for values in groups:
        whole = log_evidence("free", Summary.of([values], spread))
        for i in range(len(values)):
            others = Summary.of([np.delete(values, i)], spread)
            result.append(float(whole - log_evidence("free", others)))
    return np.array(result)
