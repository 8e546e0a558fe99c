"""Flows that press space together, or pull it apart, around a point."""

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
from pyro.distributions.transforms.planar import planar_direction
from pyro.ops.networks import DenseNN

__all__ = ["ConditionalRadial", "ConditionedRadial", "Radial", "conditional_radial", "radial"]

Parameters = tuple[Tensor, Tensor, Tensor]


class ConditionedRadial(ConditionedTransform):
    r"""A radial flow of given parameters: :math:`y = x_0 + \frac{r + \sigma}{r + \alpha}(x - x_0)`.

    :math:`r = |x - x_0|`, and :math:`\alpha` and :math:`\sigma` are the softplus of :math:`\alpha'`
    and :math:`\beta'`. In the terms of the paper, :math:`\beta = \sigma - \alpha > -\alpha`. The
    inverse solves the quadratic equation of :math:`r`.

    :param params: the centre :math:`x_0`, shape ``(…, D)``, and :math:`\alpha'` and
        :math:`\beta'`, ``(…, 1)``; or a function that returns them.

    >>> flow = ConditionedRadial((torch.zeros(2), torch.zeros(1), torch.ones(1)))
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
        """Return what a planar flow makes of a vector; a radial one has no use for it.

        :param u: any vector.
        :param w: the normal of a plane.
        """
        return planar_direction(u, w)

    def _call(self, x: Tensor) -> Tensor:
        centre, alpha, sigma = self._positive()
        offset = x - centre
        radius = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        across = (radius + sigma) / (radius + alpha)
        self._keep(x, (radius, alpha, sigma, across))
        return torch.addcmul(centre, offset, across)

    def _inverse(self, y: Tensor) -> Tensor:
        centre, alpha, sigma = self._positive()
        offset = y - centre
        image = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
        # r² + (σ - ρ) r - αρ = 0, by the form of the root in which nothing cancels.
        half = (image - sigma) / 2
        root = (half.square() + alpha * image).sqrt() + half.abs()
        radius = torch.where(half > 0, root, alpha * image / root)
        across = (radius + sigma) / (radius + alpha)
        x = torch.addcdiv(centre, offset, across)
        self._keep(x, (radius, alpha, sigma, across))
        return x

    def _positive(self) -> Parameters:
        centre, raw_alpha, raw_beta = self._parameters_now()
        return centre, softplus(raw_alpha), softplus(raw_beta)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return the logarithm of the volume's change.

        Across the radius lengths change by :math:`\frac{r + \sigma}{r + \alpha}`, and along it by
        :math:`\frac{r^2 + 2 \alpha r + \alpha \sigma}{(r + \alpha)^2}`.

        :param x: a vector.
        :param y: its image.
        """
        terms = self._kept_at(x)
        if terms is None:
            centre, alpha, sigma = self._positive()
            radius = torch.linalg.vector_norm(x - centre, dim=-1, keepdim=True)
            terms = radius, alpha, sigma, (radius + sigma) / (radius + alpha)
        radius, alpha, sigma, across = terms
        along = (radius * (radius + 2 * alpha) + alpha * sigma) / (radius + alpha).square()
        log_det: Tensor = (x.size(-1) - 1) * across.log() + along.log()
        return log_det.squeeze(-1)


class Radial(ConditionedRadial, TransformModule):
    r"""A radial flow with learnable parameters.

    See :class:`ConditionedRadial`.

    :param input_dim: the size of the vector.

    >>> Radial(3)(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """

    x0: nn.Parameter
    alpha_prime: nn.Parameter
    beta_prime: nn.Parameter

    def __init__(self, input_dim: int) -> None:
        super(ConditionedRadial, self).__init__()
        self.input_dim = input_dim
        for name, size in (("x0", input_dim), ("alpha_prime", 1), ("beta_prime", 1)):
            self.register_parameter(name, nn.Parameter(torch.empty(size)))
        self.reset_parameters()

    def _parameters_now(self) -> Parameters:
        return self.x0, self.alpha_prime, self.beta_prime

    def reset_parameters(self) -> None:
        """Draw the parameters anew, uniform with variance about one over the size."""
        bound = 1 / math.sqrt(self.input_dim)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)


class ConditionalRadial(ConditionalTransformModule):
    r"""A radial flow whose parameters a network computes from a context.

    :param nn: maps a context to the centre, ``(…, D)``, and to :math:`\alpha'` and :math:`\beta'`,
        ``(…, 1)``.

    >>> flow = conditional_radial(3, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, nn: Callable[[Tensor], Parameters]) -> None:
        super().__init__()
        self.nn = nn

    def condition(self, context: Any) -> ConditionedRadial:
        """Return the flow at a context; it has the same network.

        :param context: what the network takes.
        """
        return ConditionedRadial(AtContext(self.nn, context))


def radial(input_dim: int) -> Radial:
    """Make a :class:`Radial`.

    :param input_dim: the size of the vector.

    >>> radial(2).input_dim
    2
    """
    return Radial(input_dim)


def conditional_radial(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None
) -> ConditionalRadial:
    """Make a :class:`ConditionalRadial` with a dense network.

    :param input_dim: the size of the vector.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; two of ``10 * input_dim`` if None.

    >>> conditional_radial(3, 2).nn.param_dims
    [3, 1, 1]
    """
    sizes = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalRadial(DenseNN(context_dim, sizes, [input_dim, 1, 1]))
