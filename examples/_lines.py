"""Lines through the groups of a table, fitted by maximum likelihood; the model of two examples.

A group has a height, a slope and a noise: ``y ~ Normal(height + slope * (x - mean(x)), noise)``.
They are parameters, not random values, so the guide is empty and the ELBO the log likelihood.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from _groups import PENGUINS, UserError, load
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ClippedAdam


class Points(NamedTuple):
    """The points of a group, float64, shape (rows,)."""

    x: Tensor
    y: Tensor


class Fit(NamedTuple):
    """A fitted model: the value of each parameter, how many are optimised, the log likelihood."""

    params: dict[str, float]
    optimised: int
    log_likelihood: float


Groups = dict[str, Points]
Model = Callable[[Groups], None]


def load_points(x_column: str, y_column: str) -> tuple[Groups, float]:
    """Read two columns of the penguins, standardised over all species.

    :returns: the points by species, and what a slope of one is in units of y a unit of x.
    """
    x, y = (load(PENGUINS, "species", column) for column in (x_column, y_column))
    groups = {name: Points(x.groups[name].double(), y.groups[name].double()) for name in x.groups}
    if any(points.x.shape != points.y.shape for points in groups.values()):
        raise UserError(f"{x_column} and {y_column} are not available in the same rows")
    return groups, y.scale / x.scale


def line(name: str, points: Points) -> None:
    """One group: its points scatter about a line."""
    height = pyro.param(f"{name}_height", torch.tensor(0.0).double())
    slope = pyro.param(f"{name}_slope", torch.tensor(0.0).double())
    noise = pyro.param(f"{name}_noise", torch.tensor(1.0).double(), constraints.positive)
    with pyro.plate(f"{name}_rows", len(points.x)):
        expected = height + slope * (points.x - points.x.mean())
        pyro.sample(f"{name}_y", dist.Normal(expected, noise), obs=points.y)


def lines(groups: Groups) -> None:
    """Every group has a line of its own."""
    for name, points in groups.items():
        line(name, points)


def fit(model: Model, groups: Groups, steps: int) -> Fit:
    """Maximise the likelihood of a model; a shared parameter is optimised once."""
    pyro.clear_param_store()
    decay = 1e-3 ** (1 / steps)
    # Gradients are steep where the noise is small: none is clipped.
    options = {"lr": 0.2, "lrd": decay, "betas": (0.9, 0.95), "clip_norm": math.inf}
    svi = SVI(model, no_latents, ClippedAdam(options), Trace_ELBO())
    for _ in range(steps):
        svi.step(groups)
    trace = poutine.trace(model).get_trace(groups)
    sites = trace.nodes.items()
    params = {name: site["value"].item() for name, site in sites if site["type"] == "param"}
    return Fit(params, len(pyro.get_param_store()), torch.as_tensor(trace.log_prob_sum()).item())


def no_latents(*_: Any) -> None:
    """The guide of a model that draws nothing."""
