"""Flows that bend every number by an increasing spline."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax, softplus

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext, ConditionedTransform
from pyro.ops.networks import DenseNN
from pyro.ops.rational_splines import rational_spline

__all__ = ["ConditionalSpline", "ConditionedSpline", "Spline", "conditional_spline", "spline"]

Parameters = tuple[Tensor, Tensor, Tensor, Tensor | None]


def check_order(order: str) -> None:
    """Refuse a spline of an order that there is not.

    :param order: the order.
    :raises ValueError: where it is neither ``"linear"`` nor ``"quadratic"``.

    >>> check_order("linear")
    """
    if order not in ("linear", "quadratic"):
        raise ValueError(f"A spline's 'order' is 'linear' or 'quadratic', not {order!r}.")


def param_dims(count_bins: int, order: str) -> list[int]:
    """Return how many numbers of each kind shape a spline: widths, heights, slopes, and middles.

    :param count_bins: the number of bins.
    :param order: ``"linear"``, or ``"quadratic"``, which has no middles.

    >>> param_dims(8, "quadratic")
    [8, 8, 7]
    """
    sizes = [count_bins, count_bins, count_bins - 1]
    return [*sizes, count_bins] if order == "linear" else sizes


def constrained(raw: Sequence[Tensor], order: str) -> Parameters:
    """Turn any numbers into the parameters of a spline.

    :param raw: what belongs to widths, heights, slopes, and for linear order middles.
    :param order: ``"linear"`` or ``"quadratic"``.

    >>> constrained([torch.zeros(2), torch.zeros(2), torch.zeros(1)], "quadratic")[0]
    tensor([0.5000, 0.5000])
    """
    widths, heights, slopes = softmax(raw[0], -1), softmax(raw[1], -1), softplus(raw[2])
    return widths, heights, slopes, torch.sigmoid(raw[3]) if order == "linear" else None


class ConditionedSpline(ConditionedTransform):
    r"""An increasing spline with given parameters, on an interval, and the identity outside.

    See :func:`~pyro.ops.rational_splines.rational_spline` for what it is. Its inverse has a closed
    form.

    :param params: widths and heights of the bins, ``(…, K)``, which sum to one, slopes at the inner
        knots, ``(…, K - 1)``, and for linear order where in the bins two ratios meet, ``(…, K)``;
        or a function that returns them.
    :param bound: the interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"``, for ratios of linear functions, or ``"quadratic"``.
    :raises ValueError: where ``order`` is another.

    >>> halves, slope = torch.ones(2) / 2, torch.tensor([3.0])
    >>> flow = ConditionedSpline((halves, halves, slope), order="quadratic")
    >>> y = flow(torch.tensor([-5.0, 0.3]))
    >>> y
    tensor([-5.0000,  0.7121])
    >>> flow.inv(y.clone())
    tensor([-5.0000,  0.3000])

    Sources: Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*, arXiv:1906.04032;
    Dolatabadi, Erfani and Leckie 2020, *Invertible Generative Modeling using Linear Rational
    Splines*, arXiv:2001.05168.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True

    def __init__(
        self,
        params: Sequence[Tensor | None] | Callable[[], Sequence[Tensor | None]] | None = None,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__(params)
        self._set_options(bound, order)

    def _set_options(self, bound: float, order: str) -> None:
        check_order(order)
        self.bound = bound
        self.order = order

    def spline_op(self, x: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return the images of numbers, and the logarithms of the slopes there.

        :param x: the numbers.
        :param kwargs: options of :func:`~pyro.ops.rational_splines.rational_spline`, such as
            ``inverse=True``.
        """
        params = self._parameters_now()
        return rational_spline(x, *params, bound=self.bound, order=self.order, **kwargs)

    def _call(self, x: Tensor) -> Tensor:
        y, log_slope = self.spline_op(x)
        self._keep(x, log_slope)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        x, log_slope = self.spline_op(y, inverse=True)
        self._keep(x, -log_slope)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the slope, one for each number.

        :param x: a number.
        :param y: its image.
        """
        log_slope: Tensor | None = self._kept_at(x)
        return self.spline_op(x)[1] if log_slope is None else log_slope


class Spline(ConditionedSpline, TransformModule):
    """Increasing splines to be learnt, one for each entry of a vector.

    See :class:`ConditionedSpline`.

    :param input_dim: the size of the vector.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"``, for ratios of linear functions, or ``"quadratic"``.
    :raises ValueError: where ``order`` is another.

    >>> Spline(3)(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    unnormalized_widths: nn.Parameter
    unnormalized_heights: nn.Parameter
    unnormalized_derivatives: nn.Parameter
    unnormalized_lambdas: nn.Parameter

    def __init__(
        self, input_dim: int, count_bins: int = 8, bound: float = 3.0, order: str = "linear"
    ) -> None:
        super(ConditionedSpline, self).__init__()
        self._set_options(bound, order)
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.unnormalized_widths = nn.Parameter(torch.randn(input_dim, count_bins))
        self.unnormalized_heights = nn.Parameter(torch.randn(input_dim, count_bins))
        self.unnormalized_derivatives = nn.Parameter(torch.randn(input_dim, count_bins - 1))
        if order == "linear":
            self.unnormalized_lambdas = nn.Parameter(torch.rand(input_dim, count_bins))

    def _parameters_now(self) -> Parameters:
        raw = [self.unnormalized_widths, self.unnormalized_heights, self.unnormalized_derivatives]
        if self.order == "linear":
            raw.append(self.unnormalized_lambdas)
        return constrained(raw, self.order)


class ConditionalSpline(ConditionalTransformModule):
    """Increasing splines whose parameters a network computes from a context.

    :param nn: maps a context to what belongs to widths and heights, ``(…, D * K)`` each, slopes,
        ``(…, D * (K - 1))``, and for linear order middles, ``(…, D * K)``.
    :param input_dim: the size ``D`` of the vector.
    :param count_bins: the number ``K`` of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"``, for ratios of linear functions, or ``"quadratic"``.
    :raises ValueError: where ``order`` is another.

    >>> flow = conditional_spline(3, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True

    def __init__(
        self,
        nn: Callable[[Tensor], Sequence[Tensor]],
        input_dim: int,
        count_bins: int,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__()
        check_order(order)
        self.nn = nn
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.bound = bound
        self.order = order

    def condition(self, context: Any) -> ConditionedSpline:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        shaped = partial(from_flat, input_dim=self.input_dim, order=self.order)
        return ConditionedSpline(AtContext(self.nn, context, shaped), self.bound, self.order)


def from_flat(outputs: Sequence[Tensor], input_dim: int, order: str) -> Parameters:
    """Turn what a network computed for all entries of a vector into parameters of their splines.

    :param outputs: tensors ``(…, D * n)``.
    :param input_dim: the size ``D`` of the vector.
    :param order: ``"linear"`` or ``"quadratic"``.

    >>> from_flat([torch.zeros(6), torch.zeros(6), torch.zeros(3)], 3, "quadratic")[0].shape
    torch.Size([3, 2])
    """
    return constrained([output.unflatten(-1, (input_dim, -1)) for output in outputs], order)


def spline(input_dim: int, **kwargs: Any) -> Spline:
    """Make a :class:`Spline`.

    :param input_dim: the size of the vector.
    :param kwargs: options of :class:`Spline`.

    >>> spline(3, count_bins=4).count_bins
    4
    """
    return Spline(input_dim, **kwargs)


def conditional_spline(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSpline:
    """Make a :class:`ConditionalSpline` with a dense network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"`` or ``"quadratic"``.

    >>> conditional_spline(2, 3).nn.param_dims
    [16, 16, 14, 16]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    outputs = [input_dim * count for count in param_dims(count_bins, order)]
    network = DenseNN(context_dim, sizes, outputs)
    return ConditionalSpline(network, input_dim, count_bins, bound, order)
