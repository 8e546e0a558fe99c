"""Sums and integrals over the support of a law, with bounds of their errors.

What is summed over follows from the support. A discrete one is listed, up to where nothing is left;
a continuous one is the image of one or more real coordinates. In one coordinate panels are halved
until the rules of Gauss and Kronrod agree; in two a trapezoidal rule stands against its own half,
both after a stretch that makes tails fall off doubly exponentially (Takahasi and Mori, 1974,
doi:10.2977/prims/1195192451); in more, points are drawn from a law with heavy tails.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.distributions import constraints, transforms
from tests.distributions.examples.example import Example
from tests.helpers import MAX_Z

PANELS = 76
SIDE = 161  # of a grid in two coordinates
DRAWS = 50_000
FINE = 1e-11  # what panels are halved down to
# Between the last number and the end of an interval lies half of the digits of a probability, where
# a density grows like one over a square root.
ROUNDING = 4 * torch.finfo(torch.float64).eps ** 0.5

# Kronrod (1965): nodes and weights of 15 points, of which every second is one of Gauss's 7.
_KRONROD = (
    (0.991455371120812639206854697526, 0.022935322010529224963732008059, 0.0),
    (
        0.949107912342758524526189684048,
        0.063092092629978553290700663189,
        0.129484966168869693270611,
    ),
    (0.864864423359769072789712788641, 0.104790010322250183839876322542, 0.0),
    (
        0.741531185599394439863864773281,
        0.140653259715525918745189590510,
        0.279705391489276667901468,
    ),
    (0.586087235467691130294144691677, 0.169004726639267902826583426599, 0.0),
    (
        0.405845151377397166906606412077,
        0.190350578064785409913256402421,
        0.381830050505118944950370,
    ),
    (0.207784955007898467600689403773, 0.204432940075298892414161999235, 0.0),
)
_CENTRE = (0.0, 0.209482141084727828012999174892, 0.417959183673469387755102)
_RULE = torch.tensor(
    [(-x, w, g) for x, w, g in _KRONROD] + [_CENTRE] + [*reversed(_KRONROD)], dtype=torch.float64
)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Values and weights: a weighted sum over the values is an integral over a law's support.

    :param values: shape ``(n,) + batch_shape + event_shape``.
    :param log_weights: logarithms of the weights, which broadcast to ``(n,) + batch_shape``.
    :param share: what share of each weight a coarser rule gives, which tells the error; None where
        the values were drawn at random, so that the error is one of sampling.
    :param edges: where values come in panels, their ends, shape ``(panels + 1,) + batch_shape``.
    """

    values: Tensor
    log_weights: Tensor
    share: Tensor | None = None
    edges: Tensor | None = None

    def masses(self, law: Any) -> Tensor:
        """Return each node's part of the integral of the density."""
        with dist.validation_enabled(False):  # rounding may take a value out of the support
            mass: Tensor = (law.log_prob(self.values) + self.log_weights).exp()
        mass = torch.where((mass == math.inf) | (self.log_weights == -math.inf), 0.0, mass)
        if mass.isnan().any():
            mass = torch.where(law.support.check(self.values), mass, 0.0)
        return mass

    def integral(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the terms over the nodes, and a bound of its error.

        :param terms: integrands times weights, the nodes along dim 0. The bound is rigorous where
            the finer rule errs less than the coarser; where values were drawn it is ``MAX_Z``
            standard errors.
        """
        total, count = terms.sum(0), len(terms)
        if self.share is None:
            return total, MAX_Z * math.sqrt(count) * terms.std(0)
        share = self.share.reshape(-1, *(1,) * (terms.dim() - 1))
        return total, (terms * (1 - share)).sum(0).abs() + ROUNDING * terms.abs().sum(0)

    def expectation(self, law: Any, f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the expectation of a function of the value, and a bound of its error."""
        result, mass = f(self.values), self.masses(law)
        mass = mass.reshape(mass.shape + (1,) * (result.dim() - mass.dim()))
        return self.integral(torch.where(mass == 0, 0.0, mass * result))


@functools.cache
def nodes_of(example: Example) -> Nodes:
    """Return what to integrate an example's density over, in double precision."""
    return nodes_for(example, example.make(torch.float64))


def nodes_for(example: Example, law: Any) -> Nodes:
    """Return what to integrate over, for a law like an example's.

    :raises NotImplementedError: where it does not follow from the support: set ``nodes`` then.
    """
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(7)
        if example.nodes is not None:
            nodes: Nodes = example.nodes(law)
            return nodes
        support = bare(law.support)
        if support.is_discrete:
            return listed(law, support)
        if support is constraints.sphere:
            return circle_of_vectors(law) if law.event_shape == (2,) else sphere(law)
        chart = coordinates(law, support)
        size = chart.draws.size(-1)
        return {1: panels, 2: grid}.get(size, drawn)(law, chart)


def bare(support: Any) -> Any:
    """Return the set that a support repeats or stands for."""
    wrapped = (constraints.independent, constraints.MixtureSameFamilyConstraint)
    while isinstance(support, wrapped):
        support = support.base_constraint
    return support


def listed(law: Any, support: Any) -> Nodes:
    """List the values of a discrete law; those that are left out have next to no probability."""
    if law.has_enumerate_support:
        values = law.enumerate_support()
        return Nodes(
            values, torch.zeros(values.shape[: values.dim() - law.event_dim]), ones(values)
        )
    if isinstance(support, constraints.multinomial):
        count = torch.as_tensor(support.upper_bound)
        most = int(count.max())
        nodes = products(law, most + 1, lambda rows: rows.sum(-1) <= most)
        return Nodes(nodes.values, (nodes.values.sum(-1) == count).double().log(), nodes.share)
    if support is constraints.boolean:
        return products(law, 2)
    if isinstance(support, constraints.integer_interval):
        return products(law, int(torch.as_tensor(support.upper_bound).max()) + 1)
    if not isinstance(support, type(constraints.nonnegative_integer)):
        raise NotImplementedError(f"{law}: the values of {support} are not listed")
    limit = 64
    while True:
        nodes = products(law, limit)
        inner = (nodes.values < limit // 2).reshape(len(nodes.values), -1).all(-1)
        halves = Nodes(nodes.values, nodes.log_weights, inner.double())
        mass = nodes.masses(law)
        if mass[~inner].sum(0).max() < FINE or len(nodes.values) > 10**6:
            return halves
        limit *= 2


def ones(values: Tensor) -> Tensor:
    return torch.ones(len(values), dtype=torch.float64)


def products(law: Any, limit: int, kept: Callable[[Tensor], Tensor] | None = None) -> Nodes:
    """List vectors of numbers below a limit."""
    size = law.event_shape.numel()
    one = torch.arange(limit, dtype=torch.float64)
    rows = torch.cartesian_prod(*[one] * size).reshape(-1, size)
    rows = rows if kept is None else rows[kept(rows)]
    rows = rows.reshape(-1, *(1,) * len(law.batch_shape), *law.event_shape)
    values = rows.expand(len(rows), *law.batch_shape, *law.event_shape)
    inside = law.support.check(values)
    if not law.event_shape:  # a law may not know what to do further out
        highest = torch.as_tensor(getattr(bare(law.support), "upper_bound", math.inf))
        values = values.minimum(highest.double())
    return Nodes(values, inside.double().log(), ones(values))


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Real numbers for the values of a law, and draws that tell where most of them are.

    :param to_value: from coordinates, shape ``(n,) + batch_shape + (size,)``, to values and the log
        determinants of the map.
    :param draws: coordinates of draws.
    :param heavy: whether probabilities may fall off as a power of the coordinates.
    """

    to_value: Callable[[Tensor], tuple[Tensor, Tensor]]
    draws: Tensor
    heavy: bool

    def stretched(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, and log determinants, from coordinates that go no further than 6."""
        quarters = self.draws.quantile(torch.tensor([0.25, 0.5, 0.75]).double(), 0)
        scale = (quarters[2] - quarters[0]).clamp(min=1e-3)
        far, log_slope = stretch(t, self.heavy)
        value, jacobian = self.to_value(quarters[1] + scale * far)
        return value, jacobian + (log_slope + scale.log()).sum(-1)


def stretch(t: Tensor, heavy: bool) -> tuple[Tensor, Tensor]:
    """Return ``sinh t``, or ``sinh(pi / 2 sinh t)`` where tails are heavy, and log slopes."""
    inner, log_slope = torch.sinh(t), torch.cosh(t).log()
    if not heavy:
        return inner, log_slope
    inner = inner * (math.pi / 2)
    return torch.sinh(inner), log_slope + torch.cosh(inner).log() + math.log(math.pi / 2)


def coordinates(law: Any, support: Any) -> Coordinates:
    """Return coordinates for the values of a law with continuous support."""
    transform, finish = steps_to(support, law.event_shape[-1] if law.event_shape else 1)
    shape = transform.inverse_shape(law.event_shape) if law.event_shape else law.event_shape

    def to_value(free: Tensor) -> tuple[Tensor, Tensor]:
        leading = free.shape[:-1]
        free = free.reshape(leading + shape)
        first = transform(free)
        jacobian = transform.log_abs_det_jacobian(free, first).reshape(*leading, -1).sum(-1)
        value, more = finish(first)
        return value, jacobian + more

    value = law.sample((400,))
    value = value if finish is unchanged else torch.linalg.cholesky_ex(value).L
    free = transform.inv(value).nan_to_num()
    draws = free.reshape(*free.shape[: free.dim() - len(shape)], shape.numel())
    return Coordinates(to_value, draws, support is constraints.real)


def unchanged(value: Tensor) -> tuple[Tensor, Any]:
    return value, 0.0


def square(factor: Tensor, first_power: int, extra: float) -> tuple[Tensor, Tensor]:
    size = factor.size(-1)
    powers = torch.arange(size, 0, -1, dtype=torch.float64) - first_power
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    return factor @ factor.mT, (powers * diagonal.log()).sum(-1) + size * extra


class Triangle(transforms.Transform):
    """From vectors to lower triangular matrices of positive diagonal, row by row."""

    domain = constraints.real_vector
    codomain = constraints.lower_cholesky
    bijective = True

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.where = torch.tril_indices(size, size)
        self.diagonal = self.where[0] == self.where[1]

    def _call(self, x: Tensor) -> Tensor:
        factor = x.new_zeros(*x.shape[:-1], self.size, self.size)
        factor[..., self.where[0], self.where[1]] = torch.where(self.diagonal, x.exp(), x)
        return factor

    def _inverse(self, y: Tensor) -> Tensor:
        entries = y[..., self.where[0], self.where[1]]
        return torch.where(self.diagonal, entries.clamp(min=1e-300).log(), entries)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x[..., self.diagonal].sum(-1)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size((len(self.diagonal),))


def steps_to(support: Any, size: int) -> tuple[Any, Callable[[Tensor], tuple[Tensor, Any]]]:
    """Return a transform from real coordinates, and what is to be done to its result."""
    if isinstance(support, type(constraints.positive_definite)):
        return Triangle(size), lambda factor: square(factor, 0, math.log(2))
    if support is constraints.corr_matrix:
        factors = transforms.CorrCholeskyTransform()
        return factors, lambda factor: square(factor, 1, 0)
    if support is constraints.lower_cholesky:
        return Triangle(size), unchanged
    return dist.biject_to(support), unchanged


def highest_moment(law: Any) -> int:
    """Return the order of the highest moment, up to two, that the law says it has."""
    for order, name in ((2, "variance"), (1, "mean")):
        try:
            if getattr(law, name).isfinite().all():
                return order
        except NotImplementedError:
            continue
    return 0


def panels(law: Any, chart: Coordinates) -> Nodes:
    """Halve panels of one coordinate until two rules agree about the density and its moments."""
    order, ones = highest_moment(law), (1,) * len(law.batch_shape)

    def at(t: Tensor) -> tuple[Tensor, Tensor]:
        return chart.stretched(t.reshape(-1, *ones, 1).expand(-1, *law.batch_shape, 1))

    edges = torch.linspace(-5.5, 5.5, PANELS + 1, dtype=torch.float64)
    while True:
        half = edges.diff()[:, None] / 2
        values, log_slope = at(edges[:-1, None] + half * (1 + _RULE[:, 0]))
        log_weights = log_slope + (half * _RULE[:, 1]).log().reshape(-1, *ones)
        share = (_RULE[:, 2] / _RULE[:, 1]).repeat(len(half))
        nodes = Nodes(values, log_weights, share, None if law.event_shape else at(edges)[0])
        size = values.abs().reshape(*log_slope.shape, -1).amax(-1)
        mass = nodes.masses(law)
        terms = torch.where(mass == 0, 0.0, mass * (1 + size**order)).reshape(len(half), 15, -1)
        error = (terms * (1 - share[:15, None])).sum(1).abs() / terms.sum((0, 1))
        wrong = (error > FINE).any(-1)
        if not wrong.any() or len(half) > 1000:
            return nodes
        edges = torch.cat([edges, (edges[:-1] + half[:, 0])[wrong]]).sort().values


def grid(law: Any, chart: Coordinates) -> Nodes:
    """Lay a grid over two coordinates; its every second line is the coarser rule."""
    t = torch.linspace(-4.6, 4.6, SIDE, dtype=torch.float64)
    both = torch.cartesian_prod(t, t)
    batch = law.batch_shape
    column = both.reshape(-1, *(1,) * len(batch), 2).expand(-1, *batch, 2)
    values, log_slope = chart.stretched(column)
    second = torch.arange(SIDE) % 2 == 0
    share = 4.0 * (second[:, None] & second).double().reshape(-1)
    return Nodes(values, log_slope + 2 * math.log(t[1] - t[0]), share)


def drawn(law: Any, chart: Coordinates) -> Nodes:
    """Draw coordinates from Student's law of two degrees of freedom, fitted to the law's draws."""
    quarters = chart.draws.quantile(torch.tensor([0.25, 0.5, 0.75]).double(), 0)
    reach = 5 * (quarters[2] - quarters[0])
    near = chart.draws.clamp(quarters[1] - reach, quarters[1] + reach)
    away = near - near.mean(0)
    covariance = torch.einsum("n...i,n...j->...ij", away, away) / len(near)
    covariance = covariance + 1e-6 * torch.eye(covariance.size(-1)).double()
    proposal = dist.MultivariateStudentT(
        torch.tensor(2.0).double(), near.mean(0), torch.linalg.cholesky(covariance)
    )
    free = proposal.sample((DRAWS,))
    values, jacobian = chart.to_value(free)
    log_weights = jacobian - proposal.log_prob(free) - math.log(DRAWS)
    size = values.abs().reshape(*log_weights.shape, -1).amax(-1)
    lost = ~law.support.check(values) | ~(size < 1e100)  # to rounding, far out
    values = torch.where(lost[(...,) + (None,) * law.event_dim], law.sample(), values)
    return Nodes(values, torch.where(lost, -math.inf, log_weights))


def circle(law: Any) -> Nodes:
    """Go round the circle by the angle, or round the torus by two: an event holds the angles."""
    size = law.event_shape.numel()
    side = 200 if size == 1 else 120
    turn = torch.arange(side, dtype=torch.float64) * (2 * math.pi / side) - math.pi
    angles = torch.cartesian_prod(*[turn] * size).reshape(-1, *law.event_shape)
    second = torch.cartesian_prod(*[torch.arange(side) % 2 == 0] * size).reshape(-1, size).all(-1)
    weight = torch.tensor(size * math.log(2 * math.pi / side), dtype=torch.float64)
    edges = torch.cat([turn, -turn[:1]]) - math.pi / side if not law.event_shape else None
    return spread(law, Nodes(angles, weight, second * 2.0**size, edges))


def circle_of_vectors(law: Any) -> Nodes:
    """Go round the circle; an event is the vector of a point."""
    turn = torch.arange(400, dtype=torch.float64) * (2 * math.pi / 400)
    weight = torch.tensor(math.log(2 * math.pi / 400), dtype=torch.float64)
    share = 2.0 * (torch.arange(400) % 2 == 0)
    return spread(law, Nodes(torch.stack([turn.cos(), turn.sin()], -1), weight, share))


def sphere(law: Any) -> Nodes:
    """Go round the sphere by height, in which its area is even, and angle."""
    z = _RULE[:, 0]
    height = (torch.arange(4)[:, None] + (1 + z) / 2).reshape(-1) / 2 - 1
    log_weight = (_RULE[:, 1] / 4).log().repeat(4)
    share = (_RULE[:, 2] / _RULE[:, 1]).repeat(4)
    turn = torch.arange(80, dtype=torch.float64) * (2 * math.pi / 80)
    second = 2.0 * (torch.arange(80) % 2 == 0)
    radius = (1 - height**2).sqrt()[:, None]
    plane = height[:, None].expand(-1, 80)
    values = torch.stack([radius * turn.cos(), radius * turn.sin(), plane], -1).reshape(-1, 3)
    log_weight = (log_weight + math.log(2 * math.pi / 80)).repeat_interleave(80)
    return spread(law, Nodes(values, log_weight, (share[:, None] * second).reshape(-1)))


def spread(law: Any, nodes: Nodes) -> Nodes:
    """Repeat the same nodes over the batch of a law."""
    batch = law.batch_shape
    ones = (1,) * len(batch)
    values = nodes.values.reshape(-1, *ones, *law.event_shape)
    values = values.expand(-1, *batch, *law.event_shape)
    log_weights = nodes.log_weights.reshape(-1, *ones)
    edges = nodes.edges
    if edges is not None:
        edges = edges.reshape(-1, *ones).expand(-1, *batch)
    return Nodes(values, log_weights, nodes.share, edges)
