"""Draws the pictures of the pages into ``docs/source/pictures``; needs matplotlib and ``dot``.

    python docs/pictures.py

They are kept with the pages, so that building these needs neither.
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro import poutine

PICTURES = Path(__file__).parent / "source" / "pictures"
DATA = {
    "dogs": torch.tensor([0.2, 1.1, -0.4, 0.8, 1.9]),
    "cats": torch.tensor([-1.0, -0.2, 0.3, -0.7, 0.4]),
}
GRID = torch.linspace(0.02, 3.5, 700)


def model() -> None:
    """The model of the page on sharing values, with its data."""
    for category, values in DATA.items():
        mean = pyro.sample(f"{category}_mean", dist.Normal(0.0, 1.0))
        std = pyro.sample(f"{category}_std", dist.LogNormal(0.0, 1.0))
        with pyro.plate(f"{category}_num_samples", 5):
            pyro.sample(f"{category}_values", dist.Normal(mean, std), obs=values)


def log_likelihood_of_std(values: Tensor) -> Tensor:
    """The log density of values about a N(0, 1) mean, integrated out, at each std of the grid."""
    covariance = torch.ones(5, 5) + torch.eye(5) * GRID[:, None, None] ** 2
    return dist.MultivariateNormal(torch.zeros(5), covariance).log_prob(values)


def normalised(log_density: Tensor) -> Tensor:
    """The density on the grid."""
    density = (log_density - log_density.max()).exp()
    return density / torch.trapezoid(density, GRID)


def draw_posteriors(path: Path) -> None:
    """Draw the exact posterior of the stds, apart and shared in both ways."""
    prior = dist.LogNormal(0.0, 1.0).log_prob(GRID)
    dogs, cats = (log_likelihood_of_std(values) for values in DATA.values())
    curves = {
        "dogs_std, free": (prior + dogs, "tab:blue", "-"),
        "cats_std, free": (prior + cats, "tab:orange", "-"),
        "shared, keep_dist=False": (prior + dogs + cats, "black", "-"),
        "shared, keep_dist=True": (2 * prior + dogs + cats, "black", ":"),
    }
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    axes = figure.subplots()
    for label, (log_density, colour, style) in curves.items():
        density = normalised(log_density)
        axes.plot(GRID.numpy(), density.numpy(), color=colour, ls=style, label=label)
    axes.set(xlabel="std", yticks=[], xlim=(0, 3.5), ylim=(0, None))
    axes.set_title("posterior density", loc="left", fontsize="medium")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Draw all pictures."""
    matplotlib.rcParams["svg.hashsalt"] = "pyro"
    matplotlib.rcParams["svg.fonttype"] = "none"
    PICTURES.mkdir(exist_ok=True)
    draw_posteriors(PICTURES / "equalize_posteriors.svg")
    pyro.render_model(model, filename=PICTURES / "equalize_before.svg")
    tied = poutine.equalize(model, ".+_std")
    pyro.render_model(tied, filename=PICTURES / "equalize_after.svg")


if __name__ == "__main__":
    main()
