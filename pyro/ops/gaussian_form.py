"""Gaussian functions in information form, normalised or not."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyro.ops.information_form import (
    Elimination,
    InformationForm,
    evaluate,
    rotation,
    substitute_last,
)
from pyro.ops.matrices import safe_cholesky, triangular_solve

LOG_TAU = math.log(2 * math.pi)


class Gaussian(InformationForm):
    r"""A function of the form :math:`f(x)=\exp(c+x^\top u-\frac{1}{2}x^\top Px)`.

    It need not be a density: :math:`P` may be singular, as that of a conditional density is, in all
    its variables. Products are sums of the parts; ``f + g`` is the Gaussian of :math:`f(x)g(x)`.

    :param log_normalizer: the constant :math:`c`, of shape ``batch_shape``.
    :param info_vec: the information vector :math:`u`, of shape ``batch_shape + (dim,)``.
    :param precision: the symmetric matrix :math:`P`, of shape ``batch_shape + (dim, dim)``.

    >>> f = Gaussian(torch.tensor(0.0), torch.tensor([1.0, 2.0]), torch.eye(2))
    >>> f.log_density(torch.tensor([1.0, 0.0]))
    tensor(0.5000)
    >>> f.marginalize(right=1).info_vec
    tensor([1.])
    """

    _ranks = {"log_normalizer": 0, "info_vec": 1, "precision": 2}

    def __init__(self, log_normalizer: Tensor, info_vec: Tensor, precision: Tensor) -> None:
        super().__init__(info_vec, precision)
        self.log_normalizer = log_normalizer

    def __add__(self, other: "Gaussian | Tensor | float") -> "Gaussian":
        """Multiply with another Gaussian of the same variables, or with a number's exponential.

        :param other: a Gaussian, or log factors that broadcast with the batch.
        """
        if isinstance(other, Gaussian):
            return self._plus_form(other)
        if isinstance(other, Tensor | int | float):
            return self._with(log_normalizer=self.log_normalizer + other)
        return NotImplemented

    __radd__ = __add__

    def __sub__(self, other: "Tensor | float") -> "Gaussian":
        """Divide by a number's exponential.

        :param other: log factors that broadcast with the batch.
        """
        if isinstance(other, Tensor | int | float):
            return self + -other
        return NotImplemented

    def log_density(self, value: Tensor) -> Tensor:
        r"""Return :math:`\log f(x)`.

        :param value: the point :math:`x`, of shape ``(..., dim)``.
        """
        return self.log_normalizer + evaluate(self.info_vec, self.precision, value)

    def condition(self, value: Tensor) -> "Gaussian":
        """Put values in for the last variables.

        :param value: of shape ``(..., count)``.
        :return: a Gaussian of the other variables; its integral is the values' joint density.
        :raises ValueError: where there are more values than variables.

        >>> f = Gaussian(torch.tensor(0.0), torch.zeros(2), torch.eye(2))
        >>> f.condition(torch.tensor([2.0])).log_normalizer
        tensor(-2.)
        """
        self._check_count(value.size(-1), "There are values for")
        rest = substitute_last(self.info_vec, self.precision, value)
        return Gaussian(self.log_normalizer + rest.constant, rest.info_vec, rest.precision)

    def left_condition(self, value: Tensor) -> "Gaussian":
        """Put values in for the first variables.

        :param value: of shape ``(..., count)``.
        :return: a Gaussian of the other variables.
        :raises ValueError: where there are more values than variables.
        """
        count = value.size(-1)
        self._check_count(count, "There are values for")
        return self.event_permute(rotation(count, self.dim(), value)).condition(value)

    def marginalize(self, left: int = 0, right: int = 0) -> "Gaussian":
        """Integrate variables out, on the left, on the right, or on both sides.

        :param left: how many of the first.
        :param right: how many of the last.
        :return: a Gaussian of the others.
        :raises ValueError: where there are not so many.
        """
        if not self._check_sides(left, right):
            return self
        rest = self._integrated(left, right)
        return Gaussian(self.log_normalizer + _log_gain(rest), rest.info_vec, rest.precision)

    def _merged(self, other: "Gaussian", middle: Elimination) -> "Gaussian":
        c = self.log_normalizer + other.log_normalizer + _log_gain(middle)
        return Gaussian(c, middle.info_vec, middle.precision)

    def event_logsumexp(self) -> Tensor:
        """Return the logarithm of the integral over all variables."""
        factor = safe_cholesky(self.precision)
        shift = triangular_solve(self.info_vec[..., None], factor)[..., 0]
        volume = 0.5 * LOG_TAU * self.dim() - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.log_normalizer + 0.5 * shift.square().sum(-1) + volume

    def rsample(
        self, sample_shape: Sequence[int] = torch.Size([]), noise: Tensor | None = None
    ) -> Tensor:
        r"""Draw from the density proportional to this function, differentiably.

        With the Cholesky factor :math:`P=LL^\top` a draw is
        :math:`L^{-\top}(L^{-1}u+\varepsilon)`, where :math:`\varepsilon` is standard normal.

        :param sample_shape: the shape of independent draws.
        :param noise: the standard normal numbers, of the shape of the result; zeros give the mode.
        :return: of shape ``sample_shape + batch_shape + (dim,)``.
        :raises ValueError: where the noise has another shape.
        """
        shape = torch.Size(sample_shape) + self.batch_shape + self.info_vec.shape[-1:]
        return self._place(standard_normal(shape, noise, self.info_vec))

    def _place(self, noise: Tensor) -> Tensor:
        factor = safe_cholesky(self.precision)
        whitened = triangular_solve(self.info_vec[..., None], factor) + noise[..., None]
        return triangular_solve(whitened, factor, transpose=True)[..., 0]


def _log_gain(middle: Elimination) -> Tensor:
    volume = 0.5 * LOG_TAU * middle.shift.size(-1)
    return middle.quadratic - middle.half_log_det + volume


def standard_normal(shape: torch.Size, noise: Tensor | None, like: Tensor) -> Tensor:
    """Return the noise that was given, or draw it.

    :param shape: the shape that it must have.
    :param noise: what was given.
    :param like: a tensor whose dtype and device a draw shall have.
    :raises ValueError: where what was given has another shape.
    """
    if noise is None:
        return torch.randn(shape, dtype=like.dtype, device=like.device)
    if noise.shape != shape:
        raise ValueError(f"The noise has shape {tuple(noise.shape)}, expected {tuple(shape)}.")
    return noise
