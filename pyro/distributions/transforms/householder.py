"""Flows that reflect: rotations as products of reflections."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

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
    "ConditionalHouseholder",
    "ConditionedHouseholder",
    "Householder",
    "conditional_householder",
    "householder",
]


def reflect(vectors: Tensor, x: Tensor, *, is_backward: bool = False) -> Tensor:
    r"""Reflect at several hyperplanes, one after the other: :math:`y = H_K \dots H_1 x`.

    :math:`H_k = I - 2 u_k u_k^\top`. All are applied at once: with :math:`U` the matrix of the
    :math:`u_k`, and :math:`T` what of :math:`U U^\top` is below the diagonal plus :math:`I/2`,
    :math:`y = x - U^\top T^{-1} U x`.

    :param vectors: the normals, of length 1, or zero for no reflection; shape ``(…, K, D)``.
    :param x: a vector, ``(…, D)``.
    :param is_backward: whether to undo that, by :math:`H_1 \dots H_K`.

    >>> reflect(torch.tensor([[1.0, 0.0]]), torch.tensor([2.0, 3.0]))
    tensor([-2.,  3.])

    Source: Puglisi 1992, *Modification of the Householder Method Based on the Compact WY
    Representation*, SIAM Journal on Scientific and Statistical Computing 13.
    """
    if vectors.dim() > 2:
        # One at a time: small systems of equations cost more than they save.
        for u in vectors.unbind(-2)[:: -1 if is_backward else 1]:
            x = x - 2 * (u * x).sum(-1, keepdim=True) * u
        return x
    products = vectors @ vectors.mT
    half = torch.eye(products.size(-1), dtype=x.dtype, device=x.device) / 2
    between = products.triu(1) if is_backward else products.tril(-1)
    weights: Tensor = torch.linalg.solve_triangular(half + between, vectors, upper=is_backward)
    return x - (x @ weights.mT) @ vectors


class ConditionedHouseholder(ConditionedTransform):
    r"""Reflections at given hyperplanes, one after the other: :math:`y = H_K \dots H_1 x`.

    :math:`H_k = I - 2 u_k u_k^\top` for vectors :math:`u_k` of length 1. A vector of zeros makes no
    reflection.

    :param u_unnormed: vectors that point as the :math:`u_k` do, shape ``(…, K, D)``; or a function
        that returns them.

    >>> ConditionedHouseholder(torch.tensor([[2.0, 0.0]]))(torch.tensor([2.0, 3.0]))
    tensor([-2.,  3.])

    Source: Tomczak and Welling 2016, *Improving Variational Auto-Encoders using Householder Flow*,
    arXiv:1611.09630.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    volume_preserving = True

    def __init__(self, u_unnormed: Tensor | Callable[[], Tensor] | None = None) -> None:
        super().__init__(u_unnormed)

    def u(self) -> Tensor:
        """Return the vectors, of length 1."""
        return normalize(self._parameters_now(), dim=-1)

    def _call(self, x: Tensor) -> Tensor:
        return reflect(self.u(), x)

    def _inverse(self, y: Tensor) -> Tensor:
        return reflect(self.u(), y, is_backward=True)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change: zero.

        :param x: a vector.
        :param y: its image.
        """
        return y.new_zeros(y.shape[:-1])


class Householder(ConditionedHouseholder, TransformModule):
    """Reflections at hyperplanes to be learnt.

    See :class:`ConditionedHouseholder`.

    :param input_dim: the size of the vector.
    :param count_transforms: how many reflections; ``input_dim`` of them make any rotation.
    :raises ValueError: where there are none.

    >>> Householder(3, count_transforms=2)(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    u_unnormed: nn.Parameter

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        super(ConditionedHouseholder, self).__init__()
        _check_count(count_transforms)
        self.input_dim = input_dim
        self.u_unnormed = nn.Parameter(torch.empty(count_transforms, input_dim))
        self.reset_parameters()

    def _parameters_now(self) -> Tensor:
        return self.u_unnormed

    def reset_parameters(self) -> None:
        """Draw the vectors anew, in uniform directions but for the corners of a cube."""
        bound = 1 / math.sqrt(self.input_dim)
        nn.init.uniform_(self.u_unnormed, -bound, bound)


def _check_count(count_transforms: int) -> None:
    if count_transforms < 1:
        raise ValueError(
            f"A Householder flow makes one reflection at least; 'count_transforms' is "
            f"{count_transforms}."
        )


class ConditionalHouseholder(ConditionalTransformModule):
    """Reflections at hyperplanes that a network computes from a context.

    :param input_dim: the size ``D`` of the vector.
    :param nn: maps a context to the vectors, ``(…, K * D)``.
    :param count_transforms: how many reflections, ``K``.
    :raises ValueError: where there are none.

    >>> flow = conditional_householder(3, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self, input_dim: int, nn: Callable[[Tensor], Tensor], count_transforms: int = 1
    ) -> None:
        super().__init__()
        _check_count(count_transforms)
        self.nn = nn
        self.input_dim = input_dim
        self.count_transforms = count_transforms

    def condition(self, context: Any) -> ConditionedHouseholder:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        sizes = self.count_transforms, self.input_dim
        return ConditionedHouseholder(
            AtContext(self.nn, context, partial(unflattened, sizes=sizes))
        )


def householder(input_dim: int, count_transforms: int | None = None) -> Householder:
    """Make a :class:`Householder`.

    :param input_dim: the size of the vector.
    :param count_transforms: how many reflections; ``input_dim // 2 + 1`` if None.

    >>> householder(4).u_unnormed.shape
    torch.Size([3, 4])
    """
    return Householder(input_dim, count_or_half(input_dim, count_transforms))


def count_or_half(input_dim: int, count_transforms: int | None) -> int:
    """Return how many reflections to make: as many as are asked for, else for half the vector.

    :param input_dim: the size of the vector.
    :param count_transforms: the number, or None.

    >>> count_or_half(4, None)
    3
    """
    return input_dim // 2 + 1 if count_transforms is None else count_transforms


def conditional_householder(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_transforms: int = 1,
) -> ConditionalHouseholder:
    """Make a :class:`ConditionalHouseholder` with a dense network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.
    :param count_transforms: how many reflections.

    >>> conditional_householder(3, 2, count_transforms=2).nn.param_dims
    [6]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, sizes, [count_transforms * input_dim])
    return ConditionalHouseholder(input_dim, network, count_transforms)
