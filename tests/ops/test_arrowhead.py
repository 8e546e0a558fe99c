"""Arrowheads against the dense matrices that they stand for."""

import pytest
import torch
from torch import Tensor

from pyro.ops.arrowhead import (
    SymmArrowhead,
    TriuArrowhead,
    sqrt,
    triu_gram,
    triu_inverse,
    triu_matvecmul,
)
from tests.helpers import assert_close

SIZES = [(head, size) for size in (1, 2, 3, 6) for head in (0, 1, 2, 3, 6) if head <= size]
DOUBLE = torch.float64


def dense(x: SymmArrowhead | TriuArrowhead) -> Tensor:
    head, size = x.top.shape
    matrix = torch.diag(torch.cat([torch.zeros(head, dtype=x.top.dtype), x.bottom_diag]))
    matrix[:head] = x.top
    if isinstance(x, SymmArrowhead):
        matrix[head:, :head] = x.top[:, head:].T
    return matrix


def random_arrowhead(head: int, size: int, dtype: torch.dtype = DOUBLE) -> SymmArrowhead:
    bottom = torch.rand(size - head, dtype=dtype) + 0.5
    side = torch.randn(head, size - head, dtype=dtype)
    root = torch.randn(head, head, dtype=dtype)
    schur = root @ root.T + torch.eye(head, dtype=dtype)
    top = torch.cat([schur + side / bottom @ side.T, side], -1)
    return SymmArrowhead(top, bottom)


@pytest.mark.parametrize(("head", "size"), SIZES)
def test_arrowheads_are_their_dense_matrices(head: int, size: int) -> None:
    x = random_arrowhead(head, size)
    root = sqrt(x)
    assert isinstance(root, TriuArrowhead)
    assert dense(root).equal(dense(root).triu())
    assert_close(dense(root) @ dense(root).T, dense(x))
    inverse = triu_inverse(root)
    assert isinstance(inverse, TriuArrowhead)
    assert_close(dense(inverse), dense(root).inverse())
    gram = dense(root).T @ dense(root)
    assert_close(triu_gram(root), gram if head else gram.diagonal())
    for batch in [(), (4,), (2, 3)]:
        y = torch.randn(*batch, size, dtype=DOUBLE)
        assert_close(triu_matvecmul(root, y), y @ dense(root).T)
        assert_close(triu_matvecmul(root, y, transpose=True), y @ dense(root))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    x = triu_inverse(sqrt(random_arrowhead(2, 4, dtype)))
    assert x.top.dtype == x.bottom_diag.dtype == triu_gram(x).dtype == dtype


def test_gradients() -> None:
    def gram(top: Tensor, bottom: Tensor) -> Tensor:
        head = top[:, :2] + top[:, :2].mT
        x = SymmArrowhead(torch.cat([head, top[:, 2:]], -1), bottom)
        return triu_gram(triu_inverse(sqrt(x)))

    x = random_arrowhead(2, 4)
    assert torch.autograd.gradcheck(gram, [part.requires_grad_() for part in x])


@pytest.mark.parametrize("head", [1, 2])
def test_an_indefinite_arrowhead_is_shrunk_as_documented(head: int) -> None:
    size = head + 3
    ones = torch.ones(size, size, dtype=DOUBLE) + 0.1 * torch.eye(size, dtype=DOUBLE)
    x = SymmArrowhead(ones[:head], ones.diagonal()[head:])
    assert torch.linalg.eigvalsh(dense(x)).min() < 0, "cut from a covariance, yet indefinite"
    product = dense(sqrt(x)) @ dense(sqrt(x)).T
    assert_close(product[:head, :head], x.top[:, :head])
    assert_close(product[head:, head:], torch.diag(x.bottom_diag))
    side, given = product[:head, head:], x.top[:, head:]
    assert_close(side / given, (side / given)[0, 0].expand_as(side))
    explained = side @ torch.diag(1 / x.bottom_diag) @ side.T
    shares = torch.linalg.eigvals(torch.linalg.solve(x.top[:, :head], explained)).real
    assert_close(shares.max(), 0.5)


def test_what_cannot_be_an_arrowhead_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 3\) .* size 1, expected 2"):
        sqrt(SymmArrowhead(torch.ones(1, 3), torch.ones(1)))
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        sqrt(SymmArrowhead(torch.tensor([[-1.0, 0.0]]), torch.ones(1)))
