"""What mixtures of normal laws with diagonal covariance have in common."""

from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.mixture_flow import component_log_density, weight_flow


class NormalMixture(TorchDistribution):
    """A mixture of normal laws, whose draws follow all parameters differentiably.

    A subclass sets its parameters, among them ``component_logits``, and says with
    :meth:`_components` what the components are.
    """

    support = constraints.real_vector
    has_rsample = True
    component_logits: Tensor

    def _components(self) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations, of shape ``(..., components, size)`` both."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its components are.")

    def _spread(self, batch_shape: Shape) -> None:
        """Take a batch shape, and repeat the parameters over it.

        :param batch_shape: the batch shape to have.
        """
        self._batch_shape = torch.Size(batch_shape)
        for name, constraint in self.arg_constraints.items():
            value = getattr(self, name)
            own = value.shape[value.dim() - constraint.event_dim :]
            setattr(self, name, value.expand(self._batch_shape + own))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._spread(batch_shape)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        joint = component_log_density(value, *self._components())
        return (joint + self.component_logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            locs, scales = self._components()
            shape = torch.Size(sample_shape) + self.component_logits.shape
            noise = torch.empty(shape, dtype=locs.dtype, device=locs.device).exponential_()
            chosen = (self.component_logits - noise.log()).argmax(-1)[..., None, None]
            index = chosen.expand(chosen.shape[:-2] + (1,) + self._event_shape)
            loc, scale = (
                x.expand(shape + self._event_shape).gather(-2, index)[..., 0, :]
                for x in (locs, scales)
            )
            return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        A change of a component's mean or scale moves each draw as that component would, times the
        probability that the draw is of it; :mod:`pyro.ops.mixture_flow` tells how draws follow
        the weights.

        :param sample_shape: the shape of independent draws.
        """
        value = self.sample(sample_shape)
        if not torch.is_grad_enabled():
            return value
        locs, scales = self._components()
        if locs.requires_grad or scales.requires_grad:
            with torch.no_grad():
                joint = component_log_density(value, locs, scales)
                share = (joint + self.component_logits.log_softmax(-1)).softmax(-1)[..., None]
                z = (value[..., None, :] - locs) / scales
            value = value + (share * (_moving(locs) + z * _moving(scales))).sum(-2)
        if self.component_logits.requires_grad:
            with torch.no_grad():
                flow = weight_flow(value, locs, scales, self.component_logits)
            moving = _moving(self.component_logits)
            change = moving[..., flow.upper] - moving[..., flow.lower]
            value = value + (flow.velocity * change[..., None]).sum(-2)
        return value

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        locs, _ = self._components()
        return (self.component_logits.softmax(-1)[..., None] * locs).sum(-2)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        locs, scales = self._components()
        squares = scales.square() + (locs - self.mean[..., None, :]).square()
        return (self.component_logits.softmax(-1)[..., None] * squares).sum(-2)


def _moving(parameter: Tensor) -> Tensor:
    """Return zeros that have the gradient of a parameter."""
    zeros = parameter - parameter.detach()
    return torch.where(parameter.isfinite(), zeros, torch.zeros_like(zeros))
