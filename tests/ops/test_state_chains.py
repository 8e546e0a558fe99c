"""Chains of steps against loops over them."""

import math

import pytest
import torch
from torch import Tensor

from pyro.ops.state_chains import (
    affine_paths,
    log_matmul_exp,
    sequential_index,
    sequential_log_matmul_exp,
    state_paths,
)
from tests.helpers import assert_close
from tests.ops.gaussians import DOUBLE

LENGTHS = pytest.mark.parametrize("steps", range(1, 10))


def one_by_one(x: Tensor, y: Tensor) -> Tensor:
    return (x[..., :, :, None] + y[..., None, :, :]).logsumexp(-2)


@pytest.mark.parametrize("spread", [1.0, 2000.0])
def test_products_of_exponentials(spread: float) -> None:
    x = (spread * torch.randn(5, 1, 3, 4, dtype=DOUBLE)).requires_grad_()
    y = (spread * torch.randn(2, 4, 3, dtype=DOUBLE)).requires_grad_()
    expected = one_by_one(x, y)
    assert_close(log_matmul_exp(x, y), expected)
    weights = torch.randn(5, 2, 3, 3, dtype=DOUBLE)
    ours = torch.autograd.grad((log_matmul_exp(x, y) * weights).sum(), (x, y))
    assert_close(ours, torch.autograd.grad((expected * weights).sum(), (x, y)))


def test_products_with_zeros() -> None:
    x = torch.tensor([[0.0, -math.inf], [-math.inf, -math.inf]], requires_grad=True)
    y = torch.tensor([[1.0, -math.inf], [2.0, 3.0]], requires_grad=True)
    product = log_matmul_exp(x, y)
    assert product.tolist() == [[1.0, -math.inf], [-math.inf, -math.inf]]
    gradient, other = torch.autograd.grad(product[0, 0], (x, y))
    assert gradient.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert other.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    every, _ = torch.autograd.grad(log_matmul_exp(x, y).exp().sum(), (x, y))
    assert every.isfinite().all()


def test_products_whose_entries_cannot_be_read() -> None:
    x, y = 300 * torch.randn(4, 3, 3, dtype=DOUBLE), 300 * torch.randn(4, 3, 3, dtype=DOUBLE)
    assert_close(torch.func.vmap(log_matmul_exp)(x, y), one_by_one(x, y))


@LENGTHS
def test_chains_of_products(steps: int) -> None:
    chain = 100 * torch.randn(2, steps, 3, 3, dtype=DOUBLE)
    expected = chain[:, 0]
    for t in range(1, steps):
        expected = one_by_one(expected, chain[:, t])
    assert_close(sequential_log_matmul_exp(chain), expected)


def test_an_empty_chain_has_no_product() -> None:
    with pytest.raises(ValueError, match="length 0 has no product"):
        sequential_log_matmul_exp(torch.zeros(0, 2, 2))


@LENGTHS
def test_paths_of_states(steps: int) -> None:
    maps, start = torch.randint(3, (2, steps, 3)), torch.tensor([[2], [0]])
    paths, composed = state_paths(start, maps), sequential_index(maps)
    state, every = start, torch.arange(3).expand(2, 3)
    for t in range(steps):
        state, every = maps[:, t].gather(-1, state), maps[:, t].gather(-1, every)
        assert torch.equal(paths[:, t], state) and torch.equal(composed[:, t], every)


@LENGTHS
@pytest.mark.parametrize("varies", [False, True])
def test_paths_of_vectors(steps: int, varies: bool) -> None:
    start, offsets = torch.randn(2, dtype=DOUBLE), torch.randn(5, 4, steps, 2, dtype=DOUBLE)
    matrices = torch.randn(4, steps if varies else 1, 2, 2, dtype=DOUBLE)
    paths, state = affine_paths(start, matrices, offsets), start.expand(5, 4, 2)
    assert paths.shape == offsets.shape
    for t in range(steps):
        state = (state[..., None, :] @ matrices[:, t if varies else 0])[..., 0, :]
        state = state + offsets[..., t, :]
        assert_close(paths[..., t, :], state)
