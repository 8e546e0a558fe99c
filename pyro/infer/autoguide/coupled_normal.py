r"""A normal law whose precision is sparse, factored along an order of elimination.

Let :math:`z` be the deviations from the mean in units of conditional standard deviations. For each
site :math:`g`, with neighbours that are eliminated after it,

.. math:: \epsilon_g = (I + A_g) z_g + \sum_h C_{gh} z_h , \quad \epsilon \sim N(0, I) ,

with strictly lower triangular :math:`A_g`. All of it together is :math:`\epsilon = K z` with a
triangular :math:`K` of unit diagonal, so that the precision of :math:`z` is :math:`K^T K`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.infer.autoguide.elimination import Dims, Extent, Front

_ENTRIES_AT_ONCE = 1 << 22
_NO_IDS = torch.zeros(0, dtype=torch.long)


class Layout:
    """Where in a vector of all coordinates the elements of the sites are.

    :param extents: the sites, in the order of the vector.

    >>> layout = Layout({"x": Extent({}, 1), "y": Extent({-1: 3}, 2)})
    >>> {name: tuple(part.shape) for name, part in layout.split(torch.zeros(7)).items()}
    {'x': (1, 1), 'y': (3, 2)}
    """

    def __init__(self, extents: Mapping[str, Extent]) -> None:
        self.depth = max((-dim for e in extents.values() for dim in e.sizes), default=0)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for name, extent in extents.items():
            sizes = [extent.sizes.get(dim, 1) for dim in range(-self.depth, 0)]
            self.shapes[name] = (*sizes, extent.width)
        self.lengths = [math.prod(shape) for shape in self.shapes.values()]
        self.size = sum(self.lengths)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Cut a vector up, into parts of shape ``batch + (width,)``.

        :param vector: the coordinates, shape ``sample + (size,)``.
        """
        sample = vector.shape[:-1]
        parts = vector.split(self.lengths, -1)
        pairs = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(sample + shape) for (name, shape), part in pairs}

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Put parts together again.

        :param parts: the parts by site name.
        """
        cut = self.depth + 1
        return torch.cat([parts[name].flatten(-cut) for name in self.shapes], -1)


def as_vectors(part: Tensor, joint: Dims) -> Tensor:
    """Make batch dimensions of a part of its vectors; they stay with length 1.

    >>> as_vectors(torch.zeros(2, 3, 4), (-2,)).shape
    torch.Size([1, 3, 8])
    """
    for dim in joint:
        part = part.unsqueeze(-2).transpose(dim - 2, -2).flatten(-2)
    return part


def as_elements(part: Tensor, joint: Dims, sizes: Mapping[int, int]) -> Tensor:
    """Undo :func:`as_vectors`.

    >>> as_elements(torch.zeros(1, 3, 8), (-2,), {-2: 2, -1: 3}).shape
    torch.Size([2, 3, 4])
    """
    for dim in reversed(joint):
        part = part.unflatten(-1, (sizes[dim], -1)).transpose(dim - 2, -2).squeeze(-2)
    return part


def beside(front: Front, own: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Return the coordinates of a site's neighbours, next to each of its elements."""
    near = [as_vectors(parts[name], joint) for name, joint in front.near]
    if len(near) == 1:
        return near[0]
    batch = own.shape[:-1]
    return torch.cat([part.expand(batch + part.shape[-1:]) for part in near], -1)


class Factor(Protocol):
    """The matrix :math:`K`."""

    def solve(self, noise: Tensor) -> Tensor:
        """Return :math:`K^{-1}` times a vector."""

    def times(self, z: Tensor) -> Tensor:
        """Return :math:`K` times a vector."""


