"""Inverses, determinants and eigenvalues of small matrices."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def determinant_3d(H: Tensor) -> Tensor:
    """Return determinants of 3 by 3 matrices, the volumes that their rows span.

    :param H: of shape ``(..., 3, 3)``.

    >>> determinant_3d(torch.eye(3) * 2)
    tensor(8.)
    """
    first, second, third = _rows(H)
    determinant: Tensor = (first * torch.linalg.cross(second, third)).sum(-1)
    return determinant


def eig_3d(H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvalues of symmetric 3 by 3 matrices, the smallest first.

    :param H: symmetric matrices of shape ``(..., 3, 3)``.

    >>> eig_3d(torch.diag(torch.tensor([3.0, 1.0, 2.0])))
    (tensor(1.), tensor(2.), tensor(3.))
    """
    _rows(H)
    smallest, middle, largest = torch.linalg.eigvalsh(H).unbind(-1)
    return smallest, middle, largest


def inv3d(H: Tensor, sym: bool = False) -> Tensor:
    """Return inverses of 3 by 3 matrices by Cramer's rule.

    :param H: invertible matrices of shape ``(..., 3, 3)``.
    :param sym: whether they are symmetric; then the inverses are so exactly.

    >>> inv3d(torch.eye(3) * 2)
    tensor([[0.5000, 0.0000, 0.0000],
            [0.0000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.5000]])
    """
    first, second, third = _rows(H)
    crosses = [
        torch.linalg.cross(second, third),
        torch.linalg.cross(third, first),
        torch.linalg.cross(first, second),
    ]
    determinant = (first * crosses[0]).sum(-1)
    inverse: Tensor = torch.stack(crosses, -1) / determinant[..., None, None]
    return (inverse + inverse.mT) / 2 if sym else inverse


def rinverse(M: Tensor, sym: bool = False) -> Tensor:
    """Return inverses of matrices, in closed form where they are small.

    :param M: invertible matrices of shape ``(..., n, n)``.
    :param sym: whether they are symmetric and positive definite, which is cheaper.
    :raises torch.linalg.LinAlgError: where a matrix of size 4 or more is singular, or with ``sym``
        not positive definite. Smaller singular matrices have an inverse that is not finite.

    >>> rinverse(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    tensor([[ 0.5000, -0.0000],
            [-0.5000,  1.0000]])
    """
    size = M.size(-1)
    if size == 1:
        return M.reciprocal()
    if size == 2:
        return _inverse_2d(M)
    if size == 3:
        return inv3d(M, sym)
    if sym:
        return torch.cholesky_inverse(torch.linalg.cholesky(M))
    inverse: Tensor = torch.linalg.inv(M)
    return inverse


@contextmanager
def ignore_torch_deprecation_warnings() -> Iterator[None]:
    """Silence warnings that a function of torch is deprecated, within a ``with`` block.

    >>> with ignore_torch_deprecation_warnings():
    ...     warnings.warn("torch.gone is deprecated in favor of torch.here")
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?is).*\btorch\b.*\bdeprecated\b")
        yield


def _rows(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"The matrix has shape {tuple(matrix.shape)}, expected (..., 3, 3).")
    first, second, third = matrix.unbind(-2)
    return first, second, third


def _inverse_2d(matrix: Tensor) -> Tensor:
    (a, b), (c, d) = (row.unbind(-1) for row in matrix.unbind(-2))
    adjugate = torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2))
    inverse: Tensor = adjugate / (a * d - b * c)[..., None, None]
    return inverse
