"""Vectors and matrices: lengths, products, factors, blocks."""

import math
from typing import Any

import torch
from torch import Tensor

from pyro import settings
from pyro.ops.shapes import eye_like

RELATIVE_JITTER = 4.0


@settings.register("cholesky_relative_jitter", __name__, "RELATIVE_JITTER")
def _check_jitter(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"cholesky_relative_jitter is {value!r}, expected a number.")
    if not 0 <= value < math.inf:
        raise ValueError(f"cholesky_relative_jitter is {value!r}, expected 0 or more.")


def safe_normalize(x: Tensor, *, p: float = 2) -> Tensor:
    """Scale vectors to length 1.

    The vector of zeros becomes the first unit vector, with a gradient of zero. Lengths neither
    overflow nor underflow.

    :param x: vectors along the last dimension.
    :param p: the norm that measures them; 2 is Euclid's.

    >>> safe_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    size = x.detach().abs().amax(-1, keepdim=True)
    x = torch.where(size > 0, x / torch.where(size > 0, size, 1.0), eye_like(x, 1, x.size(-1))[0])
    length: Tensor = torch.linalg.vector_norm(x, p, -1, keepdim=True)
    return x / length


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Multiply matrices, without a sum where the inner dimension has size 1.

    :param x: of shape ``(..., m, k)``.
    :param y: of shape ``(..., k, n)``.

    >>> matmul(torch.ones(2, 1), torch.tensor([[3.0, 4.0]]))
    tensor([[3., 4.],
            [3., 4.]])
    """
    return x * y if x.size(-1) == y.size(-2) == 1 else x @ y


