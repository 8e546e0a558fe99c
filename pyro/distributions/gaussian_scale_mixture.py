"""The law of a mixture of centred normal vectors that differ in their scale only."""

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.normal_mixture import NormalMixture
from pyro.distributions.torch_mixin import Shape
from pyro.ops.shapes import broadcast_shape


class GaussianScaleMixture(NormalMixture):
    r"""Mixture with density :math:`\sum_k \pi_k \prod_d \mathcal N(x_d;0,s_k\sigma_d)`.

    Its draws are differentiable with respect to all parameters, the weights too.

    :param coord_scale: the scales :math:`\sigma` of entries, positive, of shape ``(..., size)``.
    :param component_logits: the logs of the weights :math:`\pi`, up to a constant, of shape
        ``(..., components)``.
    :param component_scale: the scales :math:`s` of components, positive, of this shape too.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where there are not as many scales of components as logits.

    >>> law = GaussianScaleMixture(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 2.0]))
    >>> law.log_prob(torch.zeros(2))
    tensor(-2.3079)

    Source: Jankowiak and Karaletsos 2019, *Pathwise Derivatives for Multivariate Distributions*,
    arXiv:1806.01856; :mod:`pyro.ops.mixture_flow` for the derivatives.
    """

    arg_constraints = {
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
        "component_scale": constraints.independent(constraints.positive, 1),
    }

    def __init__(
        self,
        coord_scale: Tensor,
        component_logits: Tensor,
        component_scale: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        shapes = coord_scale.shape, component_logits.shape, component_scale.shape
        if min(map(len, shapes)) < 1 or shapes[1][-1:] != shapes[2][-1:]:
            raise ValueError(
                f"GaussianScaleMixture: 'coord_scale', 'component_logits' and 'component_scale' "
                f"have shapes {', '.join(str(tuple(shape)) for shape in shapes)}, expected "
                f"(..., size) and (..., components) twice."
            )
        self.coord_scale = coord_scale
        self.component_logits = component_logits
        self.component_scale = component_scale
        batch_shape, event_shape = self.infer_shapes(*shapes)
        self._spread(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        coord_scale: Shape, component_logits: Shape, component_scale: Shape
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param coord_scale: the shape of the scales of entries.
        :param component_logits: the shape of the logits.
        :param component_scale: the shape of the scales of components.
        """
        batch_shape = broadcast_shape(coord_scale[:-1], component_logits[:-1], component_scale[:-1])
        return torch.Size(batch_shape), torch.Size(coord_scale[-1:])

    def _components(self) -> tuple[Tensor, Tensor]:
        scales = self.component_scale[..., :, None] * self.coord_scale[..., None, :]
        return torch.zeros_like(scales), scales
