"""The picture of a model as a description: nodes, edges, and boxes for the plates."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pyro.infer.relations import SiteFacts


class Node(NamedTuple):
    """A site in the picture. ``observed`` is how much of it was given: 0, 0.5 or 1."""

    kind: str  # as of :class:`~pyro.infer.relations.SiteFacts`
    observed: float = 0.0
    is_member: bool = False


class Edge(NamedTuple):
    """An arrow to a site from one that it was computed from, or whose value it shares."""

    source: str
    target: str
    is_equal: bool = False


class Box(NamedTuple):
    """The outline of a plate around nodes and further boxes.

    A plate that crosses another, so that neither lies within the other, takes several boxes.
    """

    plate: str
    nodes: tuple[str, ...]
    boxes: tuple["Box", ...] = ()


class ModelGraph(NamedTuple):
    """A picture: nodes by name, edges, the outermost boxes, the lines of the legend."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...]
    legend: tuple[str, ...]


def describe_graph(
    runs: Sequence[Mapping[str, SiteFacts]],
    with_distributions: bool = False,
    with_params: bool = False,
) -> ModelGraph:
    """Describe the picture of a model.

    What ``obs_mask`` splits into an observed and an unobserved part is one node again. Several
    runs are laid over each other: a site that was observed in some of them is half observed.

    :param runs: the facts of the model's sites, in each of its runs.
    :param with_distributions: whether the legend tells the laws, and with ``with_params`` the
        constraints.
    :param with_params: whether parameters are nodes.

    >>> x, y = SiteFacts("sample", ()), SiteFacts("sample", ("x",))
    >>> describe_graph([{"x": x, "y": y}]).edges
    (Edge(source='x', target='y', is_equal=False),)
    """
    joined = [_join_parts(run) for run in runs]
    sites: dict[str, SiteFacts] = {}
    for run in joined:
        sites.update({name: facts for name, facts in run.items() if name not in sites})
    shown = {n: facts for n, facts in sites.items() if with_params or facts.kind != "param"}
    nodes = {
        name: Node(facts.kind, _share_observed(name, joined), facts.owner is not None)
        for name, facts in shown.items()
    }
    return ModelGraph(
        nodes,
        tuple(dict.fromkeys(_edges(joined, nodes))),
        plate_boxes({name: facts.plates for name, facts in shown.items()}),
        tuple(_legend(shown)) if with_distributions else (),
    )


def plate_boxes(plates: Mapping[str, Iterable[str]]) -> tuple[Box, ...]:
    """Lay boxes around nodes so that each node lies within one box of every plate of its own.

    Boxes nest and never overlap. Where two plates cross, the one with fewer nodes has a box within
    that of the other and another one outside; the fewest boxes are not sought.

    :param plates: the plates of each node, outermost first; nodes without any lie outside.
    :returns: the outermost boxes.

    >>> plate_boxes({"x": ["rows"], "y": ["columns"], "z": ["rows", "columns"]})
    (Box(plate='rows', nodes=('x',), boxes=(Box(plate='columns', nodes=('z',), boxes=()),)),
     Box(plate='columns', nodes=('y',), boxes=()))
    """
    left = {name: list(around) for name, around in plates.items() if around}
    boxes = []
    while left:
        widest = _widest(left.values())
        inside = {
            name: [plate for plate in around if plate != widest]
            for name, around in left.items()
            if widest in around
        }
        bare = tuple(name for name, around in inside.items() if not around)
        boxes.append(Box(widest, bare, plate_boxes(inside)))
        left = {name: around for name, around in left.items() if name not in inside}
    return tuple(boxes)


def _widest(stacks: Iterable[Iterable[str]]) -> str:
    """The plate around most nodes; among equals the one that was met first, an outer one."""
    counts: dict[str, int] = {}
    for plates in stacks:
        for plate in plates:
            counts[plate] = counts.get(plate, 0) + 1
    return max(counts, key=counts.__getitem__)


def _join_parts(sites: Mapping[str, SiteFacts]) -> dict[str, SiteFacts]:
    """Make one site again of those that ``obs_mask`` makes of it."""
    whole: dict[str, str] = {}
    for name, facts in sites.items():
        parts = [f"{name}_observed", f"{name}_unobserved"]
        if facts.kind == "deterministic" and all(part in sites for part in parts):
            whole.update(dict.fromkeys(parts, name))
    joined = {name: facts for name, facts in sites.items() if name not in whole}
    for part, name in whole.items():
        used = (*sites[f"{name}_observed"].upstream, *sites[f"{name}_unobserved"].upstream)
        joined[name] = sites[part]._replace(upstream=used, observed=0.5)
    return {name: _renamed(facts, whole) for name, facts in joined.items()}


def _renamed(facts: SiteFacts, names: Mapping[str, str]) -> SiteFacts:
    upstream = tuple(dict.fromkeys(names.get(name, name) for name in facts.upstream))
    owner = None if facts.owner is None else names.get(facts.owner, facts.owner)
    return facts._replace(upstream=upstream, owner=owner)


def _share_observed(name: str, runs: Iterable[Mapping[str, SiteFacts]]) -> float:
    shares = {run[name].observed for run in runs if name in run}
    return shares.pop() if len(shares) == 1 else 0.5


def _edges(runs: Iterable[Mapping[str, SiteFacts]], nodes: Mapping[str, Node]) -> Iterator[Edge]:
    for run in runs:
        for name, facts in run.items():
            for other in facts.upstream:
                if name in nodes and other in nodes:
                    yield Edge(other, name, other == facts.owner)


def _legend(sites: Mapping[str, SiteFacts]) -> Iterator[str]:
    for name, facts in sites.items():
        if facts.owner is not None and facts.kind != "sample":
            yield f"{name} = {facts.owner}"
        elif facts.kind == "param":
            yield f"{name} : {facts.constraint}"
        else:
            yield f"{name} ~ {facts.law}"
