"""Modules under DistributedDataParallel, in a group of one process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

import pyro
import pyro.distributions as dist
from pyro import settings
from pyro.distributions import constraints
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.poutine.handlers import condition
from tests.helpers import assert_close, trace_of

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="torch was built without torch.distributed"
)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class Regression(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = PyroSample(dist.Normal(0.0, 1.0))
        self.noise = PyroParam(torch.tensor(2.0), constraints.positive)
        self.plain = nn.Linear(1, 1)

    def forward(self: Any, x: torch.Tensor) -> Any:
        mean = self.weight * x + self.plain(x.unsqueeze(-1)).squeeze(-1)
        with pyro.plate("data", len(x)):
            return pyro.sample("y", dist.Normal(mean, self.noise), obs=2.0 * x)


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("local", [False, True])
def test_a_wrapped_module_has_the_same_sites_and_gradients(local: bool) -> None:
    module, x = Regression(), torch.arange(4.0)
    wrapped = nn.parallel.DistributedDataParallel(module)
    results = []
    for fn in (module, wrapped):
        with settings.context(module_local_params=local):
            trace = trace_of(condition(fn, {"weight": torch.tensor(0.5)}), x)
        module.zero_grad()
        trace.log_prob_sum().backward()
        gradients = [p.grad.clone() for p in module.parameters() if p.grad is not None]
        results.append((list(trace), trace.log_prob_sum(), gradients))
    (names, *expected), (other_names, *actual) = results
    assert other_names == names
    assert len(expected[1]) == 3
    assert_close(actual, expected)


@pytest.mark.usefixtures("group")
def test_a_wrapped_objective_is_fitted_alike() -> None:
    def fitted(wrap: bool) -> dict[str, Any]:
        pyro.set_rng_seed(0)
        model = Regression()
        guide = AutoNormal(model)
        loss: Any = Trace_ELBO()(model, guide)
        loss(torch.arange(4.0))
        state = loss.state_dict(keep_vars=True)
        if wrap:
            loss = nn.parallel.DistributedDataParallel(loss)
        optim = torch.optim.Adam(loss.parameters(), lr=0.1)
        pyro.set_rng_seed(1)
        for _ in range(3):
            optim.zero_grad()
            loss(torch.arange(4.0)).backward()
            optim.step()
        return dict(state)

    with settings.context(module_local_params=True):
        assert_close(fitted(True), fitted(False))
