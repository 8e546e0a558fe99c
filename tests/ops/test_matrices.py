"""Products, solves and factors against dense linear algebra."""

import pytest
import torch
from torch import Tensor

from pyro import settings
from pyro.ops.matrices import (
    block_diag_embed,
    block_diagonal,
    cholesky_solve,
    matmul,
    matvecmul,
    precision_to_scale_tril,
    repeated_matmul,
    safe_cholesky,
    safe_normalize,
    triangular_solve,
)
from pyro.ops.shapes import broadcast_tensors_without_dim
from tests.helpers import assert_close

SIZES = [0, 1, 2, 3, 5]


def positive_definite(*batch: int, size: int) -> Tensor:
    root = torch.randn(*batch, size, size + 1, dtype=torch.float64)
    return root @ root.mT + 0.1 * torch.eye(size, dtype=torch.float64)


def test_vectors_get_length_1() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    for p in (1, 2, 3.5, float("inf")):
        norm = torch.linalg.vector_norm(x, p, -1, keepdim=True)
        assert_close(safe_normalize(x, p=p), x / norm)


@pytest.mark.parametrize("scale", [1e-308, 1e-160, 1e160, 1e308])
def test_length_neither_overflows_nor_underflows(scale: float) -> None:
    x = torch.tensor([0.3, -0.4], dtype=torch.float64) * scale
    assert_close(safe_normalize(x), [0.6, -0.8])


def test_the_zero_vector_becomes_the_first_unit_vector_with_gradient_zero() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    unit = safe_normalize(x)
    assert_close(unit, [[1.0, 0.0], [0.6, 0.8]])
    (gradient,) = torch.autograd.grad(unit[:, 1].sum(), x)
    assert_close(gradient, [[0.0, 0.0], [-0.096, 0.072]])
    assert_close(safe_normalize(torch.zeros(1)), [1.0])
    assert torch.autograd.gradgradcheck(safe_normalize, [x[1:].detach().requires_grad_()])


@pytest.mark.parametrize("inner", SIZES)
def test_products(inner: int) -> None:
    x, y = torch.randn(3, 1, 2, inner), torch.randn(4, inner, 5)
    assert_close(matmul(x, y), x @ y)
    assert_close(matvecmul(x, y[:, :, 0]), (x @ y[..., :1])[..., 0])


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_triangular_solve(size: int, upper: bool, transpose: bool) -> None:
    full = torch.randn(4, size, size, dtype=torch.float64) + 3 * torch.eye(size)
    triangle = full.triu() if upper else full.tril()
    x = torch.randn(2, 1, size, 3, dtype=torch.float64)
    solution = triangular_solve(x, full, upper=upper, transpose=transpose)
    assert_close((triangle.mT if transpose else triangle) @ solution, x.expand(2, 4, size, 3))


@pytest.mark.parametrize("size", SIZES)
def test_factors_and_solves(size: int) -> None:
    matrix = positive_definite(4, size=size)
    factor = safe_cholesky(matrix)
    assert_close(factor, torch.linalg.cholesky(matrix))
    x = torch.randn(2, 1, size, 3, dtype=torch.float64)
    assert_close(cholesky_solve(x, factor), torch.linalg.solve(matrix, x))
    assert_close(precision_to_scale_tril(matrix), torch.linalg.cholesky(matrix.inverse()))


@pytest.mark.parametrize("size", [1, 2])
def test_factors_have_gradients(size: int) -> None:
    matrix = positive_definite(size=size).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: safe_cholesky(m + m.mT), [matrix])
    assert torch.autograd.gradcheck(lambda m: precision_to_scale_tril(m + m.mT), [matrix])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e4])
def test_a_singular_matrix_has_a_factor_whatever_the_units(dtype: torch.dtype, unit: float) -> None:
    units = torch.tensor([unit, 1.0, 1.0], dtype=dtype)
    matrix = torch.ones(3, 3, dtype=dtype) * units * units[:, None]
    factor = safe_cholesky(matrix)
    assert_close(factor[:, 0], units)
    correlation = (factor / units[:, None])[1:, 1:].abs().max()
    assert correlation <= 4 * torch.finfo(dtype).eps ** 0.5
    assert safe_cholesky(torch.zeros(2, 2)).isfinite().all()


