"""Small modules that the tests share."""

from typing import Any

import torch
from torch import nn

import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam, PyroSample, pyro_method
from tests.helpers import trace_of


def sites_of(fn: Any, *args: Any) -> dict[str, str]:
    """Names and types of the sites of a run, in its order."""
    nodes = trace_of(fn, *args).nodes
    return {name: node["type"] for name, node in nodes.items() if not name.startswith("_")}


class Inner(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.scale = PyroParam(torch.tensor(2.0), constraints.positive)
        self.noise = PyroSample(dist.Normal(0.0, 1.0))
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("fixed", torch.tensor(3.0))
        self.plain = 4.0

    def forward(self: Any) -> Any:
        return self.scale * self.noise + self.weight * self.fixed + self.plain


class Outer(PyroModule):
    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.inner = Inner()
        self.torch_linear = nn.Linear(2, 1)
        self.linear = PyroModule[nn.Linear](2, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))

    def forward(self: Any) -> Any:
        x = torch.ones(2)
        return self.inner() + self.torch_linear(x).sum() + self.linear(x).sum()


class Declared(PyroModule):
    @PyroParam(constraint=constraints.positive)
    def scale(self: Any) -> Any:
        return torch.tensor(3.0)

    @PyroParam
    def shift(self: Any) -> Any:
        return self.scale * 2

    rate = PyroParam(torch.tensor(0.5), constraints.unit_interval)

    @PyroSample
    def noise(self: Any) -> Any:
        return dist.Normal(self.shift, self.scale)

    fixed_law = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self: Any) -> Any:
        return self.noise + self.rate

    @pyro_method
    def twice(self: Any) -> Any:
        return self.noise + self.forward()


class Net(PyroModule):
    def __init__(self, weight: float = 0.0, scale: float = 2.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.scale = PyroParam(torch.tensor(scale), constraints.positive)
        self.linear = nn.Linear(1, 1)

    def forward(self: Any) -> Any:
        return self.weight + self.scale + self.linear(torch.ones(1)).sum()


NAMES = ["weight", "scale", "linear$$$weight", "linear$$$bias"]