class SparseFactor:
    """The matrix as its parts, site by site, at a cost that is linear in the sizes of plates.

    :param layout: where the sites are.
    :param extents: the sites.
    :param fronts: the order of elimination.
    :param couplings: for each site :math:`A` and :math:`C` side by side, shape
        ``batch + (own, own + near)``; without :math:`A` where a vector has one coordinate, absent
        where there is nothing to couple.
    """

    def __init__(
        self,
        layout: Layout,
        extents: Mapping[str, Extent],
        fronts: Sequence[Front],
        couplings: Mapping[str, Tensor],
    ) -> None:
        self.layout, self.extents, self.fronts = layout, extents, fronts
        self.couplings = couplings

    def solve(self, noise: Tensor) -> Tensor:
        """Return the vector that the matrix maps to another.

        :param noise: shape ``sample + (size,)``.
        """
        given, parts = self.layout.split(noise), dict[str, Tensor]()
        for front in reversed(self.fronts):
            name = front.site
            own = as_vectors(given[name], front.joint)
            if name in self.couplings:
                inner, outer = _inner_and_outer(self.couplings[name])
                if outer is not None:
                    near = beside(front, own, parts)
                    own = own - (outer @ near.unsqueeze(-1)).squeeze(-1)
                if inner is not None:
                    own = _solve_unit(inner, own)
            parts[name] = as_elements(own, front.joint, self.extents[name].sizes)
        return self.layout.join(parts)

    def times(self, z: Tensor) -> Tensor:
        """Return the matrix times a vector.

        :param z: shape ``sample + (size,)``.
        """
        parts, products = self.layout.split(z), dict[str, Tensor]()
        for front in self.fronts:
            name = front.site
            own = product = as_vectors(parts[name], front.joint)
            if name in self.couplings:
                inner, outer = _inner_and_outer(self.couplings[name])
                if outer is not None:
                    near = beside(front, own, parts)
                    product = product + (outer @ near.unsqueeze(-1)).squeeze(-1)
                if inner is not None:
                    product = product + (inner.tril(-1) @ own.unsqueeze(-1)).squeeze(-1)
            products[name] = as_elements(product, front.joint, self.extents[name].sizes)
        return self.layout.join(products)


def _inner_and_outer(coupling: Tensor) -> tuple[Tensor | None, Tensor | None]:
    own, all_ = coupling.shape[-2:]
    if own == 1:
        return None, coupling
    return coupling[..., :own], coupling[..., own:] if all_ > own else None


def _solve_unit(matrix: Tensor, vector: Tensor) -> Tensor:
    column = vector.unsqueeze(-1)
    solved: Tensor = torch.linalg.solve_triangular(
        matrix, column, upper=False, unitriangular=True
    ).squeeze(-1)
    return solved


class Places:
    """Where in the whole matrix the entries of the couplings are; the order is the eliminations'.

    :param layout: where the sites are.
    :param fronts: the order of elimination.
    """

    def __init__(self, layout: Layout, fronts: Sequence[Front]) -> None:
        size = layout.size
        ids = layout.split(torch.arange(size))
        own_ids = {front.site: as_vectors(ids[front.site], front.joint) for front in fronts}
        flat = [own_ids[front.site].flatten() for front in reversed(fronts)]
        self.order = torch.cat([_NO_IDS, *flat])
        self.rank = torch.empty(size, dtype=torch.long)
        self.rank[self.order] = torch.arange(size)
        self.kept: dict[str, Tensor] = {}
        places = []
        for front in fronts:
            rows, columns = self.rank[own_ids[front.site]], [self.rank[own_ids[front.site]]]
            own = rows.shape[-1]
            is_kept = torch.ones(own, own, dtype=torch.bool).tril(-1)
            if own == 1:
                columns, is_kept = [], is_kept[:, :0]
            if front.near:
                near = beside(front, rows, ids)
                columns.append(self.rank[near.expand(rows.shape[:-1] + near.shape[-1:])])
                is_kept = torch.cat([is_kept, is_kept.new_ones(own, near.shape[-1])], -1)
            if columns:
                grid = rows.unsqueeze(-1) * size + torch.cat(columns, -1).unsqueeze(-2)
                self.kept[front.site] = is_kept.expand(grid.shape).flatten().nonzero()[:, 0]
                places.append(grid.flatten()[self.kept[front.site]])
        self.places = torch.cat([_NO_IDS, *places])


