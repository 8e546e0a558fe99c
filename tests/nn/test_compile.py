"""Modules whose forward samples, compiled by torch."""

from typing import Any

import pytest
import torch
from torch import nn

import pyro
import pyro.distributions as dist
from pyro.distributions import constraints
from pyro.nn import PyroModule, PyroParam, PyroSample
from tests.helpers import assert_close, trace_of

# The compiler warns of itself: of what it imports, and of tensors that it looks at.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Regression(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.random = PyroModule[nn.Linear](2, 1)
        self.random.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.noise = PyroParam(torch.tensor(2.0), constraints.positive)
        self.plain = nn.Linear(2, 1)

    def forward(self: Any, x: torch.Tensor) -> Any:
        mean = (self.random(x) + self.plain(x)).squeeze(-1)
        with pyro.plate("data", len(x)):
            return pyro.sample("y", dist.Normal(mean, self.noise))


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_a_compiled_module_draws_the_same(backend: str) -> None:
    module, x = Regression(), torch.randn(5, 2)
    compiled: Any = torch.compile(module, backend=backend)
    results = []
    for fn in (module, compiled):
        pyro.set_rng_seed(1)
        value = fn(x)
        pyro.set_rng_seed(2)
        trace = trace_of(fn, x)
        module.zero_grad()
        trace.log_prob_sum().backward()
        gradients = [p.grad.clone() for p in module.parameters() if p.grad is not None]
        results.append((list(trace), value, trace.log_prob_sum(), gradients))
        assert not module._pyro_context.active
    (names, *expected), (other_names, *actual) = results
    assert other_names == names
    assert_close(actual, expected)
