"""The distributed optimiser, with a stand-in for the package that averages gradients."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

import pyro.optim
from pyro.optim.horovod import HorovodOptimizer
from pyro.params.param_store import _PYRO_PARAM_STORE
from tests.helpers import assert_close
from tests.optim.optimisers import stored_params


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, dict[str, Any]]]:
    """The names and arguments with which optimisers were distributed, in order."""
    calls: list[tuple[str | None, dict[str, Any]]] = []

    def distributed(optimizer: Optimizer, **kwargs: Any) -> Optimizer:
        (p,) = optimizer.param_groups[0]["params"]
        calls.append((_PYRO_PARAM_STORE.param_name(p), kwargs))
        return optimizer

    package, module = ModuleType("horovod"), ModuleType("horovod.torch")
    module.DistributedOptimizer = distributed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "horovod", package)
    monkeypatch.setitem(sys.modules, "horovod.torch", module)
    return calls


def test_every_process_steps_in_the_order_of_names(
    made: list[tuple[str | None, dict[str, Any]]],
) -> None:
    params = stored_params()
    optim = HorovodOptimizer(pyro.optim.SGD({"lr": 0.5}, {"clip_value": 1.0}), op="average")
    before = [p.detach().clone() for p in params]
    for p in params:
        p.grad = torch.full_like(p, 2.0)
    optim(reversed(params))
    assert made == [(name, {"op": "average"}) for name in ("a", "b", "d", "net$$$c")]
    assert_close([p.detach() for p in params], [p - 0.5 for p in before])


@pytest.mark.usefixtures("made")
def test_a_scheduler_is_refused() -> None:
    inner = {"optimizer": torch.optim.SGD, "optim_args": {"lr": 0.1}, "gamma": 0.5}
    with pytest.raises(TypeError, match="distributes a PyroOptim, got a PyroLRScheduler"):
        HorovodOptimizer(pyro.optim.ExponentialLR(inner))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    with pytest.raises(ImportError, match="'horovod.torch'.*pip install 'pyro-ppl"):
        HorovodOptimizer(pyro.optim.SGD({"lr": 0.1}))
