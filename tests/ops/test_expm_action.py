"""Exponentials of matrices, applied to vectors."""

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from pyro.ops.expm_action import expm_action
from tests.helpers import assert_close


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 0.1, 2.0, 20.0])
def test_rotations(scale: float, dtype: torch.dtype) -> None:
    generator = torch.randn(5, 5, dtype=dtype)
    matrix = scale * (generator - generator.mT)
    x = torch.randn(5, dtype=dtype)
    # A rotation has condition 1; its angle is as large as the scale, and so is that's rounding.
    tolerance = 100 * max(scale, 1) * torch.finfo(dtype).eps
    expected = torch.linalg.matrix_exp(matrix.double()) @ x.double()
    assert_close(expm_action(matrix, x).double(), expected, rtol=tolerance, atol=tolerance)
    assert_close(expm_action(-matrix, expm_action(matrix, x)), x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "matrices, vectors, batch",
    [((), (3,), (3,)), ((3,), (), (3,)), ((2, 1), (5,), (2, 5)), ((4,), (6, 4), (6, 4))],
)
def test_batches(matrices: Any, vectors: Any, batch: Any) -> None:
    matrix = torch.randn(*matrices, 3, 3, dtype=torch.double)
    x = torch.randn(*vectors, 3, dtype=torch.double)
    y = expm_action(matrix, x)
    assert y.shape == (*batch, 3)
    assert_close(y, (torch.linalg.matrix_exp(matrix) @ x.unsqueeze(-1)).squeeze(-1))


def test_gradients() -> None:
    matrix = torch.randn(2, 3, 3, dtype=torch.double, requires_grad=True)
    assert gradcheck(expm_action, (matrix, torch.randn(3, dtype=torch.double, requires_grad=True)))


def test_a_matrix_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite is not defined"):
        expm_action(torch.full((2, 2), torch.nan), torch.ones(2))
