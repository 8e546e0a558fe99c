"""Torch's optimisers and schedulers under their names."""

import inspect

import pytest
import torch

import pyro.optim
from pyro.optim.lr_scheduler import PyroLRScheduler
from pyro.optim.optim import PyroOptim
from tests.optim.optimisers import EVERY_OPTIMISER
from tests.optim.test_lr_scheduler import EVERY_SCHEDULER


def _subclasses(module: object, base: type) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base
    }


def test_every_optimiser_of_torch_is_there() -> None:
    # LBFGS asks for the loss again and again, which a step without a closure cannot give.
    of_torch = _subclasses(torch.optim, torch.optim.Optimizer) - {"LBFGS"}
    assert of_torch <= EVERY_OPTIMISER.keys()
    for name in of_torch:
        made = getattr(pyro.optim, name)(EVERY_OPTIMISER[name], {"clip_norm": 1.0})
        assert type(made) is PyroOptim
        assert made.pt_optim_constructor is getattr(torch.optim, name)


def test_every_scheduler_of_torch_is_there() -> None:
    module = torch.optim.lr_scheduler
    of_torch = _subclasses(module, module.LRScheduler) - {"_LRScheduler"}
    assert of_torch == EVERY_SCHEDULER.keys()
    for name in of_torch:
        optim_args = {"optimizer": torch.optim.SGD, "optim_args": {}, **EVERY_SCHEDULER[name]}
        made = getattr(pyro.optim, name)(optim_args)
        assert type(made) is PyroLRScheduler
        assert made.pt_scheduler_constructor is getattr(module, name)


def test_a_factory_bears_its_name_and_says_what_it_makes() -> None:
    assert pyro.optim.Adam.__name__ == "Adam"  # type: ignore[attr-defined]
    assert "PyroOptim" in str(pyro.optim.Adam.__doc__)
    assert pyro.optim.StepLR.__name__ == "StepLR"  # type: ignore[attr-defined]
    assert "PyroLRScheduler" in str(pyro.optim.StepLR.__doc__)


def test_an_optimiser_that_this_torch_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(NotImplementedError, match=r"torch .* has no torch\.optim\.Muon"):
        pyro.optim.Muon({})
