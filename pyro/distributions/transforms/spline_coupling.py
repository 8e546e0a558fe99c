"""Flows that bend one part of a vector by splines, set by the other part."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.spline import ConditionalSpline, Spline, from_flat, param_dims
from pyro.ops.networks import DenseNN
from pyro.ops.rational_splines import rational_spline

__all__ = ["SplineCoupling", "spline_coupling"]


class SplineCoupling(TransformModule):
    r"""A spline coupling: :math:`y_1 = s(x_1; \theta)` and :math:`y_2 = s(x_2; \theta(x_1))`.

    The parameters of the splines :math:`s` of the first part are learnt, those of the second a
    network computes. The inverse takes one pass of it. Permute between couplings.

    :param input_dim: the size of the vector.
    :param split_dim: the size of :math:`x_1`.
    :param hypernet: the network, which takes :math:`x_1` and returns what
        :class:`~pyro.distributions.transforms.spline.ConditionalSpline` asks for.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"``, for ratios of linear functions, or ``"quadratic"``.
    :param identity: whether to leave :math:`x_1` as it is, and its splines without effect.
    :raises ValueError: where ``order`` is another, or a part is empty.

    >>> flow, x = spline_coupling(4), torch.randn(5, 4)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-4))
    True

    Sources: Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*, arXiv:1906.04032;
    Dinh, Sohl-Dickstein and Bengio 2017, *Density Estimation using Real NVP*, arXiv:1605.08803.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self,
        input_dim: int,
        split_dim: int,
        hypernet: Callable[[Tensor], Sequence[Tensor]],
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
        identity: bool = False,
    ) -> None:
        super().__init__(cache_size=1)
        if not 0 < split_dim < input_dim:
            raise ValueError(
                f"SplineCoupling: {input_dim} entries are split in two parts, neither of them "
                f"empty; 'split_dim' is {split_dim}."
            )
        self.split_dim = split_dim
        self.identity = identity
        self.lower_spline = Spline(split_dim, count_bins, bound, order)
        rest = input_dim - split_dim
        self.upper_spline = ConditionalSpline(hypernet, rest, count_bins, bound, order)

    def _first(self, part: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        if self.identity:
            return part, torch.zeros_like(part)
        return self.lower_spline.spline_op(part, inverse=inverse)

    def _second(self, part: Tensor, first: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        upper = self.upper_spline
        params = from_flat(upper.nn(first), upper.input_dim, upper.order)
        options: dict[str, Any] = {"bound": upper.bound, "order": upper.order}
        return rational_spline(part, *params, inverse=inverse, **options)

    def _call(self, x: Tensor) -> Tensor:
        y, log_slope = self._evaluate(x)
        self._keep(x, log_slope)
        return y

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x[..., : self.split_dim], x[..., self.split_dim :]
        parts = self._first(first, False), self._second(second, first, False)
        y, log_slope = (torch.cat(halves, -1) for halves in zip(*parts, strict=True))
        return y, log_slope

    def _inverse(self, y: Tensor) -> Tensor:
        first, first_slope = self._first(y[..., : self.split_dim], True)
        second, second_slope = self._second(y[..., self.split_dim :], first, True)
        x = torch.cat([first, second], -1)
        self._keep(x, -torch.cat([first_slope, second_slope], -1))
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        log_slope = self._kept_at(x)
        if log_slope is None:
            _, log_slope = self._evaluate(x)
        total: Tensor = log_slope.sum(-1)
        return total


def spline_coupling(
    input_dim: int,
    split_dim: int | None = None,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
) -> SplineCoupling:
    """Make a :class:`SplineCoupling` of linear order, with a dense network.

    :param input_dim: the size of the vector.
    :param split_dim: how many entries set the splines of the rest; half if None.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.

    >>> spline_coupling(5).split_dim
    2
    """
    split = input_dim // 2 if split_dim is None else split_dim
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    outputs = [(input_dim - split) * count for count in param_dims(count_bins, "linear")]
    return SplineCoupling(input_dim, split, DenseNN(split, sizes, outputs), count_bins, bound)
