"""Flows that press space together, or pull it apart, along a plane."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext, ConditionedTransform
from pyro.ops.monotone import solve_plus_tanh
from pyro.ops.networks import DenseNN

__all__ = ["ConditionalPlanar", "ConditionedPlanar", "Planar", "conditional_planar", "planar"]

Parameters = tuple[Tensor, Tensor, Tensor]


def planar_direction(u: Tensor, w: Tensor) -> Tensor:
    r"""Move a vector along another until their product exceeds -1.

    :param u: the vector.
    :param w: the other.

    >>> u, w = torch.tensor([-3.0, 0.0]), torch.tensor([1.0, 0.0])
    >>> planar_direction(u, w)
    tensor([-0.9514,  0.0000])
    """
    along = (u * w).sum(-1, keepdim=True)
    length = (w * w).sum(-1, keepdim=True)
    return u + (softplus(along) - 1 - along) * w / length


def _slope(u: Tensor, w: Tensor) -> Tensor:
    return softplus((u * w).sum(-1, keepdim=True)) - 1


class ConditionedPlanar(ConditionedTransform):
    r"""A planar flow of given parameters: :math:`y = x + \hat u \tanh(w^\top x + b)`.

    It is invertible because :math:`\hat u` is :math:`u` moved along :math:`w` until
    :math:`m = w^\top \hat u = \log(1 + e^{w^\top u}) - 1 > -1`. The inverse solves
    :math:`a + m \tanh(a + b) = w^\top y` for the number :math:`a = w^\top x`, to rounding, and has
    gradients.

    :param params: the bias :math:`b`, shape ``(…, 1)``, and :math:`u` and :math:`w`, ``(…, D)``; or
        a function that returns them.

    >>> flow = ConditionedPlanar((torch.zeros(1), torch.ones(2), torch.ones(2)))
    >>> x = torch.tensor([0.5, -0.5])
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x))
    True

    Source: Rezende and Mohamed 2015, *Variational Inference with Normalizing Flows*,
    arXiv:1505.05770.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, params: Parameters | Callable[[], Parameters]) -> None:
        super().__init__(params)

    def u_hat(self, u: Tensor, w: Tensor) -> Tensor:
        r"""Return the vector :math:`\hat u` with which the flow is invertible.

        :param u: any vector.
        :param w: the normal of the plane.
        """
        return planar_direction(u, w)

    def _call(self, x: Tensor) -> Tensor:
        bias, u, w = self._parameters_now()
        level = ((w * x).sum(-1, keepdim=True) + bias).tanh()
        self._keep(x, (_slope(u, w), level))
        y: Tensor = x + self.u_hat(u, w) * level
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        bias, u, w = self._parameters_now()
        slope = _slope(u, w)
        level = solve_plus_tanh(slope, (w * y).sum(-1, keepdim=True) + bias).tanh()
        x = y - self.u_hat(u, w) * level
        self._keep(x, (slope, level))
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\log(1 + m (1 - \tanh^2(w^\top x + b)))`.

        :param x: a vector.
        :param y: its image.
        """
        terms = self._kept_at(x)
        if terms is None:
            bias, u, w = self._parameters_now()
            terms = _slope(u, w), ((w * x).sum(-1, keepdim=True) + bias).tanh()
        slope, level = terms
        log_det: Tensor = (slope * (1 - level.square())).log1p().squeeze(-1)
        return log_det


class Planar(ConditionedPlanar, TransformModule):
    r"""A planar flow with learnable parameters: :math:`y = x + \hat u \tanh(w^\top x + b)`.

    See :class:`ConditionedPlanar`.

    :param input_dim: the size of the vector.

    >>> Planar(3)(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """

    bias: nn.Parameter
    u: nn.Parameter
    w: nn.Parameter

    def __init__(self, input_dim: int) -> None:
        super(ConditionedPlanar, self).__init__()
        self.input_dim = input_dim
        for name, size in (("bias", 1), ("u", input_dim), ("w", input_dim)):
            self.register_parameter(name, nn.Parameter(torch.empty(size)))
        self.reset_parameters()

    def _parameters_now(self) -> Parameters:
        return self.bias, self.u, self.w

    def reset_parameters(self) -> None:
        """Draw the parameters anew, uniform with variance about one over the size; no bias."""
        bound = 1 / math.sqrt(self.input_dim)
        with torch.no_grad():
            self.u.uniform_(-bound, bound)
            self.w.uniform_(-bound, bound)
            self.bias.zero_()


class ConditionalPlanar(ConditionalTransformModule):
    """A planar flow whose parameters a network computes from a context.

    :param nn: maps a context to the bias, ``(…, 1)``, and to ``u`` and ``w``, ``(…, D)``.

    >>> flow = conditional_planar(3, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, nn: Callable[[Tensor], Parameters]) -> None:
        super().__init__()
        self.nn = nn

    def condition(self, context: Any) -> ConditionedPlanar:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        return ConditionedPlanar(AtContext(self.nn, context))


def planar(input_dim: int) -> Planar:
    """Make a :class:`Planar`.

    :param input_dim: the size of the vector.

    >>> planar(2).input_dim
    2
    """
    return Planar(input_dim)


def conditional_planar(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None
) -> ConditionalPlanar:
    """Make a :class:`ConditionalPlanar` with a dense network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.

    >>> conditional_planar(3, 2).nn.hidden_dims
    [30, 30]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalPlanar(DenseNN(context_dim, sizes, [1, input_dim, input_dim]))
