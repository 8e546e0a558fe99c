"""Linear Gaussian models, whose posterior and evidence are known."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.poutine.handlers import condition
from pyro.poutine.sites import prune_subsample_sites
from tests.helpers import trace_of


def double(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.double)


def normal(name: str, mean: Any, sd: float, obs: Any = None) -> Any:
    return pyro.sample(
        name, dist.Normal(double(mean), sd), obs=None if obs is None else double(obs)
    )


def common_effects() -> None:
    """Causes that are tied by the evidence alone, the first two through the third."""
    a, b, c = normal("a", 0.0, 1.0), normal("b", 1.0, 2.0), normal("c", -1.0, 1.5)
    normal("ac", a + c, 0.5, 0.3)
    normal("bc", b - 2 * c, 0.7, 1.1)


def chain() -> None:
    x = normal("x0", 0.0, 1.0)
    for i in range(1, 5):
        x = normal(f"x{i}", 0.8 * x + 0.1, 0.5)
        normal(f"y{i}", x, 1.0, 0.2 * i)


def hierarchy() -> None:
    mean, slope = normal("mean", 0.5, 1.0), normal("slope", torch.zeros(()), 2.0)
    with pyro.plate("groups", 4):
        group = pyro.sample(
            "group", dist.Normal(mean.unsqueeze(-1) * double([1.0, 2.0]), 1.0).to_event(1)
        )
        local = normal("local", group.sum(-1) + slope, 0.6)
        normal("y", local, 1.0, [0.1, 0.4, -1.0, 2.0])


def crossed() -> None:
    """Two plates that cross, and cells in both."""
    total = normal("total", 0.0, 1.0)
    rows, columns = pyro.plate("rows", 3, dim=-2), pyro.plate("columns", 4, dim=-1)
    with rows:
        row = normal("row", total, 0.5)
    with columns:
        column = normal("column", total, 0.8)
    with rows, columns:
        cell = normal("cell", row + column, 0.4)
        normal("y", cell, 1.0, torch.arange(12.0).reshape(3, 4) / 10)


def summed() -> None:
    """A plate whose elements depend on each other by their sum, and others by one each."""
    with pyro.plate("rows", 3):
        x = normal("x", 0.0, 1.0)
        z = normal("z", 2 * x, 0.5)
        normal("y", z, 1.0, [0.1, 0.2, 0.3])
    normal("sum", x.sum(-1), 0.1, 1.0)


MODELS: dict[str, Callable[[], None]] = {
    model.__name__: model for model in (common_effects, chain, hierarchy, crossed, summed)
}


class Posterior(NamedTuple):
    """All that there is to know, of the coordinates of the latent sites in the model's order."""

    shapes: dict[str, torch.Size]
    mean: Tensor
    precision: Tensor
    log_evidence: Tensor

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        parts = vector.split([shape.numel() for shape in self.shapes.values()])
        pairs = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(shape) for (name, shape), part in pairs}


def posterior_of(model: Callable[[], None]) -> Posterior:
    """The log density is quadratic: its Hessian anywhere, and a Newton step, tell all."""
    sites = prune_subsample_sites(trace_of(model)).iter_stochastic_nodes()
    shapes = {name: site["value"].shape for name, site in sites}
    size = sum(shape.numel() for shape in shapes.values())
    whole = Posterior(shapes, torch.zeros(size).double(), torch.eye(size).double(), double(0.0))

    def log_joint(vector: Tensor) -> Tensor:
        record = trace_of(condition(model, data=whole.split(vector)))
        return torch.as_tensor(record.log_prob_sum())

    precision = -torch.autograd.functional.hessian(log_joint, whole.mean)
    gradient = torch.autograd.functional.jacobian(log_joint, whole.mean)
    mean = torch.linalg.solve(precision, gradient)
    constant = 0.5 * size * math.log(2 * math.pi) - 0.5 * torch.logdet(precision)
    return Posterior(shapes, mean, precision, log_joint(mean) + constant)