def test_an_indefinite_matrix_has_no_factor() -> None:
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        safe_cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    assert safe_cholesky(torch.tensor([[-4.0]])).isnan()


def test_the_jitter_is_a_setting() -> None:
    assert settings.get("cholesky_relative_jitter") == 4.0
    matrix = torch.eye(2, dtype=torch.float64) * 3
    with settings.context(cholesky_relative_jitter=0.0):
        assert safe_cholesky(matrix).equal(torch.linalg.cholesky(matrix))
        with pytest.raises(torch.linalg.LinAlgError):
            safe_cholesky(torch.ones(2, 2))
    with settings.context(cholesky_relative_jitter=2.0**50):
        assert_close(safe_cholesky(matrix).square(), matrix * (1 + 2.0**-2))
    for value, error, text in [
        (-1, ValueError, "expected 0 or more"),
        (float("nan"), ValueError, "expected 0 or more"),
        ("much", TypeError, "expected a number"),
    ]:
        with pytest.raises(error, match=text):
            settings.set(cholesky_relative_jitter=value)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9])
def test_powers(n: int) -> None:
    matrix = torch.randn(2, 3, 3, dtype=torch.float64)
    expected = [torch.linalg.matrix_power(matrix, k) for k in range(1, n + 1)]
    assert_close(repeated_matmul(matrix, n), torch.stack(expected))


def test_no_powers_are_refused() -> None:
    with pytest.raises(ValueError, match="asked for 0 powers, expected at least 1"):
        repeated_matmul(torch.eye(2), 0)


@pytest.mark.parametrize("batch", [(), (3,), (3, 2)])
@pytest.mark.parametrize(("count", "m", "n"), [(1, 1, 1), (3, 2, 2), (2, 1, 3), (4, 3, 1)])
def test_blocks(batch: tuple[int, ...], count: int, m: int, n: int) -> None:
    blocks = torch.randn(*batch, count, m, n)
    matrix = block_diag_embed(blocks)
    for index in torch.cartesian_prod(*(torch.arange(size) for size in (*batch, 1))).reshape(
        -1, len(batch) + 1
    ):
        at = tuple(index[:-1])
        assert matrix[at].equal(torch.block_diag(*blocks[at]))
    assert block_diagonal(matrix, count).equal(blocks)


def test_blocks_must_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\), expected \(..., count, rows, columns"):
        block_diag_embed(torch.ones(2, 2))
    for shape, size in [((6, 6), 4), ((6, 5), 2), ((6, 6), 0), ((6, 6), 7)]:
        with pytest.raises(ValueError, match=f"does not divide into {size} blocks"):
            block_diagonal(torch.ones(shape), size)


def test_broadcasting_without_a_dim() -> None:
    tensors = [torch.ones(3, 1, 2), torch.ones(4, 5), torch.ones(1, 3)]
    shapes = [tuple(x.shape) for x in broadcast_tensors_without_dim(tensors, -1)]
    assert shapes == [(3, 4, 2), (3, 4, 5), (3, 4, 3)]
    shapes = [tuple(x.shape) for x in broadcast_tensors_without_dim([torch.ones(2, 5)] * 2, -2)]
    assert shapes == [(2, 5), (2, 5)]
    parts = [torch.ones(3, 1, 2), torch.ones(4, 2)]
    assert torch.cat(broadcast_tensors_without_dim(parts, -2), -2).shape == (3, 5, 2)
    for dim in (0, -3):
        with pytest.raises(ValueError, match=f"dim is {dim}, expected .* -2 to -1"):
            broadcast_tensors_without_dim(tensors, dim)
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast_tensors_without_dim([torch.ones(2, 1), torch.ones(3, 1)], -1)
