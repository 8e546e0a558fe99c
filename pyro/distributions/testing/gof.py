r"""Goodness of fit: do samples follow the law that they are said to follow?

Each test returns a *p-value*: the probability that samples which do follow the law look at least as
odd as these. A test that fails below some level :math:`a` raises a false alarm with probability
:math:`a`, or less; at very small levels, around :math:`10^{-5}`, up to twice that, for that is how
exact Pearson's statistic is. Every decision rests on that statistic, with cells of 10 expected
samples or more; what has too few samples for two cells raises :class:`InvalidTest`.

>>> from pyro.distributions.normal import Normal
>>> _ = torch.manual_seed(0)
>>> law = Normal(0.0, 1.0)
>>> samples = law.sample((1000,))
>>> auto_goodness_of_fit(samples, law.log_prob(samples).exp()) > 1e-3
True
>>> auto_goodness_of_fit(1.2 * samples, law.log_prob(1.2 * samples).exp()) > 1e-3
False
"""

import math

import torch
from torch import Tensor

from pyro._foundation.optional import import_optional
from pyro.distributions.testing.special import chi2sf

_EXPECTED_PER_CELL = 10.0
_EXPECTED_PER_BIN = 20.0
_PAIRS = 5 / 3  # how often a distance between neighbours counts in the mean, at most
_UNHEARD_OF = 14.0  # a mean gap with this much added, over log n, comes once in a million tests
_BAR_WIDTH = 60


class InvalidTest(ValueError):
    """What was given does not allow a test: too few samples, or numbers that are no law."""


def _require(true: bool, fact: str) -> None:
    if not true:
        raise InvalidTest(fact)


def _doubles(values: Tensor) -> Tensor:
    return torch.as_tensor(values).detach().to(torch.float64)


def print_histogram(probs: Tensor, counts: Tensor) -> None:
    """Print counts as bars, with the probabilities of their cells, the most probable first.

    A bar ends at a mark, ``|``, where the count agrees with the probability.

    :param probs: the probability of each cell.
    :param counts: how many samples fell into it.

    >>> print_histogram(torch.tensor([0.25, 0.75]), torch.tensor([3, 5]))
    probability     count
         0.7500         5  **************************************************        |
         0.2500         3  *******************|**********
    """
    probs, counts = _doubles(probs), _doubles(counts)
    expected = probs * counts.sum()
    unit = _BAR_WIDTH / max(expected.max().item(), counts.max().item(), 1.0)
    print(f"{'probability':>11} {'count':>9}")
    for i in probs.argsort(descending=True).tolist():
        length, mark = round(counts[i].item() * unit), round(expected[i].item() * unit)
        bar = "*" * length + " " * max(0, mark - length)
        bar = bar[: mark - 1] + "|" + bar[mark:] if mark else "|" + bar[1:]
        print(f"{probs[i].item():11.4f} {counts[i].item():9.0f}  {bar}")


