"""Pictures of traces: which sites may depend on which, and how gradients get through them."""

from pathlib import Path

from pyro.infer.model_graph import Edge, ModelGraph, Node
from pyro.infer.rendering import draw_graph, write_picture
from pyro.poutine.sites import site_is_subsample
from pyro.poutine.trace_messenger import identify_dense_edges
from pyro.poutine.trace_struct import Trace

_FILLS = {"observed": "darkolivegreen3", "pathwise": "salmon:lightgrey", "drawn": "salmon"}


def save_visualization(trace: Trace, graph_output: str | Path) -> None:
    """Draw the sample sites of a run, with an arrow to each site from all that it may depend on.

    Observed sites are green, sites through which pathwise gradients flow half salmon, other drawn
    ones salmon. What a site really was computed from :func:`pyro.render_model` shows.

    :param trace: the record of a run; one that is not dense is drawn as if it were.
    :param graph_output: the file to write, whose suffix says how; PDF where it has none.
    :raises ImportError: where the package graphviz is missing.
    :raises RuntimeError: where the format needs the program ``dot`` and there is none.

    >>> import tempfile, pyro, pyro.distributions as dist
    >>> def model():
    ...     x = pyro.sample("x", dist.Normal(0.0, 1.0))
    ...     pyro.sample("y", dist.Bernoulli(logits=x))
    >>> trace = pyro.poutine.trace(model, graph_type="dense").get_trace()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_visualization(trace, f"{folder}/trace.gv")
    ...     print(Path(f"{folder}/trace.gv").read_text())
    digraph {
        x [label=x fillcolor="salmon:lightgrey" style=filled]
        y [label=y fillcolor=salmon style=filled]
        x -> y
    }
    """
    file = Path(graph_output)
    picture = draw_graph(describe_trace(trace), _look)
    write_picture(picture, file if file.suffix else file.with_suffix(".pdf"))


def describe_trace(trace: Trace) -> ModelGraph:
    """Describe the picture of a trace; nodes are "observed", "pathwise" or "drawn".

    :param trace: the record of a run.
    """
    dense = trace.copy()
    identify_dense_edges(dense)
    kinds = dict.fromkeys(trace.nonreparam_stochastic_nodes, "drawn")
    kinds.update(dict.fromkeys(trace.reparameterized_nodes, "pathwise"))
    kinds.update(dict.fromkeys(trace.observation_nodes, "observed"))
    shown = [n for n in trace.nodes if n in kinds and not site_is_subsample(trace.nodes[n])]
    edges = tuple(Edge(a, b) for a, b in dense.edges if a in shown and b in shown)
    return ModelGraph({name: Node(kinds[name]) for name in shown}, edges, (), ())


def _look(node: Node) -> dict[str, str]:
    return {"fillcolor": _FILLS[node.kind], "style": "filled"}
