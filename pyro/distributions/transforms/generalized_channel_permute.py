"""Flows that mix the channels of images: convolutions of size 1 by 1."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import (
    AtContext,
    ConditionedTransform,
    unflattened,
)
from pyro.ops.networks import DenseNN

__all__ = [
    "ConditionalGeneralizedChannelPermute",
    "ConditionedGeneralizedChannelPermute",
    "GeneralizedChannelPermute",
    "conditional_generalized_channel_permute",
    "generalized_channel_permute",
]

_IMAGES = constraints.independent(constraints.real, 3)


class ConditionedGeneralizedChannelPermute(ConditionedTransform):
    r"""Multiply the channels of each pixel by one matrix: :math:`y = P L U x`.

    :math:`P` permutes, :math:`L` is lower triangular with ones on the diagonal, and :math:`U` upper
    triangular, so that neither inverse nor determinant need a factorisation.

    :param permutation: :math:`P`, a matrix ``(C, C)`` of zeros and ones; the identity if None.
    :param LU: a matrix ``(…, C, C)`` that holds :math:`U`, and :math:`L` below the diagonal; or a
        function that returns it.

    >>> LU = torch.tensor([[2.0, 1.0], [3.0, 1.0]])
    >>> flow = ConditionedGeneralizedChannelPermute(torch.eye(2), LU)
    >>> flow(torch.ones(2, 1, 1)).flatten()
    tensor([ 3., 10.])

    Source: Kingma and Dhariwal 2018, *Glow: Generative Flow with Invertible 1x1 Convolutions*,
    arXiv:1807.03039.
    """

    domain = _IMAGES
    codomain = _IMAGES
    bijective = True

    permutation: Tensor | None

    def __init__(
        self,
        permutation: Tensor | None = None,
        LU: Tensor | Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(LU)
        self.permutation = permutation

    @property
    def U_diag(self) -> Tensor:
        """The diagonal of the upper triangular factor."""
        diagonal: Tensor = self._parameters_now().diagonal(dim1=-2, dim2=-1)
        return diagonal

    @property
    def L(self) -> Tensor:
        """The lower triangular factor, with ones on the diagonal."""
        return _unit_lower(self._parameters_now())

    @property
    def U(self) -> Tensor:
        """The upper triangular factor."""
        upper: Tensor = self._parameters_now().triu()
        return upper

    def _call(self, x: Tensor) -> Tensor:
        LU = self._parameters_now()
        self._keep(x, LU)
        upper = LU.triu()
        weights = upper + LU.tril(-1) @ upper
        if self.permutation is not None:
            weights = self.permutation.to(weights) @ weights
        return torch.einsum("...ij,...jhw->...ihw", weights, x)

    def _inverse(self, y: Tensor) -> Tensor:
        LU, pixels = self._parameters_now(), y.flatten(-2)
        if self.permutation is not None:
            pixels = self.permutation.to(pixels).mT @ pixels
        below = torch.linalg.solve_triangular(LU, pixels, upper=False, unitriangular=True)
        x: Tensor = torch.linalg.solve_triangular(LU.triu(), below, upper=True)
        x = x.unflatten(-1, y.shape[-2:])
        self._keep(x, LU)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\sum_c \log |U_{cc}|`, times the number of pixels.

        :param x: an image.
        :param y: its image.
        """
        LU = self._kept_at(x)
        if LU is None:
            LU = self._parameters_now()
        log_diagonal = LU.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        log_det: Tensor = x.size(-2) * x.size(-1) * log_diagonal
        return log_det.expand(torch.broadcast_shapes(log_det.shape, x.shape[:-3]))


def _unit_lower(LU: Tensor) -> Tensor:
    return LU.tril(-1) + torch.eye(LU.size(-1), dtype=LU.dtype, device=LU.device)


class GeneralizedChannelPermute(ConditionedGeneralizedChannelPermute, TransformModule):
    """Multiply the channels of each pixel by a matrix to be learnt, at first a rotation.

    See :class:`ConditionedGeneralizedChannelPermute`.

    :param channels: the number of channels.
    :param permutation: which channel comes to each place after all else, fixed; that of the first
        matrix's factorisation if None.
    :raises ValueError: where ``permutation`` is none of the channels.

    >>> flow, x = generalized_channel_permute(channels=3), torch.randn(3, 8, 8)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-4))
    True
    """

    permutation: Tensor

    def __init__(self, channels: int = 3, permutation: Tensor | None = None) -> None:
        super(ConditionedGeneralizedChannelPermute, self).__init__()
        rotation = nn.init.orthogonal_(torch.empty(channels, channels))
        order, lower, upper = torch.linalg.lu(rotation)
        if permutation is not None:
            order = _as_matrix(permutation, channels)
        self.register_buffer("permutation", order)
        self.LU = nn.Parameter(lower.tril(-1) + upper)

    def _parameters_now(self) -> Tensor:
        return self.LU


def _as_matrix(permutation: Tensor, channels: int) -> Tensor:
    if sorted(permutation.tolist()) != list(range(channels)):
        raise ValueError(
            f"'permutation' holds each of 0, …, {channels - 1} once, one for each channel; it is "
            f"{permutation.tolist()}."
        )
    return torch.eye(channels)[permutation]


class ConditionalGeneralizedChannelPermute(ConditionalTransformModule):
    """Multiply the channels of each pixel by a matrix that a network computes from a context.

    :param nn: maps a context to the factors, ``(…, C * C)``.
    :param channels: the number of channels, ``C``.
    :param permutation: which channel comes to each place after all else; a random order if None.
    :raises ValueError: where ``permutation`` is none of the channels.

    >>> flow = conditional_generalized_channel_permute(context_dim=2, channels=3)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3, 4, 4)).shape
    torch.Size([5, 3, 4, 4])
    """

    domain = _IMAGES
    codomain = _IMAGES
    bijective = True

    permutation: Tensor

    def __init__(
        self, nn: Callable[[Tensor], Tensor], channels: int = 3, permutation: Tensor | None = None
    ) -> None:
        super().__init__()
        self.nn = nn
        self.channels = channels
        order = torch.randperm(channels) if permutation is None else permutation
        self.register_buffer("permutation", _as_matrix(order, channels))

    def condition(self, context: Any) -> ConditionedGeneralizedChannelPermute:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        sizes = self.channels, self.channels
        factors = AtContext(self.nn, context, partial(unflattened, sizes=sizes))
        return ConditionedGeneralizedChannelPermute(self.permutation, factors)


def generalized_channel_permute(**kwargs: Any) -> GeneralizedChannelPermute:
    """Make a :class:`GeneralizedChannelPermute`.

    :param kwargs: what it takes: ``channels`` and ``permutation``.

    >>> generalized_channel_permute(channels=2).LU.shape
    torch.Size([2, 2])
    """
    return GeneralizedChannelPermute(**kwargs)


def conditional_generalized_channel_permute(
    context_dim: int, channels: int = 3, hidden_dims: Sequence[int] | None = None
) -> ConditionalGeneralizedChannelPermute:
    """Make a :class:`ConditionalGeneralizedChannelPermute` with a dense network.

    :param context_dim: the size of the context.
    :param channels: the number of channels.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * channels`` if None.

    >>> conditional_generalized_channel_permute(2).nn.param_dims
    [9]
    """
    sizes = [10 * channels] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, sizes, [channels * channels])
    return ConditionalGeneralizedChannelPermute(network, channels)
