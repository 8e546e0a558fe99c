import re
import shutil
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer.inspect import render_model
from pyro.infer.model_graph import Box, Edge, Node, describe_graph, plate_boxes
from pyro.infer.relations import SiteFacts, find_sites
from pyro.infer.rendering import argument_sets
from pyro.util import save_visualization
from tests.infer.test_dependencies import (
    crossing_plates,
    partly_observed,
    two_categories,
    two_params,
    with_factor,
)
from tests.infer.test_relations import penguins
from tests.poutine.models import leaves_no_trace

N = dist.Normal


def graph_of(model: Any, *args: Any, deterministic: bool = False, **options: bool) -> Any:
    return describe_graph([find_sites(model, args, {}, deterministic)], **options)


# A reader of the descriptions, as far as render_model writes them: nodes with their attributes
# and the path of clusters around them, edges, attributes of clusters.

_ID = r'(?:"(?:[^"\\]|\\.)*"|[^\s\[\]";]+)'


def read_dot(source: str) -> tuple[dict[str, Any], dict[tuple[str, str], Any], dict[str, Any]]:
    nodes, edges, clusters, path = {}, {}, {}, []
    lines = source.strip().splitlines()
    assert lines[0] == "digraph {" and lines[-1] == "}"
    for line in (text.strip() for text in lines[1:-1]):
        if line == "}":
            path.pop()
        elif match := re.fullmatch(rf"subgraph ({_ID}) {{", line):
            path.append(unquote(match[1]))
            assert path[-1].startswith("cluster") and path[-1] not in clusters
            clusters[path[-1]] = {}
        elif match := re.fullmatch(rf"({_ID}) -> ({_ID})(?: \[(.*)\])?", line):
            edges[unquote(match[1]), unquote(match[2])] = attributes(match[3] or "")
        elif match := re.fullmatch(rf"({_ID}) \[(.*)\]", line):
            name = unquote(match[1])
            assert name not in nodes
            plates = [clusters[cluster]["label"] for cluster in path]
            nodes[name] = {**attributes(match[2]), "plates": plates}
        else:
            clusters[path[-1]].update(attributes(line))
    assert not path
    return nodes, edges, clusters


def attributes(text: str) -> dict[str, str]:
    return {key: unquote(value) for key, value in re.findall(rf"(\w+)=({_ID})", text)}


