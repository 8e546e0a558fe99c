"""Models and checks that the tests of the handlers share."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro
import pyro.distributions as dist
from pyro.poutine import runtime
from tests.rooms import site_is_latent

CATEGORIES = ("dogs", "cats")


def per_category(category: str) -> Tensor:
    """A mean, a std and a shift for one category, and five values; the model users know."""
    shift = pyro.param(f"{category}_shift", torch.randn(1))
    mean = pyro.sample(f"{category}_mean", dist.Normal(0.0, 1.0))
    std = pyro.sample(f"{category}_std", dist.LogNormal(0.0, 1.0))
    with pyro.plate(f"{category}_num_samples", 5):
        values: Tensor = pyro.sample(f"{category}_values", dist.Normal(mean + shift, std))
    return values


def dogs_and_cats() -> dict[str, Tensor]:
    return {category: per_category(category) for category in CATEGORIES}


def normals(names: Iterable[str]) -> Callable[[], dict[str, Tensor]]:
    """A model of independent standard normal sites."""
    names = list(names)

    def model() -> dict[str, Tensor]:
        return {name: pyro.sample(name, dist.Normal(0.0, 1.0)) for name in names}

    return model


def latent_names(trace: Any) -> list[str]:
    return [name for name, site in trace.nodes.items() if site_is_latent(site)]


def value_of(trace: Any, name: str) -> Tensor:
    value: Tensor = trace.nodes[name]["value"]
    return value


def interpreter_state() -> tuple[list[Any], list[Any], dict[str, Any]]:
    """The handlers on the stack, the plates that hold a dim, and the params in the store."""
    return (
        list(runtime._PYRO_STACK),
        list(runtime._DIM_ALLOCATOR._stack),
        {name: value.tolist() for name, value in pyro.get_param_store().items()},
    )


@contextmanager
def leaves_no_trace() -> Iterator[None]:
    """Asserts that stack, dim allocator and param store are afterwards as they were before."""
    before = interpreter_state()
    try:
        yield
    finally:
        assert interpreter_state() == before


@contextmanager
def refused(kind: type[Exception], match: str) -> Iterator[None]:
    """Expects an error of this type and text that leaves the interpreter as it was."""
    with leaves_no_trace(), pytest.raises(kind, match=match):
        yield
