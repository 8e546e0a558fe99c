"""The law of a mixture of normal vectors that differ in their means only."""

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.normal_mixture import NormalMixture
from pyro.distributions.torch_mixin import Shape
from pyro.ops.shapes import broadcast_shape


class MixtureOfDiagNormalsSharedCovariance(NormalMixture):
    r"""Mixture with density :math:`\sum_k \pi_k \prod_d \mathcal N(x_d;\mu_{kd},\sigma_d)`.

    Its draws are differentiable with respect to all parameters, the weights too.

    :param locs: the means :math:`\mu`, of shape ``(..., components, size)``.
    :param coord_scale: the standard deviations :math:`\sigma`, positive, of shape ``(..., size)``.
    :param component_logits: the logs of the weights :math:`\pi`, up to a constant, of shape
        ``(..., components)``.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the rightmost sizes do not agree.

    >>> locs = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> law = MixtureOfDiagNormalsSharedCovariance(locs, torch.ones(2), torch.zeros(2))
    >>> law.log_prob(torch.zeros(2))
    tensor(-2.3379)

    Source: Jankowiak and Karaletsos 2019, *Pathwise Derivatives for Multivariate Distributions*,
    arXiv:1806.01856; :mod:`pyro.ops.mixture_flow` for the derivatives.
    """

    arg_constraints = {
        "locs": constraints.independent(constraints.real, 2),
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
    }

    def __init__(
        self,
        locs: Tensor,
        coord_scale: Tensor,
        component_logits: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        shapes = locs.shape, coord_scale.shape, component_logits.shape
        if locs.dim() < 2 or shapes[0][-1:] != shapes[1][-1:] or shapes[0][-2:-1] != shapes[2][-1:]:
            raise ValueError(
                f"MixtureOfDiagNormalsSharedCovariance: 'locs', 'coord_scale' and "
                f"'component_logits' have shapes "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}, expected "
                f"(..., components, size), (..., size) and (..., components)."
            )
        self.locs = locs
        self.coord_scale = coord_scale
        self.component_logits = component_logits
        batch_shape, event_shape = self.infer_shapes(*shapes)
        self._spread(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        locs: Shape, coord_scale: Shape, component_logits: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param locs: the shape of the means.
        :param coord_scale: the shape of the standard deviations.
        :param component_logits: the shape of the logits.
        """
        batch_shape = broadcast_shape(locs[:-2], coord_scale[:-1], component_logits[:-1])
        return torch.Size(batch_shape), torch.Size(locs[-1:])

    def _components(self) -> tuple[Tensor, Tensor]:
        return self.locs, self.coord_scale[..., None, :].expand_as(self.locs)
