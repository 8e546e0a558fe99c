"""Flows that bend every entry by a small network of its own, set by what comes before it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, log_softmax, logsigmoid, softplus

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext
from pyro.ops.monotone import solve_in_order, solve_increasing
from pyro.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN

__all__ = [
    "ConditionalNeuralAutoregressive",
    "NeuralAutoregressive",
    "conditional_neural_autoregressive",
    "neural_autoregressive",
]

_LEAK = 0.01


# Each of these takes T's arguments a x + b, and the logarithms of the weights and of the scales,
# along dim -2, and returns T⁻¹(Σ w T(a x + b)) and the logarithm of its slope in x. Sums stay in
# logarithms, so that where T is flat nothing is lost.
def _through_sigmoid(at: Tensor, log_weights: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    log_below, log_above = logsigmoid(at), logsigmoid(-at)
    log_p = (log_weights + log_below).logsumexp(-2)
    log_q = (log_weights + log_above).logsumexp(-2)
    log_slope = (log_weights + log_scales + log_below + log_above).logsumexp(-2)
    return log_p - log_q, log_slope - log_p - log_q


def _through_tanh(at: Tensor, log_weights: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    y, log_slope = _through_sigmoid(2 * at, log_weights, log_scales)
    return y / 2, log_slope


def _through_elu(at: Tensor, log_weights: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    log_level = at.clamp(max=0) + at.clamp(min=0).log1p()
    log_mean = (log_weights + log_level).logsumexp(-2)
    below = log_mean.clamp(max=0)
    log_slope = (log_weights + log_scales + at.clamp(max=0)).logsumexp(-2)
    return below + log_mean.clamp(min=0).expm1(), log_slope - below


def _through_leaky_relu(
    at: Tensor, log_weights: Tensor, log_scales: Tensor
) -> tuple[Tensor, Tensor]:
    mean = (log_weights.exp() * leaky_relu(at, _LEAK)).sum(-2)
    log_slope = (log_weights + log_scales + _log_leak(at)).logsumexp(-2)
    return leaky_relu(mean, 1 / _LEAK), log_slope - _log_leak(mean)


def _log_leak(at: Tensor) -> Tensor:
    return torch.where(at < 0, math.log(_LEAK), torch.zeros_like(at))


_ACTIVATIONS = {
    "sigmoid": _through_sigmoid,
    "tanh": _through_tanh,
    "ELU": _through_elu,
    "LeakyReLU": _through_leaky_relu,
}


class NeuralAutoregressive(TransformModule):
    r"""A deep sigmoidal flow: :math:`y_i = T^{-1}\big(\sum_h w_{ih} T(a_{ih} x_i + b_{ih})\big)`.

    :math:`T` is the activation. An autoregressive network computes from :math:`x_{<i}` the scales
    :math:`a_{ih} > 0`, the weights :math:`w_{ih}`, which sum to one, and the shifts :math:`b_{ih}`.
    The inverse takes one pass of it for each entry, and solves for the entry to rounding.

    :param autoregressive_nn: the network, as :class:`~pyro.ops.networks.AutoRegressiveNN` with
        ``param_dims=[hidden_units] * 3``; its attribute ``permutation`` is the order.
    :param hidden_units: the number of :math:`h`.
    :param activation: :math:`T`: ``"sigmoid"``, ``"tanh"``, ``"ELU"`` or ``"LeakyReLU"``.
    :raises ValueError: where ``activation`` is another.

    >>> flow, x = neural_autoregressive(3), torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-4))
    True

    Source: Huang, Krueger, Lacoste and Courville 2018, *Neural Autoregressive Flows*,
    arXiv:1804.00779.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    autoregressive = True

    def __init__(
        self, autoregressive_nn: nn.Module, hidden_units: int = 16, activation: str = "sigmoid"
    ) -> None:
        super().__init__(cache_size=1)
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"NeuralAutoregressive: 'activation' is one of {', '.join(_ACTIVATIONS)}, not "
                f"{activation!r}."
            )
        self.arn: Any = autoregressive_nn
        self.hidden_units = hidden_units
        self.activation = activation

    def _units(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scales, the logarithms of weights, and shifts, ``(…, hidden_units, D)``."""
        raw_scales, raw_weights, shifts = self.arn(x)
        return softplus(raw_scales), log_softmax(raw_weights, -2), shifts

    def _bend(
        self, x: Tensor, scales: Tensor, log_weights: Tensor, shifts: Tensor
    ) -> tuple[Tensor, Tensor]:
        at = scales * x.unsqueeze(-2) + shifts
        return _ACTIVATIONS[self.activation](at, log_weights, scales.log())

    def _call(self, x: Tensor) -> Tensor:
        y, log_slope = self._bend(x, *self._units(x))
        self._keep(x, log_slope)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        def entry(i: int, before: Tensor) -> tuple[Tensor, Tensor]:
            units = [term[..., i : i + 1] for term in self._units(before)]

            def bend(x: Tensor) -> tuple[Tensor, Tensor]:
                value, log_slope = self._bend(x, *units)
                return value, log_slope.exp()

            x = solve_increasing(bend, y[..., i : i + 1], torch.zeros_like(y[..., i : i + 1]))
            return x.squeeze(-1), self._bend(x, *units)[1].squeeze(-1)

        x, log_slope = solve_in_order(self.arn.permutation, y, entry)
        self._keep(x, log_slope)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        log_slope = self._kept_at(x)
        if log_slope is None:
            _, log_slope = self._bend(x, *self._units(x))
        total: Tensor = log_slope.sum(-1)
        return total


class ConditionalNeuralAutoregressive(ConditionalTransformModule):
    """A deep sigmoidal flow that depends on a context.

    :param autoregressive_nn: the network, which takes vectors and contexts, as
        :class:`~pyro.ops.networks.ConditionalAutoRegressiveNN` does.
    :param kwargs: options of :class:`NeuralAutoregressive`.

    >>> flow = conditional_neural_autoregressive(3, context_dim=2)
    >>> flow.condition(torch.ones(2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, autoregressive_nn: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__()
        self.nn = autoregressive_nn
        self.kwargs = kwargs

    def condition(self, context: Any) -> NeuralAutoregressive:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes besides the vector.
        """
        return NeuralAutoregressive(AtContext(self.nn, context), **self.kwargs)


def neural_autoregressive(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    activation: str = "sigmoid",
    width: int = 16,
) -> NeuralAutoregressive:
    """Make a :class:`NeuralAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param hidden_dims: the sizes of the network's hidden layers; one of ``3 * input_dim + 1`` if
        None.
    :param activation: what bends the entries.
    :param width: how many units bend each entry.

    >>> neural_autoregressive(3, width=8).arn.param_dims
    [8, 8, 8]
    """
    sizes = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, sizes, [width] * 3)
    return NeuralAutoregressive(network, width, activation)


def conditional_neural_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    activation: str = "sigmoid",
    width: int = 16,
) -> ConditionalNeuralAutoregressive:
    """Make a :class:`ConditionalNeuralAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; one of ``3 * input_dim + 1`` if
        None.
    :param activation: what bends the entries.
    :param width: how many units bend each entry.

    >>> conditional_neural_autoregressive(3, 2).nn.hidden_dims
    [10]
    """
    sizes = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, sizes, [width] * 3)
    return ConditionalNeuralAutoregressive(network, hidden_units=width, activation=activation)
