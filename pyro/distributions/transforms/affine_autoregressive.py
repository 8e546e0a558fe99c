"""Flows that shift and scale every entry by what comes before it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext
from pyro.ops.clamping import clamp_preserve_gradients
from pyro.ops.monotone import solve_in_order
from pyro.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN

__all__ = [
    "AffineAutoregressive",
    "ConditionalAffineAutoregressive",
    "affine_autoregressive",
    "conditional_affine_autoregressive",
]


class AffineAutoregressive(TransformModule):
    r"""An autoregressive flow: :math:`y_i = \mu_i(x_{<i}) + \sigma_i(x_{<i})\, x_i`.

    A network computes :math:`\mu` and :math:`\log\sigma` of all entries in one pass. The inverse
    takes one pass for each entry. With ``stable=True`` the network's second output is a logit of
    :math:`\sigma`, and :math:`y_i = \sigma_i x_i + (1 - \sigma_i) \mu_i`.

    :param autoregressive_nn: the network, two outputs for each entry, as
        :class:`~pyro.ops.networks.AutoRegressiveNN` with ``param_dims=[1, 1]``; its attribute
        ``permutation`` is the order.
    :param log_scale_min_clip: the least :math:`\log\sigma`.
    :param log_scale_max_clip: the greatest.
    :param sigmoid_bias: what is added to the logits.
    :param stable: whether :math:`\sigma` is a sigmoid, and so below 1.

    >>> flow = affine_autoregressive(3)
    >>> x = torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-5))
    True

    Sources: Kingma et al. 2016, *Improving Variational Inference with Inverse Autoregressive Flow*,
    arXiv:1606.04934; Papamakarios et al. 2017, *Masked Autoregressive Flow for Density Estimation*,
    arXiv:1705.07057.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    sign = +1
    autoregressive = True

    def __init__(
        self,
        autoregressive_nn: nn.Module,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
        sigmoid_bias: float = 2.0,
        stable: bool = False,
    ) -> None:
        super().__init__(cache_size=1)
        self.arn: Any = autoregressive_nn
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip
        self.sigmoid_bias = sigmoid_bias
        self.stable = stable

    def _shift_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.arn(x)
        if self.stable:
            logits = raw + self.sigmoid_bias
            return mean * torch.sigmoid(-logits), logsigmoid(logits)
        bounds = self.log_scale_min_clip, self.log_scale_max_clip
        return mean, clamp_preserve_gradients(raw, *bounds)

    def _call(self, x: Tensor) -> Tensor:
        shift, log_scale = self._shift_and_log_scale(x)
        self._keep(x, log_scale)
        return torch.addcmul(shift, log_scale.exp(), x)

    def _inverse(self, y: Tensor) -> Tensor:
        def entry(i: int, x: Tensor) -> tuple[Tensor, Tensor]:
            shift, log_scale = (term[..., i] for term in self._shift_and_log_scale(x))
            return (y[..., i] - shift) * (-log_scale).exp(), log_scale

        x, log_scale = solve_in_order(self.arn.permutation, y, entry)
        self._keep(x, log_scale)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        log_scale = self._kept_at(x)
        if log_scale is None:
            _, log_scale = self._shift_and_log_scale(x)
        total: Tensor = log_scale.sum(-1)
        return total


class ConditionalAffineAutoregressive(ConditionalTransformModule):
    r"""An autoregressive flow that depends on a context.

    :math:`y_i = \mu_i(x_{<i}, c) + \sigma_i(x_{<i}, c)\, x_i`.

    :param autoregressive_nn: the network, which takes vectors and contexts, as
        :class:`~pyro.ops.networks.ConditionalAutoRegressiveNN` does.
    :param kwargs: options of :class:`AffineAutoregressive`.

    >>> flow = conditional_affine_autoregressive(3, context_dim=2)
    >>> flow.condition(torch.ones(2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, autoregressive_nn: nn.Module, **kwargs: Any) -> None:
        super().__init__()
        self.nn = autoregressive_nn
        self.kwargs = kwargs

    def condition(self, context: Any) -> AffineAutoregressive:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes besides the vector.
        """
        return AffineAutoregressive(AtContext(self.nn, context), **self.kwargs)


def affine_autoregressive(
    input_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> AffineAutoregressive:
    """Make an :class:`AffineAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param hidden_dims: the sizes of the network's hidden layers; one of ``3 * input_dim + 1`` if
        None.
    :param kwargs: options of :class:`AffineAutoregressive`.

    >>> affine_autoregressive(3, stable=True).arn.hidden_dims
    [10]
    """
    sizes = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    return AffineAutoregressive(AutoRegressiveNN(input_dim, sizes), **kwargs)


def conditional_affine_autoregressive(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> ConditionalAffineAutoregressive:
    """Make a :class:`ConditionalAffineAutoregressive` with a masked network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; one of ``10 * input_dim`` if None.
    :param kwargs: options of :class:`AffineAutoregressive`.

    >>> conditional_affine_autoregressive(3, 2).nn.hidden_dims
    [30]
    """
    sizes = [10 * input_dim] if hidden_dims is None else hidden_dims
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, sizes)
    return ConditionalAffineAutoregressive(network, **kwargs)
