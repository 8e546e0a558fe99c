"""The table of a trace's shapes, for whoever debugs a model."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from pyro._foundation.validation import is_validation_enabled

TITLE = "Trace Shapes"

Cells = tuple[str, list[str], list[str] | None]  # label, batch cells, event cells (None: no bar)


def format_shape_table(nodes: Mapping[str, Any], title: str, last_site: str | None) -> str:
    """Lay out the shapes of a trace's sites.

    :param nodes: the trace's nodes.
    :param title: the first line.
    :param last_site: the last site to show; all of them if None.
    """
    params: list[Cells] = []
    samples: list[Cells] = []
    for name, site in nodes.items():
        if site["type"] == "param":
            params.append((str(name), _cells(site["value"].shape), None))
        elif site["type"] == "sample":
            samples += _sample_rows(str(name), site)
        if name == last_site:
            break
    rows: list[Cells] = [
        (title, [], None),
        ("Param Sites:", [], None),
        *params,
        ("Sample Sites:", [], None),
        *samples,
    ]
    return _align(rows)


def append_shapes(error: Exception, traces: Mapping[str, Mapping[str, Any]]) -> None:
    """Add tables of shapes to the text of an error, under validation, unless it has some.

    :param error: the error.
    :param traces: the nodes of traces by the titles of their tables; those without sites are left
        out.

    >>> error = ValueError("Some shapes do not fit.")
    >>> append_shapes(error, {"Trace Shapes:": {}})
    >>> str(error)
    'Some shapes do not fit.'
    """
    if not is_validation_enabled() or len(error.args) != 1 or TITLE in str(error):
        return
    for title, nodes in traces.items():
        if any(site["type"] in ("sample", "param") for site in nodes.values()):
            error.args = (f"{error}\n{format_shape_table(nodes, title, None)}",)


def _sample_rows(name: str, site: Mapping[str, Any]) -> list[Cells]:
    fn = site["fn"]
    event_dim = getattr(fn, "event_dim", 0)
    batch, event = getattr(fn, "batch_shape", ()), getattr(fn, "event_shape", ())
    rows: list[Cells] = [(f"{name} dist", _cells(batch), _cells(event))]
    shape = getattr(site["value"], "shape", ())
    split = len(shape) - event_dim
    rows.append(("value", _cells(shape[:split]), _cells(shape[split:])))
    if "log_prob" in site:
        rows.append(("log_prob", _cells(site["log_prob"].shape), []))
    return rows


def _cells(shape: Any) -> list[str]:
    return [str(size) for size in shape]


def _align(rows: list[Cells]) -> str:
    """Lay out cells in columns, which those up to the bar fill from the right, the rest from it."""
    heads = [batch if event is None else [*batch, "|"] for _, batch, event in rows]
    label_width = max(len(label) for label, _, _ in rows)
    head_widths = _widths([head[::-1] for head in heads])[::-1]
    event_widths = _widths([event or [] for _, _, event in rows])
    lines = []
    for (label, _, event), head in zip(rows, heads, strict=True):
        padded = [""] * (len(head_widths) - len(head)) + head
        cells = [label.rjust(label_width), *map(str.rjust, padded, head_widths)]
        cells += map(str.rjust, event or [], event_widths)
        lines.append(" ".join(cells).rstrip())
    return "\n".join(lines)


def _widths(rows: list[list[str]]) -> list[int]:
    """Return the width of each column of left-aligned rows."""
    return [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
