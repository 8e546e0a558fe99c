"""Draws the posterior predictive density of each group against its data."""

from pathlib import Path
from typing import Any

import torch
from _groups import Data, UserError
from _report import Answer
from _score import Score
from torch import Tensor
from torch.distributions import Normal

FORMATS = (".png", ".pdf", ".svg")
STYLES = {
    "free": ("lightskyblue", "-", 4.5),
    "equal std": ("tab:orange", "-", 1.5),
    "equal mean and std": ("tab:red", "--", 1.5),
    "equal shift": ("black", ":", 1.5),
}


def draw_figure(
    data: Data, scores: dict[str, Score], answers: dict[str, Answer], path: Path
) -> None:
    """Write one panel a group: a histogram of the data under the curve of each model.

    :param path: the file; its suffix is the format.
    :raises UserError: if matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("no figure without matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(8, min(1.2 + 1.8 * len(data.groups), 40)), layout="constrained")
    panels = figure.subplots(len(data.groups), 1, sharex=True, sharey=True)
    for panel, name in zip(panels, data.groups, strict=True):
        draw_group(panel, data, name, scores)
    title = f"{data.column}: the data (grey) and the posterior predictive of each model"
    figure.suptitle(title, parse_math=False)
    panels[-1].set_xlabel(data.column, parse_math=False)
    labels = [f"{x}: {answers[x].verdict}" if x in answers else x for x in scores]
    lines = panels[0].get_lines()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(lines), frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def draw_group(panel: Any, data: Data, name: str, scores: dict[str, Score]) -> None:
    """Draw one group, in the units of the file."""
    everything = torch.cat(list(data.groups.values()))
    low, high = everything.min().item() - 0.5, everything.max().item() + 0.5
    grid = torch.linspace(low, high, 400)
    edges = in_units(torch.linspace(low, high, 41), data)
    panel.hist(in_units(data.groups[name], data), bins=edges, density=True, color="0.85")
    for label, score in scores.items():
        loc, scale = score.predictive[name]
        density = Normal(loc, scale).log_prob(grid).exp().mean(0) / data.scale
        colour, style, width = STYLES[label]
        panel.plot(in_units(grid, data), density.numpy(), color=colour, ls=style, lw=width)
    title = f"{name} ({len(data.groups[name])})"
    panel.set_title(title, loc="left", fontsize="medium", parse_math=False)
    panel.set_yticks([])
    panel.spines[["left", "right", "top"]].set_visible(False)


def in_units(values: Tensor, data: Data) -> Any:
    """Standardised values as an array in the units of the file."""
    return (data.centre + data.scale * values).numpy()
