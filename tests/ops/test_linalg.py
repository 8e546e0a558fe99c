"""Small matrices against LAPACK."""

import warnings

import pytest
import torch
from torch import Tensor

from pyro.ops.linalg import (
    determinant_3d,
    eig_3d,
    ignore_torch_deprecation_warnings,
    inv3d,
    rinverse,
)
from tests.helpers import assert_close

BATCHES: list[tuple[int, ...]] = [(), (4,), (2, 3)]


def random_matrix(*shape: int, sym: bool, dtype: torch.dtype = torch.float64) -> Tensor:
    root = torch.randn(*shape, dtype=dtype)
    eye = torch.eye(shape[-1], dtype=dtype)
    return root @ root.mT + eye if sym else root + 3 * eye


@pytest.mark.parametrize("sym", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_inverses(size: int, batch: tuple[int, ...], sym: bool) -> None:
    matrix = random_matrix(*batch, size, size, sym=sym)
    inverse = rinverse(matrix, sym=sym)
    assert_close(inverse, torch.linalg.inv(matrix))
    if sym:
        assert inverse.equal(inverse.mT)
    if size == 3:
        assert_close(inv3d(matrix, sym), torch.linalg.inv(matrix))
        assert_close(determinant_3d(matrix), torch.linalg.det(matrix))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_inverses_have_gradients_and_keep_the_dtype(size: int) -> None:
    matrix = random_matrix(size, size, sym=False).requires_grad_()
    assert torch.autograd.gradcheck(rinverse, [matrix])
    assert rinverse(matrix.float(), sym=False).dtype == torch.float32


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("values", [[-1.0, 2.0, 5.0], [1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [1.0] * 3])
def test_eigenvalues(values: list[float], batch: tuple[int, ...]) -> None:
    rotation, _ = torch.linalg.qr(torch.randn(*batch, 3, 3, dtype=torch.float64))
    matrix = rotation @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ rotation.mT
    actual = eig_3d(matrix)
    for eigenvalue, expected in zip(actual, values, strict=True):
        assert_close(eigenvalue, torch.full(batch, expected))


def test_eigenvalues_have_gradients_where_they_coincide() -> None:
    matrix = torch.eye(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sum(eig_3d(matrix)), matrix)
    assert_close(gradient, torch.eye(3))


def test_other_sizes_are_refused() -> None:
    for function in (determinant_3d, eig_3d, inv3d):
        with pytest.raises(ValueError, match=r"shape \(2, 2\), expected \(..., 3, 3\)"):
            function(torch.eye(2))


def test_only_deprecations_in_torch_are_silenced() -> None:
    with warnings.catch_warnings(record=True, action="always") as caught:
        with ignore_torch_deprecation_warnings():
            warnings.warn("torch.solve is deprecated\nin favor of torch.linalg.solve", stacklevel=1)
            warnings.warn("mind the gap", stacklevel=1)
            warnings.warn("pytorches are deprecated", stacklevel=1)
        warnings.warn("torch.solve is deprecated", stacklevel=1)
    assert [str(warning.message)[:6] for warning in caught] == ["mind t", "pytorc", "torch."]
