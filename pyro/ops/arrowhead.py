r"""Matrices that are diagonal but for their first rows and columns.

.. math:: \begin{pmatrix} A & B \\ B^\top & D \end{pmatrix}

with a small dense head :math:`A` and a diagonal :math:`D`. Held as ``top`` :math:`=(A, B)` and the
diagonal of :math:`D`, such a matrix of size :math:`n` with a head of size :math:`h` takes
:math:`O(nh)` numbers, and its square root and inverse root take :math:`O(nh^2)` operations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro.ops.matrices import matvecmul, triangular_solve
from pyro.ops.shapes import eye_like


class SymmArrowhead(NamedTuple):
    """A symmetric arrowhead matrix.

    :param top: the first rows, of shape ``(head, size)``.
    :param bottom_diag: the rest of the diagonal, of shape ``(size - head,)``.
    """

    top: Tensor
    bottom_diag: Tensor


class TriuArrowhead(NamedTuple):
    """An upper triangular arrowhead matrix: nothing below the diagonal.

    :param top: the first rows, of shape ``(head, size)``.
    :param bottom_diag: the rest of the diagonal, of shape ``(size - head,)``.
    """

    top: Tensor
    bottom_diag: Tensor


def sqrt(x: SymmArrowhead) -> TriuArrowhead:
    r"""Return the upper triangular arrowhead :math:`U` with :math:`UU^\top=X`.

    An arrowhead that was cut from a covariance need not be positive definite, even where the
    covariance is. Then the block :math:`B` is shrunk by a factor which leaves half of the
    variance of the head, in the direction where none would be left, unexplained by the others.

    :param x: a symmetric arrowhead with a positive diagonal.
    :raises torch.linalg.LinAlgError: where its head is not positive definite.

    >>> sqrt(SymmArrowhead(torch.tensor([[5.0, 4.0]]), torch.tensor([4.0])))
    TriuArrowhead(top=tensor([[1., 2.]]), bottom_diag=tensor([2.]))
    """
    head, side = _split(x)
    bottom = x.bottom_diag.sqrt()
    side = side / bottom
    upper, info = _upper_factor(head - side @ side.mT)
    if bool(info.any()):
        side = side * _shrinkage(head, side)
        upper, info = _upper_factor(head - side @ side.mT)
    return TriuArrowhead(torch.cat([upper, side], -1), bottom)


def triu_inverse(x: TriuArrowhead) -> TriuArrowhead:
    """Return the inverse of an upper triangular arrowhead, which is another one.

    :param x: with a diagonal free of zeros.

    >>> triu_inverse(TriuArrowhead(torch.tensor([[1.0, 2.0]]), torch.tensor([2.0])))
    TriuArrowhead(top=tensor([[ 1., -1.]]), bottom_diag=tensor([0.5000]))
    """
    head, side = _split(x)
    bottom = x.bottom_diag.reciprocal()
    identity = eye_like(head, head.size(-1))
    top = triangular_solve(torch.cat([identity, -side * bottom], -1), head, upper=True)
    return TriuArrowhead(top, bottom)


def triu_gram(x: TriuArrowhead) -> Tensor:
    r"""Return :math:`X^\top X`, a dense matrix.

    :param x: an upper triangular arrowhead.
    :return: of shape ``(size, size)``; without a head, the diagonal alone, of shape ``(size,)``.

    >>> triu_gram(TriuArrowhead(torch.tensor([[1.0, 2.0]]), torch.tensor([2.0])))
    tensor([[1., 2.],
            [2., 8.]])
    """
    squares = x.bottom_diag.square()
    if not x.top.size(-2):
        return squares
    zeros = squares.new_zeros(x.top.size(-2))
    return x.top.mT @ x.top + torch.diag_embed(torch.cat([zeros, squares]))


def triu_matvecmul(x: TriuArrowhead, y: Tensor, transpose: bool = False) -> Tensor:
    r"""Return :math:`Xy` or :math:`X^\top y`.

    :param x: an upper triangular arrowhead.
    :param y: vectors of shape ``(..., size)``.
    :param transpose: whether to transpose the matrix.

    >>> x = TriuArrowhead(torch.tensor([[1.0, 2.0]]), torch.tensor([2.0]))
    >>> triu_matvecmul(x, torch.tensor([1.0, 1.0]))
    tensor([3., 2.])
    """
    size = x.top.size(-2)
    bottom = x.bottom_diag * y[..., size:]
    if not transpose:
        return torch.cat([matvecmul(x.top, y), bottom], -1)
    across = matvecmul(x.top.mT, y[..., :size])
    return across + torch.nn.functional.pad(bottom, (size, 0))


def _split(x: SymmArrowhead | TriuArrowhead) -> tuple[Tensor, Tensor]:
    size = x.top.size(-2)
    if x.top.size(-1) != size + x.bottom_diag.size(-1):
        raise ValueError(
            f"The top has shape {tuple(x.top.shape)} and the rest of the diagonal size "
            f"{x.bottom_diag.size(-1)}, expected {x.top.size(-1) - size}."
        )
    return x.top[..., :size], x.top[..., size:]


def _upper_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Factor into U @ U.mT, by a Cholesky factor of the matrix turned by half a turn."""
    factor, info = torch.linalg.cholesky_ex(matrix.flip(-2, -1))
    return factor.flip(-2, -1), info


def _shrinkage(head: Tensor, side: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(head)
    explained: Tensor = torch.linalg.matrix_norm(triangular_solve(side, factor), 2)
    factor_to_half: Tensor = 0.5**0.5 / explained
    return factor_to_half
