"""Flows that press space together, or pull it apart, along a plane."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.transforms import Transform
from torch.nn.functional import softplus

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule, without_memory
from pyro.ops.networks import DenseNN

__all__ = ["ConditionalPlanar", "ConditionedPlanar", "Planar", "conditional_planar", "planar"]

Parameters = tuple[Tensor, Tensor, Tensor]


class ConditionedPlanar(Transform):
    r"""A planar flow of given parameters: :math:`y = x + \hat u \tanh(w^\top x + b)`.

    It is invertible because :math:`\hat u` is :math:`u` moved along :math:`w` until
    :math:`m = w^\top \hat u = \log(1 + e^{w^\top u}) - 1 > -1`. The inverse solves
    :math:`a + m \tanh(a + b) = w^\top y` for the number :math:`a = w^\top x`, to rounding, and has
    gradients.

    :param params: the bias :math:`b`, shape ``(…, 1)``, and :math:`u` and :math:`w`, ``(…, D)``.

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

    def __init__(self, params: Parameters) -> None:
        super().__init__(cache_size=1)
        self._given = params

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def _parameters_now(self) -> Parameters:
        return self._given

    def u_hat(self, u: Tensor, w: Tensor) -> Tensor:
        r"""Return the vector :math:`\hat u` with which the flow is invertible.

        :param u: any vector.
        :param w: the normal of the plane.
        """
        along = (u * w).sum(-1, keepdim=True)
        length = (w * w).sum(-1, keepdim=True)
        return u + (softplus(along) - 1 - along) * w / length

    def _call(self, x: Tensor) -> Tensor:
        bias, u, w = self._parameters_now()
        height = (w * x).sum(-1, keepdim=True) + bias
        return x + self.u_hat(u, w) * height.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        bias, u, w = self._parameters_now()
        slope = softplus((u * w).sum(-1, keepdim=True)) - 1
        target = (w * y).sum(-1, keepdim=True)
        height = _solve_height(slope, target + bias)
        return y - self.u_hat(u, w) * height.tanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\log(1 + m (1 - \tanh^2(w^\top x + b)))`.

        :param x: a vector.
        :param y: its image.
        """
        bias, u, w = self._parameters_now()
        slope = softplus((u * w).sum(-1, keepdim=True)) - 1
        height = (w * x).sum(-1, keepdim=True) + bias
        return (slope * (1 - height.tanh().square())).log1p().squeeze(-1)


def _solve_height(slope: Tensor, target: Tensor) -> Tensor:
    r"""Solve :math:`h + m \tanh h = t` for :math:`h`; the left side rises, since :math:`m > -1`."""
    with torch.no_grad():
        low, high = target - slope.abs(), target + slope.abs()
        for _ in range(1 - math.frexp(torch.finfo(target.dtype).eps)[1]):
            middle = (low + high) / 2
            is_below = middle + slope * middle.tanh() < target
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        height = (low + high) / 2
    # One step of Newton's method, which has the gradients that the implicit function has.
    level = height.tanh()
    return height - (height + slope * level - target) / (1 + slope * (1 - level.square()))


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
        super(ConditionedPlanar, self).__init__(cache_size=1)
        self.input_dim = input_dim
        for name, size in (("bias", 1), ("u", input_dim), ("w", input_dim)):
            self.register_parameter(name, nn.Parameter(torch.empty(size)))
        self.reset_parameters()

    def __getstate__(self) -> dict[str, Any]:
        return TransformModule.__getstate__(self)

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
        """Return the flow at a context.

        :param context: what the network takes.
        """
        return ConditionedPlanar(self.nn(context))


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