def unquote(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if text.startswith('"') else text


def test_the_description_of_a_model() -> None:
    assert graph_of(penguins, torch.zeros(2, 3)) == (
        {
            "mean": Node("sample"),
            "twice": Node("deterministic"),
            "mass": Node("sample", 1.0),
            "penalty": Node("factor", 1.0),
        },
        (Edge("mean", "twice"), Edge("mean", "mass"), Edge("mean", "penalty")),
        (Box("species", ("mean", "twice"), (Box("rows", ("mass",)),)),),
        (),
    )


def test_parameters_laws_and_deterministic_sites_are_shown_when_asked_for() -> None:
    graph = graph_of(
        penguins,
        torch.zeros(2, 3),
        deterministic=True,
        with_distributions=True,
        with_params=True,
    )
    assert graph.nodes["scale"] == graph.nodes["loc"] == Node("param")
    assert set(graph.edges) == {
        Edge("loc", "mean"),
        Edge("mean", "twice"),
        Edge("scale", "twice"),
        Edge("twice", "mass"),
        Edge("scale", "mass"),
        Edge("mean", "penalty"),
    }
    assert graph.legend == (
        "scale : GreaterThan(lower_bound=0.0)",
        "loc : Real()",
        "mean ~ Normal",
        "twice ~ Deterministic",
        "mass ~ Normal",
        "penalty ~ Unit",
    )
    without_params = graph_of(penguins, torch.zeros(2, 3), with_distributions=True)
    assert without_params.legend == graph.legend[2:]


def test_a_partly_observed_site_is_one_half_observed_node() -> None:
    graph = graph_of(partly_observed, with_distributions=True)
    assert graph.nodes == {
        "a": Node("sample"),
        "c": Node("sample", 1.0),
        "b": Node("sample", 0.5),
    }
    assert set(graph.edges) == {Edge("a", "b"), Edge("b", "c")}
    assert set(graph.legend) == {"a ~ Normal", "b ~ Normal", "c ~ Normal"}
    assert graph.boxes == (Box("p", ("b", "c")),)


def test_a_copy_is_drawn_apart_from_evidence() -> None:
    copied = graph_of(poutine.equalize(two_categories, "._std"), with_distributions=True)
    kept = graph_of(
        poutine.equalize(two_categories, "._std", keep_dist=True), with_distributions=True
    )
    assert copied.nodes["k_std"] == Node("deterministic", 0.0, is_member=True)
    assert kept.nodes["k_std"] == Node("sample", 1.0, is_member=True)
    shared = {Edge("d_std", "k_std", is_equal=True), Edge("d_std", "k_x"), Edge("d_std", "d_x")}
    assert shared < set(copied.edges)
    assert set(kept.edges) - set(copied.edges) == {Edge("k_mean", "k_std")}
    assert "k_std = d_std" in copied.legend
    assert "k_std ~ LogNormal" in kept.legend


def test_a_shared_parameter_is_drawn() -> None:
    graph = graph_of(
        poutine.equalize(two_params, "._loc", "param"), with_params=True, with_distributions=True
    )
    assert graph.nodes["k_loc"] == Node("param", is_member=True)
    assert set(graph.edges) == {
        Edge("d_loc", "k_loc", is_equal=True),
        Edge("d_loc", "d_x"),
        Edge("d_loc", "k_x"),
    }
    assert "k_loc = d_loc" in graph.legend


def test_several_runs_are_laid_over_each_other() -> None:
    a, y = SiteFacts("sample", ()), SiteFacts("sample", ("a",), observed=1.0)
    z = SiteFacts("sample", ("y",))
    graph = describe_graph([{"a": a, "y": y}, {"a": a, "y": y._replace(observed=0.0), "z": z}])
    assert graph.nodes == {"a": Node("sample"), "y": Node("sample", 0.5), "z": Node("sample")}
    assert graph.edges == (Edge("a", "y"), Edge("y", "z"))


def around(boxes: tuple[Box, ...], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for box in boxes:
        yield from ((name, (*path, box.plate)) for name in box.nodes)
        yield from around(box.boxes, (*path, box.plate))


NODES = st.dictionaries(st.integers(0, 9).map(str), st.permutations("pqrs"), max_size=8)


@given(NODES, st.data())
def test_every_node_lies_in_one_box_of_each_of_its_plates(nodes: Any, data: Any) -> None:
    plates = {name: order[: data.draw(st.integers(0, 4))] for name, order in nodes.items()}
    placed = list(around(plate_boxes(plates)))
    assert len(placed) == len(dict(placed))
    assert {name: sorted(path) for name, path in placed} == {
        name: sorted(own) for name, own in plates.items() if own
    }


@given(NODES, st.data())
def test_plates_that_do_not_cross_have_one_box(nodes: Any, data: Any) -> None:
    plates = {name: "pqrs"[: data.draw(st.integers(0, 4))] for name in nodes}
    drawn = [path for _, path in around(plate_boxes(plates))]
    held = {plate: {n for n, own in plates.items() if plate in own} for plate in "pqrs"}
    assert all(a <= b or b <= a for a, b in combinations(held.values(), 2))
    assert all(path == tuple("pqrs"[: len(path)]) for path in drawn)
    assert len(plate_boxes(plates)) <= 1


def test_the_drawing_of_a_model() -> None:
    nodes, edges, clusters = read_dot(render_model(penguins, (torch.zeros(2, 3),)).source)
    white, gray = {"fillcolor": "white"}, {"fillcolor": "gray"}
    assert nodes == {
        "mean": {
            **white,
            "label": "mean",
            "shape": "ellipse",
            "style": "filled",
            "plates": ["species"],
        },
        "twice": {
            **white,
            "label": "twice",
            "shape": "ellipse",
            "style": "filled,dashed",
            "plates": ["species"],
        },
        "mass": {
            **gray,
            "label": "mass",
            "shape": "ellipse",
            "style": "filled",
            "plates": ["species", "rows"],
        },
        "penalty": {
            **gray,
            "label": "penalty",
            "shape": "square",
            "style": "filled",
            "plates": [],
        },
    }
    assert edges == {("mean", other): {} for other in ("twice", "mass", "penalty")}
    look = {"labeljust": "r", "labelloc": "b"}
    assert clusters == {
        "cluster_species": {"label": "species", **look},
        "cluster_rows": {"label": "rows", **look},
    }


def test_plates_that_cross_are_drawn_as_dashed_boxes_of_one_label() -> None:
    nodes, edges, clusters = read_dot(render_model(crossing_plates).source)
    assert {name: node["plates"] for name, node in nodes.items()} == {
        "a": ["x"],
        "b": ["y"],
        "c": ["x", "y"],
    }
    assert set(edges) == {("a", "c"), ("b", "c")}
    assert [(box["label"], box.get("style")) for box in clusters.values()] == [
        ("x", None),
        ("y", "dashed"),
        ("y", "dashed"),
    ]


def test_shared_values_are_drawn_by_a_style_of_their_own() -> None:
    nodes, edges, _ = read_dot(render_model(poutine.equalize(two_categories, "._std")).source)
    assert edges["d_std", "k_std"] == {"label": "=", "style": "dashed"}
    assert edges["d_std", "k_x"] == {}
    assert nodes["k_std"]["peripheries"] == "2"
    assert nodes["k_std"]["style"] == "filled"
    assert "peripheries" not in nodes["d_std"]


def test_parameters_and_the_legend_are_drawn() -> None:
    picture = render_model(
        penguins, (torch.zeros(2, 3),), render_params=True, render_distributions=True
    )
    nodes, edges, _ = read_dot(picture.source)
    assert nodes["scale"]["shape"] == "plain"
    assert ("scale", "mass") in edges
    legend = nodes["distribution_description_node"]
    assert legend["shape"] == "plaintext"
    assert legend["label"].split(r"\l")[:3] == [
        "scale : GreaterThan(lower_bound=0.0)",
        "loc : Real()",
        "mean ~ Normal",
    ]


def test_names_mean_nothing_to_dot() -> None:
    names = ["a:b", '"', "<b>", r"\n", "site", "distribution_description_node", "x y", "net$$$w"]

    def model() -> None:
        with pyro.plate("p:q", 2), pyro.plate("p", 2):
            value = torch.tensor(0.0)
            for name in names:
                value = pyro.sample(name, N(value, 1))

    picture = render_model(model, render_distributions=True)
    nodes, edges, clusters = read_dot(picture.source)
    assert len(nodes) == len(names) + 1
    drawn = [(nodes[a]["label"], nodes[b]["label"]) for a, b in edges]
    assert drawn == list(zip(names, names[1:], strict=False))
    assert not any(sign in name for name in nodes for sign in ':\\"<>')
    assert [box["label"] for box in clusters.values()] == ["p:q", "p"]


def semi_supervised(x: torch.Tensor, y: torch.Tensor | None = None) -> None:
    y = pyro.sample("y", N(0, 1), obs=y)
    pyro.sample("x", N(y, 1), obs=x)


DATUM = torch.tensor(0.0)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((DATUM,), [{}, {"y": DATUM}]),
        ([(DATUM,), (DATUM, DATUM)], None),
        ([(DATUM,), (DATUM,)], [{"y": DATUM}, {"y": None}]),
    ],
)
def test_what_only_some_runs_observe_has_two_colours(args: Any, kwargs: Any) -> None:
    nodes, edges, _ = read_dot(render_model(semi_supervised, args, kwargs).source)
    assert nodes["y"]["fillcolor"] == "gray:white"
    assert nodes["x"]["fillcolor"] == "gray"
    assert set(edges) == {("y", "x")}


