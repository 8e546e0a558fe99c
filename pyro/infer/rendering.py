"""Pictures of models, as graphviz draws them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from pyro._foundation.optional import import_optional
from pyro.infer.model_graph import Box, ModelGraph, Node, describe_graph
from pyro.infer.relations import find_sites

Look = Callable[[Node], dict[str, str]]

_FILLS = {0.0: "white", 0.5: "gray:white", 1.0: "gray"}
_SHAPES = {"sample": "ellipse", "deterministic": "ellipse", "factor": "square", "param": "plain"}
_SOURCES = (".dot", ".gv")


def render_model(
    model: Callable[..., Any],
    model_args: Any = None,
    model_kwargs: Any = None,
    filename: str | Path | None = None,
    render_distributions: bool = False,
    render_params: bool = False,
    render_deterministic: bool = False,
) -> Any:
    """Draw a model as a graph.

    An arrow leads to a site from each that its law was computed from. Observed sites are grey,
    partly observed ones half grey, deterministic ones dashed, factors square. A box is a plate;
    plates that cross are drawn as several boxes, and then each box of such a plate is dashed. A
    member of an `equalize <pyro.poutine.handlers.equalize>` group has a double line and a dashed
    arrow ``=`` from its owner.

    The model runs once for each set of arguments and leaves nothing behind: no parameter, no random
    number drawn. The description is made without the program ``dot``; only to write a picture, or
    to show one in a notebook, it must be installed.

    :param model: the model.
    :param model_args: a tuple of its arguments; a list of such tuples lays several runs over each
        other, and what was observed in some of them is half grey.
    :param model_kwargs: a dictionary of its keyword arguments, or a list of them.
    :param filename: a file to write the picture to; its suffix says how, such as ``.png``, ``.pdf``
        or ``.svg``; ``.gv`` and ``.dot`` hold the description.
    :param render_distributions: whether to list the laws, and with ``render_params`` the
        constraints.
    :param render_params: whether to draw parameters.
    :param render_deterministic: whether arrows lead through deterministic sites; otherwise they
        pass them by.
    :returns: a ``graphviz.Digraph``, which a notebook shows.
    :raises ImportError: where the package graphviz is missing.
    :raises ValueError: where the lists of arguments differ in length, the file has no suffix, or
        whatever the model raises.
    :raises RuntimeError: where a picture shall be written and there is no ``dot``.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model(data):
    ...     mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("rows", len(data)):
    ...         pyro.sample("x", dist.Normal(mean, 1.0), obs=data)
    >>> print(render_model(model, (torch.zeros(3),)).source)
    digraph {
        mean [label=mean fillcolor=white shape=ellipse style=filled]
        subgraph cluster_rows {
            label=rows labeljust=r labelloc=b
            x [label=x fillcolor=gray shape=ellipse style=filled]
        }
        mean -> x
    }
    """
    runs = [
        find_sites(model, args, kwargs, render_deterministic)
        for args, kwargs in argument_sets(model_args, model_kwargs)
    ]
    picture = draw_graph(describe_graph(runs, render_distributions, render_params))
    if filename is not None:
        write_picture(picture, Path(filename))
    return picture


def argument_sets(
    model_args: Any, model_kwargs: Any
) -> list[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """Pair up the arguments of several runs of a model.

    :param model_args: a tuple for one run or all, a list of tuples for several; None is ``()``.
    :param model_kwargs: a dictionary for one run or all, a list of them for several; None is
        ``{}``.
    :raises ValueError: where both are lists, of different lengths, or one is empty.

    >>> argument_sets((1,), [{"y": None}, {"y": 2}])
    [((1,), {'y': None}), ((1,), {'y': 2})]
    """
    counts = {len(given) for given in (model_args, model_kwargs) if isinstance(given, list)}
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            f"model_args and model_kwargs list the arguments of {sorted(counts)} runs. Give lists "
            "of one length, at least 1; a tuple or a dictionary alone stands for every run."
        )
    runs = counts.pop() if counts else 1
    all_args = model_args if isinstance(model_args, list) else [model_args or ()] * runs
    all_kwargs = model_kwargs if isinstance(model_kwargs, list) else [model_kwargs or {}] * runs
    return list(zip(all_args, all_kwargs, strict=True))


def look_of_site(node: Node) -> dict[str, str]:
    """Return how a node of a model looks, in graphviz's attributes.

    :param node: the node.

    >>> look_of_site(Node("sample", observed=1.0))
    {'fillcolor': 'gray', 'shape': 'ellipse', 'style': 'filled'}
    """
    dashed = node.kind == "deterministic" and not node.is_member
    look = {
        "fillcolor": _FILLS[node.observed],
        "shape": _SHAPES[node.kind],
        "style": "filled,dashed" if dashed else "filled",
    }
    return {**look, "peripheries": "2"} if node.is_member else look


def draw_graph(graph: ModelGraph, look: Look = look_of_site) -> Any:
    """Turn a description into a ``graphviz.Digraph``.

    :param graph: the description.
    :param look: gives the attributes that graphviz draws a node with.
    :raises ImportError: where the package graphviz is missing.
    """
    artist = _Artist(graph, look)
    picture = artist.graphviz.Digraph()
    boxed = {name for box in _boxes_in(graph.boxes) for name in box.nodes}
    artist.draw_nodes(picture, [name for name in graph.nodes if name not in boxed])
    artist.draw_boxes(picture, graph.boxes)
    artist.draw_edges(picture)
    artist.draw_legend(picture)
    return picture


class _Artist:
    """Draws the parts of one description."""

    def __init__(self, graph: ModelGraph, look: Look) -> None:
        self.graphviz = import_optional("graphviz", "examples")
        self.graph = graph
        self.look = look
        self.ids: dict[str, str] = {}
        for name in graph.nodes:
            self.ids[name] = self._id_of(name)
        self.clusters: list[str] = []
        plates = [box.plate for box in _boxes_in(graph.boxes)]
        self.repeated = {plate for plate in plates if plates.count(plate) > 1}

    def _id_of(self, name: str) -> str:
        """Name a node as its site, unless that means something else in the language of dot."""
        if any(sign in name for sign in ':\\"<>'):
            return _unused("site", [*self.graph.nodes, *self.ids.values()])
        return name

    def draw_nodes(self, picture: Any, names: Iterable[str]) -> None:
        for name in names:
            look = self.look(self.graph.nodes[name])
            picture.node(self.ids[name], self.graphviz.escape(name), **look)

    def draw_boxes(self, picture: Any, boxes: Iterable[Box]) -> None:
        for box in boxes:
            cluster = _unused(f"cluster_{box.plate}", self.clusters)
            self.clusters.append(cluster)
            with picture.subgraph(name=cluster) as drawn:
                drawn.attr(label=self.graphviz.escape(box.plate), labeljust="r", labelloc="b")
                if box.plate in self.repeated:
                    drawn.attr(style="dashed")
                self.draw_nodes(drawn, box.nodes)
                self.draw_boxes(drawn, box.boxes)

    def draw_edges(self, picture: Any) -> None:
        for edge in self.graph.edges:
            look = {"label": "=", "style": "dashed"} if edge.is_equal else {}
            picture.edge(self.ids[edge.source], self.ids[edge.target], **look)

    def draw_legend(self, picture: Any) -> None:
        if self.graph.legend:
            text = "".join(self.graphviz.escape(line) + r"\l" for line in self.graph.legend)
            node = _unused("distribution_description_node", self.ids.values())
            picture.node(node, text, shape="plaintext")


def write_picture(picture: Any, file: Path) -> None:
    """Write a graph to a file.

    :param picture: a ``graphviz.Digraph``.
    :param file: where to; the suffix says in which format.
    :raises ValueError: where there is no suffix.
    :raises RuntimeError: where the format needs ``dot`` and there is none.
    """
    if not file.suffix:
        raise ValueError(f"The file {str(file)!r} has no suffix to tell its format: try .png.")
    if file.suffix in _SOURCES:
        file.write_text(picture.source, encoding="utf-8")
        return
    graphviz = import_optional("graphviz", "examples")
    try:
        file.write_bytes(picture.pipe(format=file.suffix[1:].lower()))
    except graphviz.ExecutableNotFound as error:
        raise RuntimeError(
            f"Writing {str(file)!r} needs the program 'dot', which was not found. Install Graphviz "
            "(apt-get install graphviz, brew install graphviz or conda install graphviz), or write "
            f"the description to {str(file.with_suffix('.gv'))!r}."
        ) from error


def _boxes_in(boxes: Iterable[Box]) -> Iterator[Box]:
    for box in boxes:
        yield box
        yield from _boxes_in(box.boxes)


def _unused(name: str, taken: Collection[str]) -> str:
    return next(n for i in count() if (n := f"{name}_{i}" if i else name) not in taken)