def matvecmul(x: Tensor, y: Tensor) -> Tensor:
    """Multiply matrices and vectors.

    :param x: of shape ``(..., m, n)``.
    :param y: of shape ``(..., n)``.

    >>> matvecmul(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return matmul(x, y[..., None])[..., 0]


def triangular_solve(x: Tensor, y: Tensor, upper: bool = False, transpose: bool = False) -> Tensor:
    """Solve ``y @ z = x`` for ``z``, where ``y`` is triangular.

    :param x: right-hand sides, of shape ``(..., n, k)``.
    :param y: triangular matrices, of shape ``(..., n, n)``.
    :param upper: whether they are upper triangular; the other triangle is not read.
    :param transpose: whether to solve ``y.mT @ z = x`` instead.

    >>> triangular_solve(torch.tensor([[1.0], [4.0]]), torch.tensor([[1.0, 0.0], [2.0, 1.0]]))
    tensor([[1.],
            [2.]])
    """
    if y.size(-1) == 1:
        return x / y
    if transpose:
        y, upper = y.mT, not upper
    solution: Tensor = torch.linalg.solve_triangular(y, x, upper=upper)
    return solution


def cholesky_solve(x: Tensor, y: Tensor) -> Tensor:
    """Solve ``y @ y.mT @ z = x`` for ``z``, where ``y`` is a lower Cholesky factor.

    :param x: right-hand sides, of shape ``(..., n, k)``.
    :param y: lower triangular matrices, of shape ``(..., n, n)``.

    >>> cholesky_solve(torch.tensor([[4.0]]), torch.tensor([[2.0]]))
    tensor([[1.]])
    """
    return x / y.square() if y.size(-1) == 1 else torch.cholesky_solve(x, y)


def safe_cholesky(x: Tensor) -> Tensor:
    r"""Return the lower Cholesky factor of a matrix that may be singular up to rounding.

    The diagonal is first raised by a few units in the last place,

    .. math:: x_{ii} \mapsto (1 + c\,\epsilon)\, x_{ii},

    which makes up for the rounding of the entries: that of a positive semidefinite matrix is at
    most of the size :math:`\epsilon\sqrt{x_{ii}x_{jj}}`, so the bound is unchanged when variables
    change their units (Higham, 2002, "Accuracy and stability of numerical algorithms", 10.1). The
    number :math:`c` is the setting ``cholesky_relative_jitter``.

    :param x: symmetric positive semidefinite matrices, of shape ``(..., n, n)``.
    :raises torch.linalg.LinAlgError: where a matrix is not positive semidefinite. For speed, one of
        size 1 which is negative has a factor of NaN instead.

    >>> safe_cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2.0000, 0.0000],
            [1.0000, 2.0000]])
    """
    limits = torch.finfo(x.dtype)
    growth, floor = 1 + RELATIVE_JITTER * limits.eps, limits.tiny if RELATIVE_JITTER else 0.0
    if x.size(-1) == 1:
        return (x * growth + floor).sqrt()
    if RELATIVE_JITTER:
        x = x.clone()
        x.diagonal(dim1=-2, dim2=-1).mul_(growth).add_(floor)
    factor: Tensor = torch.linalg.cholesky(x)
    return factor


def precision_to_scale_tril(P: Tensor) -> Tensor:
    r"""Return the lower Cholesky factor of a matrix's inverse.

    Turned by half a turn, the Cholesky factor of the turned :math:`P` is an upper triangular
    :math:`U` with :math:`P=UU^\top`; then :math:`P^{-1}=LL^\top` with :math:`L=U^{-\top}`.

    :param P: symmetric positive definite matrices, of shape ``(..., n, n)``.
    :raises torch.linalg.LinAlgError: where a matrix is not positive semidefinite.

    >>> precision_to_scale_tril(torch.tensor([[4.0, 0.0], [0.0, 0.25]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 2.0000]])
    """
    upper = safe_cholesky(P.flip(-2, -1)).flip(-2, -1)
    return triangular_solve(eye_like(P, P.size(-1)), upper, upper=True, transpose=True)


def repeated_matmul(M: Tensor, n: int) -> Tensor:
    """Return the first powers of a matrix, in about ``log2(n)`` products.

    :param M: square matrices, of shape ``(..., d, d)``.
    :param n: how many powers, at least 1.
    :return: ``M``, ``M @ M``, and so on, stacked on the left: of shape ``(n, ..., d, d)``.
    :raises ValueError: where ``n`` is less than 1.

    >>> repeated_matmul(torch.tensor([[2.0]]), 5).flatten()
    tensor([ 2.,  4.,  8., 16., 32.])
    """
    if n < 1:
        raise ValueError(f"repeated_matmul was asked for {n} powers, expected at least 1.")
    powers = M[None]
    while len(powers) < n:
        powers = torch.cat([powers, powers[-1] @ powers[: n - len(powers)]])
    return powers


def block_diag_embed(mat: Tensor) -> Tensor:
    """Put matrices on the diagonal of a larger one that is zero elsewhere.

    :param mat: of shape ``(..., count, m, n)``.
    :return: of shape ``(..., count * m, count * n)``.
    :raises ValueError: where there are fewer than three dimensions.

    >>> block_diag_embed(torch.tensor([[[1, 2]], [[3, 4]]]))
    tensor([[1, 2, 0, 0],
            [0, 0, 3, 4]])
    """
    if mat.dim() < 3:
        raise ValueError(
            f"The blocks have shape {tuple(mat.shape)}, expected (..., count, rows, columns)."
        )
    count, rows, columns = mat.shape[-3:]
    blocks = torch.diag_embed(mat.movedim(-3, -1), dim1=-4, dim2=-2)
    return blocks.reshape(mat.shape[:-3] + (count * rows, count * columns))


def block_diagonal(mat: Tensor, block_size: int) -> Tensor:
    """Take the blocks from the diagonal of a matrix; the inverse of :func:`block_diag_embed`.

    :param mat: of shape ``(..., block_size * m, block_size * n)``.
    :param block_size: how many blocks there are on the diagonal, whatever the name suggests.
    :return: of shape ``(..., block_size, m, n)``.
    :raises ValueError: where rows or columns do not divide into so many blocks.

    >>> block_diagonal(torch.arange(8).reshape(2, 4), 2)
    tensor([[[0, 1]],
    <BLANKLINE>
            [[6, 7]]])
    """
    rows, columns = mat.shape[-2:]
    if block_size < 1 or rows % block_size or columns % block_size:
        raise ValueError(
            f"A matrix of {rows} rows and {columns} columns does not divide into {block_size} "
            "blocks along its diagonal."
        )
    sizes = (block_size, rows // block_size, block_size, columns // block_size)
    cells = mat.reshape(mat.shape[:-2] + sizes)
    blocks: Tensor = cells.diagonal(dim1=-4, dim2=-2)
    return blocks.movedim(-1, -3)