def test_lists_of_arguments_must_agree() -> None:
    assert argument_sets(None, None) == [((), {})]
    with pytest.raises(ValueError, match=r"of \[1, 2\] runs. Give lists of one length"):
        render_model(semi_supervised, [(DATUM,)], [{}, {}])
    with pytest.raises(ValueError, match=r"of \[0\] runs"):
        render_model(semi_supervised, [])


def test_a_drawing_leaves_nothing_behind() -> None:
    state = torch.get_rng_state()
    with leaves_no_trace():
        render_model(penguins, (torch.zeros(2, 3),), render_params=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_public_name() -> None:
    assert pyro.render_model is render_model
    assert read_dot(pyro.render_model(with_factor).source)[0].keys() == {"a", "b", "f"}


@pytest.mark.parametrize("suffix", [".gv", ".dot"])
def test_a_description_is_written_without_dot(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    file = tmp_path / f"model{suffix}"
    picture = render_model(with_factor, filename=str(file))
    assert file.read_text() == picture.source


def test_a_picture_without_dot_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="needs the program 'dot'.*apt-get install graphviz"):
        render_model(with_factor, filename=tmp_path / "model.png")
    with pytest.raises(ValueError, match="has no suffix"):
        render_model(with_factor, filename=tmp_path / "model")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install 'pyro-ppl\[examples\]'"):
        render_model(with_factor)


@pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not installed")
def test_dot_accepts_every_drawing(tmp_path: Path) -> None:
    for i, model in enumerate([crossing_plates, partly_observed, with_factor]):
        file = tmp_path / f"model{i}.svg"
        render_model(model, filename=file, render_distributions=True)
        assert "</svg>" in file.read_text()


def gradients() -> None:
    x = pyro.sample("x", N(0, 1))
    k = pyro.sample("k", dist.Bernoulli(logits=x))
    for i in pyro.plate("p", 2):
        pyro.sample(f"y{i}", N(k, 1), obs=DATUM)


@pytest.mark.parametrize("graph_type", ["flat", "dense"])
def test_a_trace_is_drawn_by_how_gradients_pass(graph_type: str, tmp_path: Path) -> None:
    trace = poutine.trace(gradients, graph_type=graph_type).get_trace()
    save_visualization(trace, tmp_path / "trace.gv")
    nodes, edges, _ = read_dot((tmp_path / "trace.gv").read_text())
    assert {name: node["fillcolor"] for name, node in nodes.items()} == {
        "x": "salmon:lightgrey",
        "k": "salmon",
        "y0": "darkolivegreen3",
        "y1": "darkolivegreen3",
    }
    assert set(edges) == {("x", "k"), ("x", "y0"), ("x", "y1"), ("k", "y0"), ("k", "y1")}
    assert trace.graph_type == graph_type
    assert bool(trace.edges) is (graph_type == "dense")
