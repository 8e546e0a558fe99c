"""Independent normal variables whose means are affine in other variables."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro.ops.gaussian_form import LOG_TAU, Gaussian, standard_normal
from pyro.ops.information_form import Batch, pull_back
from pyro.ops.matrices import matvecmul


class AffineNormal(Batch):
    r"""The conditional density of :math:`y=x^\top A+\mu+\sigma\varepsilon` given :math:`x`.

    Noise is independent for each entry of :math:`y`. As a function of both, this is a
    :class:`~pyro.ops.gaussian.Gaussian` of the variables :math:`(x, y)`, in that order, and offers
    what one does; where it can it stays in this form, which is smaller and better conditioned.

    :param matrix: the matrix :math:`A`, of shape ``batch_shape + (x_dim, y_dim)``.
    :param loc: the offset :math:`\mu`, of shape ``batch_shape + (y_dim,)``.
    :param scale: the standard deviations :math:`\sigma`, positive, of the same shape.

    >>> f = AffineNormal(torch.ones(2, 1), torch.zeros(1), torch.ones(1))
    >>> f.dim()
    3
    >>> f.left_condition(torch.tensor([3.0, 4.0])).loc
    tensor([7.])
    """

    _ranks = {"matrix": 2, "loc": 1, "scale": 1}

    def __init__(self, matrix: Tensor, loc: Tensor, scale: Tensor) -> None:
        sizes = matrix.size(-1), loc.size(-1), scale.size(-1)
        if len(set(sizes)) > 1:
            raise ValueError(
                f"The matrix leads to {sizes[0]} variables, loc has {sizes[1]} and scale "
                f"{sizes[2]}; expected the same number."
            )
        self.matrix = matrix
        self.loc = loc
        self.scale = scale
        self._gaussian: Gaussian | None = None

    def to_gaussian(self) -> Gaussian:
        """Return this function of ``x`` and ``y`` in information form."""
        if self._gaussian is None:
            with torch.enable_grad():  # what is kept serves later callers, who may need them
                precision = self.scale.pow(-2)
                info_vec, matrix = pull_back(
                    self.matrix, self.loc * precision, torch.diag_embed(precision)
                )
                self._gaussian = Gaussian(_log_density(self.loc, self.scale), info_vec, matrix)
        return self._gaussian

    def dim(self) -> int:
        """Return the number of variables in ``x`` and ``y`` together."""
        return self.matrix.size(-2) + self.matrix.size(-1)

    def __add__(self, other: "AffineNormal | Gaussian | Tensor | float") -> Gaussian:
        """Multiply with another function of the same variables.

        :param other: as for :class:`~pyro.ops.gaussian.Gaussian`.
        """
        return self.to_gaussian() + (
            other.to_gaussian() if isinstance(other, AffineNormal) else other
        )

    __radd__ = __add__

    def log_density(self, value: Tensor) -> Tensor:
        """Return the log density of ``y`` given ``x``.

        :param value: both, one after the other, of shape ``(..., x_dim + y_dim)``.
        """
        x, y = value.split(list(self.matrix.shape[-2:]), -1)
        return _log_density(y - self.loc - matvecmul(self.matrix.mT, x), self.scale)

    def condition(self, value: Tensor) -> Gaussian:
        """Put values in for the last variables.

        :param value: of shape ``(..., count)``; all of ``y``, as a rule.
        :return: a Gaussian of the other variables.
        """
        if value.size(-1) != self.matrix.size(-1):
            return self.to_gaussian().condition(value)
        rest = value - self.loc
        scaled = self.matrix / self.scale[..., None, :]
        info_vec = matvecmul(scaled, rest / self.scale)
        return Gaussian(_log_density(rest, self.scale), info_vec, scaled @ scaled.mT)

    def left_condition(self, value: Tensor) -> "AffineNormal | Gaussian":
        """Put values in for the first variables.

        :param value: of shape ``(..., count)``.
        :return: a function of the other variables: an affine normal one, unless the values go on
            into ``y``.
        """
        count = value.size(-1)
        if count > self.matrix.size(-2):
            return self.to_gaussian().left_condition(value)
        given, free = self.matrix[..., :count, :], self.matrix[..., count:, :]
        return AffineNormal(free, self.loc + matvecmul(given.mT, value), self.scale)

    def marginalize(self, left: int = 0, right: int = 0) -> "AffineNormal | Gaussian":
        """Integrate variables out.

        :param left: how many of the first.
        :param right: how many of the last.
        :return: a function of the others: an affine normal one, where the variables are in ``y``.
        """
        kept = self.matrix.size(-1) - right
        if left or not 0 <= right <= self.matrix.size(-1):
            return self.to_gaussian().marginalize(left, right)
        return AffineNormal(self.matrix[..., :kept], self.loc[..., :kept], self.scale[..., :kept])

    def event_logsumexp(self) -> Tensor:
        """Return the logarithm of the integral over all variables."""
        return self.to_gaussian().event_logsumexp()

    def event_pad(self, left: int = 0, right: int = 0) -> Gaussian:
        """Add variables on which the function does not depend.

        :param left: how many come before the present ones.
        :param right: how many come after.
        """
        return self.to_gaussian().event_pad(left, right)

    def event_permute(self, perm: Tensor) -> Gaussian:
        """Arrange the variables in another order.

        :param perm: where each comes from, integers of shape ``(dim,)``.
        """
        return self.to_gaussian().event_permute(perm)

    def rsample(
        self, sample_shape: Sequence[int] = torch.Size([]), noise: Tensor | None = None
    ) -> Tensor:
        """Draw ``y``, differentiably, once no ``x`` is left.

        :param sample_shape: the shape of independent draws.
        :param noise: the standard normal numbers, of the shape of the result.
        :return: of shape ``sample_shape + batch_shape + (y_dim,)``.
        :raises NotImplementedError: where variables in ``x`` have no value.
        """
        free, size = self.matrix.shape[-2:]
        if free:
            raise NotImplementedError(
                f"y cannot be drawn while {free} variables in x have no value. "
                "Call left_condition(x) first."
            )
        shape = torch.Size(sample_shape) + self.batch_shape + (size,)
        return self.loc + self.scale * standard_normal(shape, noise, self.loc)


def _log_density(rest: Tensor, scale: Tensor) -> Tensor:
    return -((rest / scale).square() * 0.5 + scale.log() + 0.5 * LOG_TAU).sum(-1)
