"""Writes the files of this folder with a released Pyro. See README.md."""

import pathlib
import sys
from typing import Any

import torch

import pyro
import pyro.optim
from pyro.distributions import constraints as c

HERE = pathlib.Path(__file__).parent

PARAMS: dict[str, tuple[list[Any], Any]] = {
    "loc": ([1.5, -2.0], c.real),
    "scale": ([0.5, 2.0], c.positive),
    "weights": ([0.25, 0.25, 0.5], c.simplex),
    "box": ([2.5, 4.5], c.interval(2.0, torch.tensor([4.0, 5.0]))),
    "tril": ([[2.0, 0.0], [1.0, 3.0]], c.lower_cholesky),
}
OWN_CONSTRAINTS: dict[str, tuple[list[Any], Any]] = {
    "softplus_positive": ([0.5, 2.0], c.softplus_positive),
    "softplus_lower_cholesky": ([[2.0, 0.0], [1.0, 3.0]], c.softplus_lower_cholesky),
    "ordered_vector": ([-1.0, 0.5, 2.0], c.ordered_vector),
    "positive_ordered_vector": ([0.5, 1.0, 2.0], c.positive_ordered_vector),
    "unit_lower_cholesky": ([[1.0, 0.0], [0.5, 1.0]], c.unit_lower_cholesky),
    "sphere": ([0.6, 0.8], c.sphere),
    "corr_matrix": ([[1.0, 0.5], [0.5, 1.0]], c.corr_matrix),
}
BOUND = torch.tensor([1.0, 2.0])
TORCH_CONSTRAINTS: dict[str, tuple[list[Any], Any]] = {
    "real_vector": ([1.0, -2.0], c.real_vector),
    "nonnegative": ([0.5, 2.0], c.nonnegative),
    "unit_interval": ([0.25, 0.75], c.unit_interval),
    "greater_than": ([1.5, 3.0], c.greater_than(BOUND)),
    "greater_than_eq": ([1.5, 3.0], c.greater_than_eq(BOUND)),
    "less_than": ([0.5, -3.0], c.less_than(BOUND)),
    "interval": ([1.5, 3.0], c.interval(BOUND, 4.0)),
    "half_open_interval": ([1.5, 3.0], c.half_open_interval(BOUND, BOUND + 2.0)),
    "corr_cholesky": ([[1.0, 0.0], [0.6, 0.8]], c.corr_cholesky),
    "positive_definite": ([[2.0, 0.5], [0.5, 1.0]], c.positive_definite),
    "positive_semidefinite": ([[2.0, 0.5], [0.5, 1.0]], c.positive_semidefinite),
    "independent": ([0.5, 2.0], c.independent(c.positive, 1)),
    "nested": ([[1.5, 3.0]], c.independent(c.independent(c.greater_than(BOUND), 1), 1)),
    "stack": ([[1.0, 0.5], [-1.0, 1.5]], c.stack([c.real, c.interval(0.0, 2.0)], dim=-1)),
    "cat": ([0.25, 0.75, 3.0], c.cat([c.simplex, c.independent(c.positive, 1)], lengths=[2, 1])),
}


def write_params(name: str, params: dict[str, tuple[list[Any], Any]]) -> None:
    pyro.clear_param_store()
    for param, (value, constraint) in params.items():
        pyro.param(param, torch.tensor(value), constraint=constraint)
    if name == "released_params.pt":
        net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(net.weight, 0.5)
        pyro.module("net", net)
    pyro.get_param_store().save(str(HERE / name))


def write_optim() -> None:
    """The state after two steps down the sum of squares of one parameter."""
    pyro.clear_param_store()
    x = pyro.param("x", torch.tensor([1.0, -2.0]))
    optim = pyro.optim.ClippedAdam({"lr": 0.125, "lrd": 0.5})
    for _ in range(2):
        x.grad = 2 * x.detach()
        optim([x])
    optim.save(str(HERE / "released_optim.pt"))
    print("x after two steps:", x.tolist())
    x.grad = 2 * x.detach()
    optim([x])
    print("x after a third:", x.tolist())


if __name__ == "__main__":
    print("pyro", pyro.__version__, "torch", torch.__version__, file=sys.stderr)
    write_params("released_params.pt", PARAMS)
    write_params("released_own_constraints.pt", OWN_CONSTRAINTS)
    write_params("released_torch_constraints.pt", TORCH_CONSTRAINTS)
    write_optim()
