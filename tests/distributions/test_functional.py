"""Laws inside torch's function transforms: whatever torch's law of the same name can do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyro.distributions as dist
from pyro.ops.graph_compilers import has_inductor
from tests.distributions.examples.example import Example
from tests.distributions.table import EXAMPLES, some
from tests.helpers import assert_close

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop because")


def in_torch(example: Example) -> bool:
    return hasattr(torch.distributions, example.name) and bool(example.make_with_leaves()[1])


def if_torch_can(task: Callable[[Any], Any], example: Example) -> Any:
    """Return what a task gives with torch's laws, or skip the test where it fails."""
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        return task(example.of(torch.distributions))
    except Exception as error:
        pytest.skip(f"torch cannot do it: {type(error).__name__} {str(error)[:100]}")
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)


@some(in_torch)
def test_densities_inside_vmap(example: Example) -> None:
    law, leaves = example.make_with_leaves()
    leaves = [torch.stack([leaf.detach()] * 3) for leaf in leaves]
    values = law.sample((3,)).detach()

    def score(build: Any) -> Tensor:
        def one(value: Tensor, *parameters: Tensor) -> Tensor:
            scored: Tensor = example.make_from(parameters, build).log_prob(value)
            return scored

        return torch.func.vmap(one)(values, *leaves)

    expected = if_torch_can(score, example)
    assert_close(score(example.build), expected, rtol=1e-6, atol=1e-6)
    with dist.validation_enabled(False):
        assert_close(score(example.build), expected, rtol=1e-6, atol=1e-6)


@some(in_torch)
def test_draws_inside_vmap(example: Example) -> None:
    law, leaves = example.make_with_leaves()
    leaves = [torch.stack([leaf.detach()] * 40) for leaf in leaves]

    def draw(build: Any) -> Tensor:
        def one(*parameters: Tensor) -> Tensor:
            made = example.make_from(parameters, build)
            value: Tensor = made.rsample() if made.has_rsample else made.sample()
            return value

        return torch.func.vmap(one, randomness="different")(*leaves)

    expected = if_torch_can(draw, example)
    values = draw(example.build)
    assert values.shape == expected.shape
    assert law.support.check(values).all()
    assert (values[1:] != values[0]).any() or isinstance(law, dist.Delta)
    with dist.validation_enabled(False):
        assert draw(example.build).shape == expected.shape


@some(in_torch)
def test_gradients_inside_vmap(example: Example) -> None:
    law, leaves = example.make_with_leaves()
    leaves = [torch.stack([leaf.detach()] * 2) for leaf in leaves]
    values = law.sample((2,)).detach()
    which = tuple(range(1, 1 + len(leaves)))

    def slopes(build: Any) -> Any:
        def total(value: Tensor, *parameters: Tensor) -> Tensor:
            scored: Tensor = example.make_from(parameters, build).log_prob(value).sum()
            return scored

        return torch.func.vmap(torch.func.grad(total, which))(values, *leaves)

    expected = if_torch_can(slopes, example)
    assert_close(slopes(example.build), expected, rtol=1e-6, atol=1e-6)


def compiled(task: Callable[..., Any], backend: str) -> Callable[..., Any]:
    """Compile into one graph, which leaves nothing to Python."""
    torch.compiler.reset()
    function: Callable[..., Any] = torch.compile(
        task, backend=backend, fullgraph=True, dynamic=False
    )
    return function


def check_compiled(example: Example, backend: str) -> None:
    """Score a draw and differentiate it, in one compiled graph."""
    law, leaves = example.make_with_leaves()
    leaves = [leaf.detach() for leaf in leaves]
    value = law.sample().detach()

    def score(build: Any) -> Any:
        def one(*parameters: Tensor) -> Tensor:
            scored: Tensor = example.make_from(parameters, build).log_prob(value)
            return scored

        return compiled(one, backend)(*leaves)

    expected = if_torch_can(score, example)
    try:
        assert_close(score(example.build), expected, rtol=1e-6, atol=1e-6)
    finally:
        dist.enable_validation()  # torch.compile switches it off, for good, in torch


COMMON = ["Beta", "Dirichlet", "LogNormal", "Poisson", "StudentT"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not has_inductor(), reason="no C++ compiler")
def test_inductor_gives_the_same_numbers() -> None:
    chosen = {example.name: example for example in EXAMPLES if example.name in COMMON}
    leaves = {name: example.make_with_leaves()[1] for name, example in chosen.items()}
    values = {name: example.make(torch.float64).sample() for name, example in chosen.items()}

    def score() -> Tensor:
        parts = [
            example.make_from(leaves[name]).log_prob(values[name]).sum()
            for name, example in chosen.items()
        ]
        return torch.stack(parts)

    try:
        assert_close(compiled(score, "inductor")(), score())
    finally:
        dist.enable_validation()


@pytest.mark.slow
@some(in_torch)
def test_densities_compiled(example: Example) -> None:
    check_compiled(example, "eager")
