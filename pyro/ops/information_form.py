r"""Quadratic forms :math:`x^\top u - \frac{1}{2} x^\top P x`, the algebra of Gaussians.

A form is held by its information vector :math:`u` and its precision :math:`P`. Forms are summed by
summing these; no matrix is inverted until some of the variables are integrated out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from pyro.ops.matrices import matvecmul, safe_cholesky, triangular_solve
from pyro.ops.shapes import broadcast_shape, broadcast_tensors_without_dim

B = TypeVar("B", bound="Batch")
F = TypeVar("F", bound="InformationForm")
F_co = TypeVar("F_co", bound="InformationForm", covariant=True)
Shape = Sequence[int]


class Batch:
    """A batch of things that consist of several tensors.

    The tensors need not be expanded to the whole batch; they only have to broadcast.
    """

    # Each tensor's name, which is also that of a parameter of the constructor, and how many of its
    # rightmost dimensions belong to one thing.
    _ranks: ClassVar[Mapping[str, int]]

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of the batch."""
        shapes = (self._batch_shape_of(name) for name in self._ranks)
        return torch.Size(broadcast_shape(*shapes))

    def expand(self: B, batch_shape: Shape) -> B:
        """Repeat along new dimensions on the left and along those of size 1, without a copy.

        :param batch_shape: the batch shape to have.
        """
        shape = torch.Size(batch_shape)
        if all(self._batch_shape_of(name) == shape for name in self._ranks):
            return self
        return self._each(lambda x, rank: x.expand(shape + x.shape[x.dim() - rank :]))

    def reshape(self: B, batch_shape: Shape) -> B:
        """Arrange the batch in another shape.

        :param batch_shape: the batch shape to have; one size may be -1.
        """
        shape = tuple(batch_shape)
        return self.expand(self.batch_shape)._each(
            lambda x, rank: x.reshape(shape + x.shape[x.dim() - rank :])
        )

    def __getitem__(self: B, index: Any) -> B:
        """Take part of the batch.

        :param index: what indexes a tensor of shape ``batch_shape``.
        """
        index = index if isinstance(index, tuple) else (index,)
        batch_shape = self.batch_shape
        taken = sum(_dims_taken(part) for part in index)
        if taken > len(batch_shape):
            raise IndexError(
                f"An index for {taken} dimensions was given, but the batch shape is "
                f"{tuple(batch_shape)}."
            )
        ends = any(part is Ellipsis for part in index)
        return self.expand(batch_shape)._each(
            lambda x, rank: x[index + (slice(None),) * rank if ends else index]
        )

    @staticmethod
    def cat(parts: Sequence[B], dim: int = 0) -> B:
        """Join batches along a dimension.

        :param parts: what to join; the other sizes of their batch shapes agree.
        :param dim: a dimension of the batch.
        """
        kind = type(parts[0])
        parts = [part.expand(part.batch_shape) for part in parts]
        joined = {
            name: torch.cat([getattr(part, name) for part in parts], dim - rank * (dim < 0))
            for name, rank in kind._ranks.items()
        }
        return kind(**joined)

    def _each(self: B, change: Callable[[Tensor, int], Tensor]) -> B:
        changed = {name: change(getattr(self, name), rank) for name, rank in self._ranks.items()}
        return type(self)(**changed)

    def _batch_shape_of(self, name: str) -> torch.Size:
        shape: torch.Size = getattr(self, name).shape
        return shape[: len(shape) - self._ranks[name]]


def _dims_taken(part: Any) -> int:
    """Tell how many dimensions part of an index is for."""
    if part is None or part is Ellipsis:
        return 0
    return part.dim() if isinstance(part, Tensor) and part.dtype == torch.bool else 1


