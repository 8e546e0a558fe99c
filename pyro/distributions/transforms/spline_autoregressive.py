"""Flows that bend every entry by a spline, set by what comes before it."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext
from pyro.distributions.transforms.spline import ConditionalSpline, constrained, param_dims
from pyro.ops.monotone import solve_in_order
from pyro.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN
from pyro.ops.rational_splines import rational_spline

__all__ = [
    "ConditionalSplineAutoregressive",
    "SplineAutoregressive",
    "conditional_spline_autoregressive",
    "spline_autoregressive",
]


class SplineAutoregressive(TransformModule):
    r"""An autoregressive spline flow: :math:`y_i = s(x_i; \theta_i(x_{<i}))`.

    A network computes the parameters of the spline :math:`s` of each entry, see
    :class:`~pyro.distributions.transforms.spline.ConditionedSpline`. The inverse takes one pass of
    it for each entry.

    :param input_dim: the size of the vector.
    :param autoregressive_nn: the network, as :class:`~pyro.ops.networks.AutoRegressiveNN` with
        ``param_dims=[count_bins, count_bins, count_bins - 1]``, and for linear order
        ``count_bins`` more; its attribute ``permutation`` is the order.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"``, for ratios of linear functions, or ``"quadratic"``.
    :raises ValueError: where ``order`` is another.

    >>> import torch
    >>> flow, x = spline_autoregressive(3), torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-4))
    True

    Sources: Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*, arXiv:1906.04032;
    Dolatabadi, Erfani and Leckie 2020, *Invertible Generative Modeling using Linear Rational
    Splines*, arXiv:2001.05168.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    autoregressive = True

    def __init__(
        self,
        input_dim: int,
        autoregressive_nn: Callable[[Tensor], Any],
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        super().__init__(cache_size=1)
        self.arn: Any = autoregressive_nn
        # The same network once more: so it stands in files of these flows.
        self.spline = ConditionalSpline(autoregressive_nn, input_dim, count_bins, bound, order)

    def _spline_op(self, inputs: Tensor, given: Tensor, entry: Any, inverse: bool) -> Any:
        """Map some entries by their splines, set by the entries of another vector."""
        raw = [output[..., entry].mT for output in self.arn(given)]
        params = constrained(raw, self.spline.order)
        options: dict[str, Any] = {"bound": self.spline.bound, "order": self.spline.order}
        return rational_spline(inputs[..., entry], *params, inverse=inverse, **options)

    def _call(self, x: Tensor) -> Tensor:
        y, log_slope = self._spline_op(x, x, slice(None), inverse=False)
        self._keep(x, log_slope)
        result: Tensor = y
        return result

    def _inverse(self, y: Tensor) -> Tensor:
        def entry(i: int, before: Tensor) -> tuple[Tensor, Tensor]:
            x, log_slope = self._spline_op(y, before, slice(i, i + 1), inverse=True)
            return x.squeeze(-1), log_slope.squeeze(-1)

        x, log_slope = solve_in_order(self.arn.permutation, y, entry)
        self._keep(x, -log_slope)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        log_slope = self._kept_at(x)
        if log_slope is None:
            _, log_slope = self._spline_op(x, x, slice(None), inverse=False)
        total: Tensor = log_slope.sum(-1)
        return total


class ConditionalSplineAutoregressive(ConditionalTransformModule):
    r"""An autoregressive spline flow that depends on a context.

    :param input_dim: the size of the vector.
    :param autoregressive_nn: the network, which takes vectors and contexts, as
        :class:`~pyro.ops.networks.ConditionalAutoRegressiveNN` does.
    :param kwargs: options of :class:`SplineAutoregressive`.

    >>> import torch
    >>> flow = conditional_spline_autoregressive(3, context_dim=2)
    >>> flow.condition(torch.ones(2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, input_dim: int, autoregressive_nn: nn.Module, **kwargs: Any) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.nn = autoregressive_nn
        self.kwargs = kwargs

    def condition(self, context: Any) -> SplineAutoregressive:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes besides the vector.
        """
        return SplineAutoregressive(self.input_dim, AtContext(self.nn, context), **self.kwargs)


def spline_autoregressive(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> SplineAutoregressive:
    """Make a :class:`SplineAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"`` or ``"quadratic"``.

    >>> spline_autoregressive(3, count_bins=4).arn.param_dims
    [4, 4, 3, 4]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, sizes, param_dims(count_bins, order))
    return SplineAutoregressive(input_dim, network, count_bins, bound, order)


def conditional_spline_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSplineAutoregressive:
    """Make a :class:`ConditionalSplineAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param count_bins: the number of bins.
    :param bound: the splines' interval is from ``-bound`` to ``bound``.
    :param order: ``"linear"`` or ``"quadratic"``.

    >>> conditional_spline_autoregressive(3, 2).nn.hidden_dims
    [30, 30]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    outputs = param_dims(count_bins, order)
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, sizes, outputs)
    return ConditionalSplineAutoregressive(
        input_dim, network, count_bins=count_bins, bound=bound, order=order
    )