def multinomial_goodness_of_fit(
    probs: Tensor, counts: Tensor, *, total_count: int | None = None, plot: bool = False
) -> float:
    r"""Test counts in cells against the probabilities of the cells, by Pearson's statistic.

    .. math:: X^2 = \sum_k \frac{(c_k-np_k)^2}{np_k} \sim \chi^2_{K-1}

    Cells with :math:`np_k<10` are put together, the smallest first, until they hold as much. What
    the probabilities lack of 1 is a cell of its own.

    :param probs: the probability of each cell.
    :param counts: how many samples fell into it.
    :param total_count: the number of samples :math:`n`; None for the sum of the counts. It is
        larger where some samples fell into no cell.
    :param plot: whether to print a histogram.
    :return: the p-value; 0 where there are samples in a cell of probability 0.
    :raises InvalidTest: where fewer than two cells are left.

    >>> multinomial_goodness_of_fit(torch.tensor([0.5, 0.5]), torch.tensor([40, 60]))
    0.0455...
    """
    probs, counts = _doubles(probs).flatten(), _doubles(counts).flatten()
    _require(
        probs.shape == counts.shape and bool((probs >= 0).all() & (counts >= 0).all()),
        "probs and counts must be as many numbers, none of them negative or NaN.",
    )
    n = counts.sum().item() if total_count is None else float(total_count)
    rest, missing = 1.0 - probs.sum().item(), n - counts.sum().item()
    _require(rest > -1e-4, f"probs sum to {1 - rest:.6g}, expected at most 1.")
    _require(missing >= 0, f"counts sum to {n - missing:g}, expected at most {n:g}, total_count.")
    if rest > 1e-6 or missing:
        probs = torch.cat([probs, probs.new_tensor([max(rest, 0.0)])])
        counts = torch.cat([counts, counts.new_tensor([missing])])
    if plot:
        print_histogram(probs, counts)
    if bool((counts[probs == 0] > 0).any()):
        return 0.0
    expected, observed = _joined(probs * (n / probs.sum().item()), counts)
    _require(
        len(expected) > 1,
        f"{n:g} samples are too few for two cells of {_EXPECTED_PER_CELL:g} or more. Draw more.",
    )
    statistic = ((observed - expected).square() / expected).sum().item()
    return float(chi2sf(statistic, len(expected) - 1))