class DenseFactor:
    """The matrix as a whole, with one solve; the cost is quadratic in the number of coordinates.

    :param places: where the entries of the couplings are.
    :param couplings: as for :class:`SparseFactor`.
    :param like: a tensor of the dtype and device to compute with.
    """

    def __init__(self, places: Places, couplings: Mapping[str, Tensor], like: Tensor) -> None:
        size = len(places.order)
        self.order, self.rank = places.order, places.rank
        matrix = like.new_zeros(size * size)
        if couplings:
            entries = [couplings[name].flatten()[kept] for name, kept in places.kept.items()]
            matrix = matrix.index_put((places.places,), torch.cat(entries))
        self.matrix = matrix.reshape(size, size)

    def solve(self, noise: Tensor) -> Tensor:
        """Return the vector that the matrix maps to another.

        :param noise: shape ``sample + (size,)``.
        """
        return _solve_unit(self.matrix, noise[..., self.order])[..., self.rank]

    def times(self, z: Tensor) -> Tensor:
        """Return the matrix times a vector.

        :param z: shape ``sample + (size,)``.
        """
        ordered = z[..., self.order]
        product = ordered + (self.matrix @ ordered.unsqueeze(-1)).squeeze(-1)
        return product[..., self.rank]


class CoupledNormal(TorchDistribution):
    r"""The normal law of :math:`\mu + \sigma K^{-1} \epsilon`, whose density needs no determinant.

    .. math:: \log p(x) = \log N\bigl(K (x - \mu) / \sigma; 0, I\bigr) - \sum_i \log \sigma_i

    :param loc: the mean :math:`\mu`, a vector.
    :param scale: the standard deviations :math:`\sigma` of each coordinate given all that are
        eliminated after it.
    :param factor: the matrix :math:`K`, triangular with unit diagonal.
    :param batch_shape: the shape of independent copies.
    :param validate_args: whether to check parameters and values.
    """

    arg_constraints = {"loc": constraints.real_vector, "scale": constraints.dependent}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        factor: Factor,
        batch_shape: Shape = NO_SHAPE,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.factor = loc, scale, factor
        self._drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(batch_shape, loc.shape, validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "CoupledNormal":
        """Return independent copies of the law.

        :param batch_shape: the batch shape to have.
        """
        return CoupledNormal(self.loc, self.scale, self.factor, as_shape(batch_shape), False)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc.expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """The variance of each coordinate, at a cost of as many solves as there are coordinates."""
        size = len(self.loc)
        rows = max(1, _ENTRIES_AT_ONCE // max(1, size))
        total = torch.zeros_like(self.loc)
        for start in range(0, size, rows):
            unit = torch.zeros(min(rows, size - start), size).to(self.loc)
            unit[:, start:].fill_diagonal_(1.0)
            total = total + self.factor.solve(unit).square().sum(0)
        return (self.scale.square() * total).expand(self.batch_shape + self.event_shape)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw, differentiably.

        :param sample_shape: how many independent draws.
        """
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        value = self.loc + self.scale * self.factor.solve(noise)
        self._drawn = value, noise
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Score a value; what was drawn last is scored by the noise that it was made of.

        :param value: shape ``sample_shape + batch_shape + event_shape``.
        """
        if self._drawn is not None and value is self._drawn[0]:
            noise = self._drawn[1]
        else:
            noise = self.factor.times((value - self.loc) / self.scale)
        constant = 0.5 * math.log(2 * math.pi) * len(self.loc) + self.scale.log().sum()
        return -0.5 * noise.square().sum(-1) - constant

    def entropy(self) -> Tensor:
        """Return the entropy."""
        constant = 0.5 * (1 + math.log(2 * math.pi)) * len(self.loc)
        return (constant + self.scale.log().sum()).expand(self.batch_shape)
