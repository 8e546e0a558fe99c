"""The normal law of a vector, with gradients that learn to vary less."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

import pyro.distributions.constraints as constraints
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.omt_mvn import draw_by
from pyro.distributions.torch_mixin import NO_SHAPE, Shape


class _SwirlingNormal(Function):
    """Draw ``L @ noise``, with the gradients of :class:`AVFMultivariateNormal`."""

    @staticmethod
    def forward(ctx: Any, scale_tril: Tensor, noise: Tensor, control_var: Tensor) -> Tensor:
        ctx.save_for_backward(scale_tril, noise, control_var)
        return (scale_tril @ noise[..., None])[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        scale_tril, noise, control_var = ctx.saved_tensors
        rows, columns = control_var
        pulled = (scale_tril.mT @ grad[..., None])[..., 0]
        swirl = pulled[..., None] * noise[..., None, :]
        swirl = (swirl - swirl.mT).tril()
        plain = (grad[..., None] * noise[..., None, :]).tril()
        single = plain + rows.mT @ columns * swirl
        slope = (single * swirl).reshape((-1,) + swirl.shape[-2:]).sum(0)
        return single.sum(0), None, torch.stack([columns @ slope.mT, rows @ slope])


class AVFMultivariateNormal(MultivariateNormal):
    r"""Normal law of a vector, whose draws follow changes of the scale along an adaptive field.

    Density and draws are those of :class:`~pyro.distributions.MultivariateNormal`. When entry
    :math:`L_{ab}` of the scale changes, :math:`z=\mu+L\varepsilon` moves with the velocity

    .. math:: e_a\varepsilon_b + W_{ab}\,L\,(e_a\varepsilon_b-e_b\varepsilon_a), \qquad W=B^\top C .

    The second term turns :math:`\varepsilon`, which leaves its law as it is, so that gradients are
    right in the mean whatever :math:`W`. How much they vary depends on it: the gradient that
    ``control_var`` receives estimates that of half the expected square of all entries of the
    gradient by the scale. An optimiser that updates it with the other parameters makes these vary
    less.

    :param loc: the mean :math:`\mu`, along the rightmost dimension, of size :math:`D`.
    :param scale_tril: the Cholesky factor :math:`L` of the covariance.
    :param control_var: :math:`B` and :math:`C`, of shape ``(2, M, D)`` with any :math:`M`.
    :raises ValueError: where it has another shape.

    >>> law = AVFMultivariateNormal(torch.zeros(2), torch.eye(2), torch.zeros(2, 1, 2))
    >>> law((3,)).shape
    torch.Size([3, 2])

    Source: Jankowiak and Karaletsos 2018, *Pathwise Derivatives for Multivariate Distributions*,
    arXiv:1806.01856.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
        "control_var": constraints.real,
    }

    def __init__(self, loc: Tensor, scale_tril: Tensor, control_var: Tensor) -> None:
        shape = tuple(control_var.shape)
        if len(shape) != 3 or shape[0] != 2 or shape[2:] != loc.shape[-1:]:
            raise ValueError(
                f"AVFMultivariateNormal: 'control_var' has shape {shape}, expected (2, M, D) with "
                f"D the size of 'loc', of shape {tuple(loc.shape)}."
            )
        self.control_var = control_var
        super().__init__(loc, scale_tril=scale_tril)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        loc: Shape, scale_tril: Shape, control_var: Shape = ()
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the mean.
        :param scale_tril: the shape of the scale.
        :param control_var: the shape of the field's coefficients, which does not matter.
        """
        return MultivariateNormal.infer_shapes(loc, scale_tril=scale_tril)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = super().expand(batch_shape, _instance)
        new.control_var = self.control_var
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably, once.

        :param sample_shape: the shape of independent draws.
        """
        return draw_by(_SwirlingNormal, self, sample_shape, self.control_var)