class InformationForm(Batch):
    """A batch of quadratic forms, and what else a subclass adds to them."""

    def __init__(self, info_vec: Tensor, precision: Tensor) -> None:
        size = info_vec.size(-1)
        if precision.shape[-2:] != (size, size):
            raise ValueError(
                f"The precision has shape {tuple(precision.shape)}, expected (..., {size}, {size}) "
                f"for an information vector of size {size}."
            )
        self.info_vec = info_vec
        self.precision = precision

    def dim(self) -> int:
        """Return the number of variables."""
        return self.info_vec.size(-1)

    def event_pad(self: F, left: int = 0, right: int = 0) -> F:
        """Add variables on which the form does not depend.

        :param left: how many come before the present ones.
        :param right: how many come after.
        """
        sides = (left, right)
        return self._with(
            info_vec=torch.nn.functional.pad(self.info_vec, sides),
            precision=torch.nn.functional.pad(self.precision, sides * 2),
        )

    def event_permute(self: F, perm: Tensor) -> F:
        """Arrange the variables in another order.

        :param perm: where each comes from, integers of shape ``(dim,)``.
        """
        rows = self.precision.index_select(-2, perm)
        return self._with(
            info_vec=self.info_vec.index_select(-1, perm), precision=rows.index_select(-1, perm)
        )

    def _merged(self: F, other: F, middle: "Elimination") -> F:
        """Return the integral of a product, over the variables that both factors have.

        :param other: the other factor.
        :param middle: what is left when the forms of both are added and integrated.
        """
        raise NotImplementedError

    def _with(self: F, **changed: Tensor) -> F:
        held = {name: getattr(self, name) for name in self._ranks}
        return type(self)(**held | changed)

    def _plus_form(self: F, other: F) -> F:
        if self.dim() != other.dim():
            raise ValueError(
                f"One form has {self.dim()} variables and the other {other.dim()}; pad them with "
                "event_pad to the same variables first."
            )
        sums = {name: getattr(self, name) + getattr(other, name) for name in self._ranks}
        return type(self)(**sums)

    def _integrated(self, left: int, right: int) -> "Elimination":
        """Integrate the exponential of the form over variables on both sides."""
        if not right:
            return integrate_first(self.info_vec, self.precision, left)
        form = self.event_permute(rotation(left, self.dim(), self.info_vec)) if left else self
        return integrate_last(form.info_vec, form.precision, left + right)

    def _check_count(self, count: int, what: str) -> None:
        if not 0 <= count <= self.dim():
            raise ValueError(
                f"{what} {count} variables, but there are {self.dim()} in this "
                f"{type(self).__name__}."
            )

    def _check_sides(self, left: int, right: int) -> int:
        if left < 0 or right < 0:
            raise ValueError(f"marginalize was given left={left} and right={right}, below 0.")
        self._check_count(left + right, "marginalize was asked to integrate out")
        return left + right


class Factor(Protocol[F_co]):
    """A function of some variables that can be written as a form in more of them."""

    def dim(self) -> int:
        """Return the number of variables."""

    def event_pad(self, left: int = 0, right: int = 0) -> F_co:
        """Add variables on which the function does not depend."""


def join(x: Factor[F], y: Factor[F], dims: int) -> F:
    """Multiply functions of variables (a, b) and (b, c) to one of (a, c, b).

    :param x: the function of (a, b).
    :param y: the function of (b, c).
    :param dims: the number of variables in b.
    :raises ValueError: where one of the two has fewer variables.
    """
    if not 0 <= dims <= min(x.dim(), y.dim()):
        raise ValueError(
            f"dims is {dims}, but the functions have {x.dim()} and {y.dim()} variables."
        )
    before, after = x.dim() - dims, y.dim() - dims
    product = x.event_pad(right=after)._plus_form(y.event_pad(left=before))
    if not after or not dims:
        return product
    order = torch.arange(product.dim(), device=product.info_vec.device)
    a, b, c = order.split([before, dims, after])
    return product.event_permute(torch.cat([a, c, b]))


class Elimination(NamedTuple):
    r"""What is left when some variables of an exponentiated form are integrated out.

    The integral over :math:`y`, of size :math:`b`, is :math:`(2\pi)^{b/2}\,e^{q-d}` times
    :math:`e^{x^\top u-\frac{1}{2}x^\top Px}` for the others, :math:`x`. Given these, the vector
    :math:`L^\top y-w+Wx` is standard normal.
    """

    info_vec: Tensor  # u
    precision: Tensor  # P
    quadratic: Tensor  # q
    half_log_det: Tensor  # d
    factor: Tensor  # L
    shift: Tensor  # w
    slope: Tensor  # W

    def place(self, x: Tensor, noise: Tensor) -> Tensor:
        """Draw the variables that were integrated out, given the others.

        :param x: the others.
        :param noise: standard normal numbers.
        """
        moved = self.shift - rows_times(x, self.slope.mT) + noise
        return solve_rows(moved, self.factor, transpose=True)


def eliminate(
    kept: tuple[Tensor, Tensor], dropped: tuple[Tensor, Tensor], cross: Tensor
) -> Elimination:
    """Integrate the exponential of a form over some variables, by completing the square.

    :param kept: information vector and precision of the variables to keep.
    :param dropped: those of the variables to integrate out; this precision is positive definite.
    :param cross: the rest of the precision; a row for each variable to integrate out.
    """
    info_vec, precision = dropped
    factor = safe_cholesky(precision)
    sides = [cross, info_vec[..., None]]
    if cross.shape[:-1] != info_vec.shape:
        sides = broadcast_tensors_without_dim(sides, -1)
    columns = triangular_solve(torch.cat(sides, -1), factor)
    slope, shift = columns[..., :-1], columns[..., -1]
    explained = slope.mT @ columns
    return Elimination(
        kept[0] - explained[..., -1],
        kept[1] - explained[..., :-1],
        0.5 * shift.square().sum(-1),
        factor.diagonal(dim1=-2, dim2=-1).log().sum(-1),
        factor,
        shift,
        slope,
    )


