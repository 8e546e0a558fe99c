"""The normal law of a vector, with the gradients of optimal mass transport."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

import pyro.distributions.constraints as constraints
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class _TransportedNormal(Function):
    """Draw ``L @ noise``, with the gradient by L of :class:`OMTMultivariateNormal`."""

    @staticmethod
    def forward(ctx: Any, scale_tril: Tensor, noise: Tensor) -> Tensor:
        value = (scale_tril @ noise[..., None])[..., 0]
        ctx.save_for_backward(scale_tril, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        scale_tril, value = ctx.saved_tensors
        outer = torch.einsum("s...i,s...j->...ij", grad, value)
        axes, roots, _ = torch.linalg.svd(scale_tril)
        variances = roots.square()
        sums = variances[..., None] + variances[..., None, :]
        turned = axes.mT @ (outer + outer.mT) @ axes / sums
        return (axes @ turned @ axes.mT @ scale_tril).tril(), None


class OMTMultivariateNormal(MultivariateNormal):
    r"""Normal law of a vector, whose draws follow changes of the covariance by the shortest way.

    Density and draws are those of :class:`~pyro.distributions.MultivariateNormal`. When the scale
    :math:`L` changes, a draw :math:`z` moves with the velocity :math:`S(z-\mu)`, where the
    symmetric matrix :math:`S` solves
    :math:`S\Sigma+\Sigma S=\mathrm d\Sigma`, :math:`\Sigma=LL^\top`. Of all motions that keep up
    with the law this one has the least kinetic energy, so that gradients often vary less. It costs
    a singular value decomposition.

    :param loc: the mean :math:`\mu`, along the rightmost dimension.
    :param scale_tril: the Cholesky factor :math:`L` of the covariance.

    >>> OMTMultivariateNormal(torch.zeros(2), torch.eye(2))((3,)).shape
    torch.Size([3, 2])

    Source: Jankowiak and Obermeyer 2018, *Pathwise Derivatives Beyond the Reparameterization
    Trick*, arXiv:1806.01851.
    """

    arg_constraints = {"loc": constraints.real_vector, "scale_tril": constraints.lower_cholesky}

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        super().__init__(loc, scale_tril=scale_tril)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably, once.

        :param sample_shape: the shape of independent draws.
        """
        return draw_by(_TransportedNormal, self, sample_shape)


def draw_by(draw: Any, law: MultivariateNormal, sample_shape: Shape, *args: Tensor) -> Tensor:
    """Draw from a normal law by a function of its scale, of noise, and of more.

    :param draw: the class of the function; the noise that it gets has one sample dimension.
    :param law: the law.
    :param sample_shape: the shape of independent draws.
    :param args: what else the function takes.
    """
    shape = law._extended_shape(torch.Size(sample_shape))
    scale = law.scale_tril
    noise = torch.randn(shape, dtype=scale.dtype, device=scale.device)
    flat = noise.reshape((-1,) + law.batch_shape + law.event_shape)
    value: Tensor = draw.apply(scale, flat, *args)
    return law.loc + value.reshape(shape)
