"""In which order to eliminate the sites of a Gaussian from its dependency graph, and at what cost.

A Gaussian's precision :math:`P` has the sparsity of its dependency graph. Let :math:`P = L L^T` be
factored by eliminating one site after the other. The part of :math:`L` that a site brings about
reaches the neighbours that the site has when its turn comes; by its elimination these become
neighbours of each other. Elements of a plate are eliminated at once, as they do not depend on each
other, as long as no neighbour of theirs is in a plate that the site is not in; the elements
of such a neighbour are treated as one vector from then on.

Sources: George and Liu 1981, *Computer Solution of Large Sparse Positive Definite Systems*, for
elimination by least cost; Obermeyer et al. 2019, *Tensor variable elimination for plated factor
graphs*, arXiv:1902.03210, for plates.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

Dims = tuple[int, ...]  # batch dimensions, negative, outermost first


class Extent(NamedTuple):
    """How large a site is.

    :param sizes: of its batch dimensions, by dimension, a negative number.
    :param width: the number of coordinates of one element.
    :param joint: the dimensions along which elements depend on each other.
    """

    sizes: Mapping[int, int]
    width: int
    joint: frozenset[int] = frozenset()


class Front(NamedTuple):
    """What the elimination of a site touches.

    :param site: the site's name.
    :param joint: the site's batch dimensions that are part of its vectors.
    :param near: its neighbours, by name, with the dimensions that are part of their vectors.
    """

    site: str
    joint: Dims
    near: tuple[tuple[str, Dims], ...]


def eliminate(
    extents: Mapping[str, Extent], links: Mapping[str, frozenset[str] | set[str]]
) -> list[Front]:
    """Find an order of elimination that is cheap.

    The cheapest site goes first; those that make longer vectors of their neighbours go last.

    :param extents: the sites.
    :param links: the neighbours of each site in the dependency graph.

    Many elements that depend on one number go first, each by itself:

    >>> local, shared = Extent({-1: 100}, 1), Extent({}, 1)
    >>> eliminate({"x": shared, "y": local}, {"x": {"y"}, "y": {"x"}})
    [Front(site='y', joint=(), near=(('x', ()),)), Front(site='x', joint=(), near=())]
    """
    graph = _Graph(extents, links)
    fronts = []
    costs = {
        name: graph.cost(name) for name in reversed([*extents])
    }  # of equals the last goes first
    while costs:
        name = min(costs, key=costs.__getitem__)
        del costs[name]
        front = graph.eliminate(name)
        fronts.append(front)
        for touched in {n for near, _ in front.near for n in (near, *graph.links[near])}:
            costs[touched] = graph.cost(touched)
    return fronts


class _Graph:
    """The graph of the sites that are left, and which dimensions are vectors in it."""

    def __init__(
        self,
        extents: Mapping[str, Extent],
        links: Mapping[str, frozenset[str] | set[str]],
    ) -> None:
        self.extents = extents
        self.links = {name: set(links[name]) - {name} for name in extents}
        self.apart = {name: {*e.sizes} - e.joint for name, e in extents.items()}

    def _joint(self, name: str, beside: set[int]) -> Dims:
        """Return which dimensions of a site are vectors for one that is apart along others."""
        return tuple(sorted({*self.extents[name].sizes} - (self.apart[name] & beside)))

    def _length(self, name: str, beside: set[int]) -> int:
        extent = self.extents[name]
        return extent.width * prod(extent.sizes[dim] for dim in self._joint(name, beside))

    def cost(self, name: str) -> tuple[bool, int]:
        """Return whether eliminating a site makes longer vectors, and how many numbers it takes."""
        apart = self.apart[name]
        near = {other: self._length(other, apart) for other in self.links[name]}
        length = self._length(name, apart)
        growth = 0
        for other, longer in near.items():
            if not self.apart[other] <= apart:
                growth += longer * (longer - self._length(other, self.apart[other]))
        copies = prod(self.extents[name].sizes[dim] for dim in apart)
        return growth > 0, copies * length * (length + sum(near.values())) + growth

    def eliminate(self, name: str) -> Front:
        """Take a site out of the graph, and tie its neighbours to each other."""
        apart, near = self.apart[name], self.links.pop(name)
        ordered = [other for other in self.extents if other in near]
        for other in ordered:
            self.apart[other] &= apart
            self.links[other] |= near
            self.links[other] -= {name, other}
        joints = tuple((other, self._joint(other, apart)) for other in ordered)
        return Front(name, self._joint(name, apart), joints)