def integrate_first(info_vec: Tensor, precision: Tensor, count: int) -> Elimination:
    """Integrate the exponential of a form over its first variables.

    :param info_vec: of shape ``(..., n)``.
    :param precision: of shape ``(..., n, n)``, positive definite in those variables.
    :param count: how many there are.
    """
    return eliminate(
        (info_vec[..., count:], precision[..., count:, count:]),
        (info_vec[..., :count], precision[..., :count, :count]),
        precision[..., :count, count:],
    )


def integrate_last(info_vec: Tensor, precision: Tensor, count: int) -> Elimination:
    """Integrate the exponential of a form over its last variables.

    :param info_vec: of shape ``(..., n)``.
    :param precision: of shape ``(..., n, n)``, positive definite in those variables.
    :param count: how many there are.
    """
    kept = info_vec.size(-1) - count
    return eliminate(
        (info_vec[..., :kept], precision[..., :kept, :kept]),
        (info_vec[..., kept:], precision[..., kept:, kept:]),
        precision[..., kept:, :kept],
    )


class Restriction(NamedTuple):
    r"""What is left of a form when values are put in for some variables: a form, and a number."""

    info_vec: Tensor
    precision: Tensor
    constant: Tensor


def substitute_last(info_vec: Tensor, precision: Tensor, value: Tensor) -> Restriction:
    """Put values in for the last variables of a form.

    :param info_vec: of shape ``(..., n)``.
    :param precision: of shape ``(..., n, n)``.
    :param value: of shape ``(..., count)``.
    """
    kept = info_vec.size(-1) - value.size(-1)
    return Restriction(
        info_vec[..., :kept] - matvecmul(precision[..., :kept, kept:], value),
        precision[..., :kept, :kept],
        evaluate(info_vec[..., kept:], precision[..., kept:, kept:], value),
    )


def evaluate(info_vec: Tensor, precision: Tensor, value: Tensor) -> Tensor:
    """Return the value of a form.

    :param info_vec: of shape ``(..., n)``.
    :param precision: of shape ``(..., n, n)``.
    :param value: of shape ``(..., n)``.
    """
    return (value * (info_vec - 0.5 * matvecmul(precision, value))).sum(-1)


def solve_rows(rows: Tensor, factor: Tensor, transpose: bool = False) -> Tensor:
    """Solve ``factor @ x = row`` for each row; for many at once where these share a factor.

    :param rows: of shape ``(..., T, n)``.
    :param factor: lower triangular matrices, of shape ``(..., T, n, n)``, or with size 1 for T.
    :param transpose: whether to solve ``factor.mT @ x = row``.
    """
    if factor.dim() > 2 and factor.size(-3) == 1:
        return triangular_solve(rows.mT, factor[..., 0, :, :], transpose=transpose).mT
    return triangular_solve(rows[..., None], factor, transpose=transpose)[..., 0]


def rows_times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each row with a matrix on its right; many at once where these share it.

    :param rows: of shape ``(..., T, m)``.
    :param matrix: of shape ``(..., T, m, n)``, or with size 1 for T.
    """
    if matrix.dim() > 2 and matrix.size(-3) == 1:
        return rows @ matrix[..., 0, :, :]
    return (rows[..., None, :] @ matrix)[..., 0, :]


def rotation(count: int, dim: int, like: Tensor) -> Tensor:
    """Return the permutation that moves the first variables behind the others.

    :param count: how many to move.
    :param dim: how many variables there are.
    :param like: a tensor on the device where the permutation shall lie.
    """
    return torch.arange(dim, device=like.device).roll(-count)


def pull_back(matrix: Tensor, info_vec: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    r"""Turn a form in :math:`y - x^\top A` into one in :math:`x` and :math:`y`.

    :param matrix: the matrix :math:`A`, of shape ``(..., m, n)``.
    :param info_vec: of shape ``(..., n)``.
    :param precision: of shape ``(..., n, n)``.
    :return: information vector and precision in ``m + n`` variables.
    """
    batch = broadcast_shape(matrix.shape[:-2], precision.shape[:-2])
    left = (-matrix @ precision).expand(*batch, -1, -1)
    corner = -left @ matrix.mT
    top = torch.cat([corner, left], -1)
    bottom = torch.cat([left.mT, precision.expand(*batch, -1, -1)], -1)
    batch = broadcast_shape(matrix.shape[:-2], info_vec.shape[:-1])
    pulled = matvecmul(-matrix, info_vec).expand(*batch, -1)
    return torch.cat([pulled, info_vec.expand(*batch, -1)], -1), torch.cat([top, bottom], -2)