def _joined(expected: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Put small cells together, the smallest first, until each holds enough."""
    order = expected.argsort()
    cells: list[int] = []
    mass = 0.0
    for value in expected[order].tolist():
        if not cells or mass >= _EXPECTED_PER_CELL:
            mass = 0.0
            cells.append(0 if not cells else cells[-1] + 1)
        else:
            cells.append(cells[-1])
        mass += value
    if mass < _EXPECTED_PER_CELL:
        cells = [min(cell, max(0, cells[-1] - 1)) for cell in cells]
    index = torch.tensor(cells)
    joined = expected.new_zeros(2, cells[-1] + 1)
    joined[0].index_add_(0, index, expected[order])
    joined[1].index_add_(0, index, counts[order])
    return joined[0], joined[1]


def unif01_goodness_of_fit(samples: Tensor, *, plot: bool = False) -> float:
    r"""Test numbers against the uniform law on the unit interval.

    Counts in :math:`2n^{2/5}` bins of one size (Mann and Wald, 1942), or fewer so that each expects
    20 samples, are tested as those of a multinomial law.

    :param samples: independent numbers.
    :param plot: whether to print a histogram.
    :return: the p-value; 0 where a number lies outside.
    :raises InvalidTest: where there are fewer than 40.

    >>> unif01_goodness_of_fit((torch.arange(100) + 0.5) / 100)
    1.0
    """
    samples = _doubles(samples).flatten()
    return _uniformity(samples, 1.0, plot)


def _uniformity(samples: Tensor, dependence: float, plot: bool) -> float:
    """Test uniformity, where counts vary more than independent ones by some factor or less."""
    n = samples.numel()
    bins = min(int(2 * n**0.4), int(n / _EXPECTED_PER_BIN))
    _require(bins >= 2, f"{n} samples are too few, expected {2 * _EXPECTED_PER_BIN:g} or more.")
    if not bool(((samples >= 0) & (samples <= 1)).all()):
        return 0.0
    counts = torch.bincount((samples * bins).long().clamp(max=bins - 1), minlength=bins)
    if plot:
        print_histogram(torch.full((bins,), 1.0 / bins), counts)
    statistic = (counts - n / bins).square().sum().item() * bins / n
    return float(chi2sf(statistic / dependence, bins - 1))


def exp_goodness_of_fit(samples: Tensor, plot: bool = False) -> float:
    r"""Test numbers against the exponential law of unit rate, as uniformity of :math:`e^{-x}`.

    :param samples: independent numbers.
    :param plot: whether to print a histogram, in :math:`e^{-x}`.
    :return: the p-value; 0 where a number is negative.
    :raises InvalidTest: where there are fewer than 40.

    >>> exp_goodness_of_fit(-((torch.arange(100) + 0.5) / 100).log())
    1.0
    """
    return unif01_goodness_of_fit(torch.exp(-_doubles(samples)), plot=plot)


def density_goodness_of_fit(samples: Tensor, probs: Tensor, plot: bool = False) -> float:
    r"""Test numbers against a law on the line of which only the density at the samples is known.

    The mass between neighbours is estimated from the densities at both. Two things are tested: that
    masses add up to uniform positions, which shows a wrong shape, and that each mass
    :math:`m` has :math:`P(m>t)=(1-t)^n`, which shows a wrong level, or samples that are not
    independent. The smaller of both p-values is doubled, so that the result is valid, if a little
    cautious.

    A mass that is too large to occur once in a million tests is taken as a gap in the support.

    :param samples: independent numbers.
    :param probs: the density, normalised, at each.
    :param plot: whether to print histograms.
    :return: the p-value; 0 where a sample has density 0.
    :raises InvalidTest: where there are fewer than 42.
    """
    samples, probs = _doubles(samples).flatten(), _doubles(probs).flatten()
    if not _are_possible(samples, probs):
        return 0.0
    n = len(samples)
    samples, order = samples.sort()
    low, high = probs[order][:-1], probs[order][1:]
    equal = (high - low).abs() <= 1e-6 * low
    ratio = torch.where(equal, torch.ones_like(low) * 2, high / low)
    mean = torch.where(equal, (low + high) / 2, low * (ratio - 1) / ratio.log())
    mass = samples.diff() * mean
    mass = torch.where(mass > (math.log(n + 1) + _UNHEARD_OF) / n, 1.0 / n, mass)
    positions = mass.cumsum(0)
    levels = (-n * _minus_log_rest(mass)).exp()
    shape = _uniformity(positions[:-1] / positions[-1:], 1.0, plot)
    return min(1.0, 2 * min(shape, _uniformity(levels, 1.0, plot)))


def _minus_log_rest(mass: Tensor) -> Tensor:
    return -torch.log1p(-mass.clamp(max=1 - 1e-12))


def _are_possible(samples: Tensor, probs: Tensor) -> bool:
    _require(
        samples.shape[:1] == probs.shape,
        f"samples have shape {tuple(samples.shape)}, expected one for each of the densities, "
        f"which have shape {tuple(probs.shape)}.",
    )
    finite = bool(samples.isfinite().all()) and bool((probs >= 0).all() and probs.isfinite().all())
    _require(finite, "samples and densities must be finite, densities not negative.")
    return bool((probs > 0).all())


def volume_of_sphere(dim: int, radius: Tensor | float) -> Tensor | float:
    r"""Return the volume that a sphere encloses, :math:`\pi^{d/2}r^d/\Gamma(d/2+1)`.

    :param dim: the dimension :math:`d`.
    :param radius: the radius :math:`r`.

    >>> round(volume_of_sphere(2, 1.0), 4)
    3.1416
    """
    unit: float = math.pi ** (0.5 * dim) / math.gamma(0.5 * dim + 1)
    power: Tensor | float = radius**dim
    return unit * power


def get_nearest_neighbor_distances(samples: Tensor) -> Tensor:
    """Return the distance from each point to the nearest other one. It needs SciPy.

    :param samples: points, of shape ``(n, d)``.
    :return: shape ``(n,)``, in double precision.
    :raises InvalidTest: for another shape.

    >>> get_nearest_neighbor_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]))
    tensor([5., 1., 1.], dtype=torch.float64)
    """
    _require(samples.dim() == 2, f"samples have shape {tuple(samples.shape)}, expected (n, d).")
    points = _doubles(samples).cpu().numpy()
    tree = import_optional("scipy.spatial", "test").cKDTree(points)
    distances, _ = tree.query(points, k=2)
    return torch.as_tensor(distances[:, 1])


def vector_density_goodness_of_fit(
    samples: Tensor, probs: Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    r"""Test points of a space against a law of which only the density at the samples is known.

    The ball around a sample that reaches to its nearest neighbour has a mass :math:`m` with
    :math:`P(m>t)=(1-t)^{n-1}` (Bickel and Breiman, 1983). Points come in pairs that are each
    other's nearest neighbour, two thirds of them on a line and fewer in space. Their masses are
    alike and count twice, so that Pearson's statistic is up to 5/3 times too large, and is divided
    by that.

    The density is taken as constant within each ball. That errs by the order of
    :math:`n^{-2/d}`, and by :math:`n^{-1/d}` where the support has an edge, against a noise of
    :math:`n^{-1/2}`: in more than three dimensions, or near edges in more than one, many samples
    raise false alarms. Samples on a bounded set are better mapped to the whole space first.

    :param samples: independent points, along the leftmost dimension.
    :param probs: the density, normalised, at each, of shape ``(n,)``.
    :param dim: the dimension of the set that they lie in, where it is not that of the space; the
        density is with respect to its area, measured as distances are.
    :param plot: whether to print a histogram.
    :return: the p-value; 0 where a sample has density 0.
    :raises InvalidTest: where there are fewer than 40.
    """
    probs = _doubles(probs).flatten()
    samples = _doubles(samples).reshape(len(samples), -1)
    if not _are_possible(samples, probs):
        return 0.0
    _require(len(samples) > 1, "1 sample has no neighbour. Draw more.")
    radius = get_nearest_neighbor_distances(samples)
    mass = volume_of_sphere(samples.size(-1) if dim is None else dim, radius) * probs.cpu()
    levels = (-(len(samples) - 1) * _minus_log_rest(mass)).exp()
    return _uniformity(levels, _PAIRS, plot)


def auto_goodness_of_fit(
    samples: Tensor, probs: Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    """Test samples against a law of which only the density, or mass, at the samples is known.

    Numbers go to :func:`density_goodness_of_fit`, points to
    :func:`vector_density_goodness_of_fit`. Samples of an integer dtype, or with ``dim=0``, are
    those of a discrete law: values that ten or more samples are expected to take are counted and
    go to :func:`multinomial_goodness_of_fit`, all others together as one.

    :param samples: independent samples, along the leftmost dimension.
    :param probs: the density, or mass, at each, of shape ``(n,)``.
    :param dim: the dimension of the set that they lie in, 0 for a discrete one; None for the size
        of a sample.
    :param plot: whether to print histograms.
    :return: the p-value.
    :raises InvalidTest: where there are too few.

    >>> _ = torch.manual_seed(0)
    >>> samples = torch.randint(5, (200,))
    >>> auto_goodness_of_fit(samples, torch.full((200,), 0.2)) > 1e-3
    True
    """
    _require(samples.dim() > 0, "samples is a number, expected many along its first dimension.")
    flat = samples.reshape(len(samples), -1)
    if dim == 0 or not samples.is_floating_point():
        return _discrete_goodness_of_fit(flat, probs, plot)
    if flat.size(-1) == 1 and dim in (None, 1):
        return density_goodness_of_fit(flat, probs, plot)
    return vector_density_goodness_of_fit(flat, probs, dim=dim, plot=plot)


def _discrete_goodness_of_fit(samples: Tensor, probs: Tensor, plot: bool) -> float:
    probs = _doubles(probs).flatten()
    if not _are_possible(samples, probs):
        return 0.0
    values, which, counts = samples.unique(dim=0, return_inverse=True, return_counts=True)
    masses = probs.new_zeros(len(values)).index_copy_(0, which, probs)
    frequent = len(samples) * masses >= _EXPECTED_PER_CELL
    return multinomial_goodness_of_fit(
        masses[frequent], counts[frequent], total_count=len(samples), plot=plot
    )
