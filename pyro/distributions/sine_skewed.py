"""Skewed laws of angles, made of symmetric ones."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.shapes import broadcast_shape


class _Skewness(constraints.Constraint):
    """Vectors whose entries have absolute values that sum to at most 1, up to rounding."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        most = 1 + 4 * torch.finfo(value.dtype).eps * value.size(-1)
        return value.abs().sum(-1) <= most

    def __repr__(self) -> str:
        return "Skewness(sum of absolute values at most 1)"


class SineSkewed(TorchDistribution):
    r"""Law of angles :math:`x` with density :math:`f(x)\,(1+\sum_d\lambda_d\sin(x_d-\mu_d))`.

    Here :math:`f` is a density on the torus that is symmetric around :math:`\mu`, its mean.

    :param base_dist: the symmetric law, of event shape ``(angles,)``: a
        :class:`~pyro.distributions.SineBivariateVonMises`, or a
        :class:`~pyro.distributions.VonMises` with ``.to_event(1)``.
    :param skewness: the skewness :math:`\lambda` of each angle, of shape ``(..., angles)``; its
        absolute values sum to at most 1, so that the density is not negative.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the event shape of ``base_dist`` is not that of ``skewness``.

    >>> from pyro.distributions.continuous import VonMises
    >>> base = VonMises(torch.zeros(2), 1.0).to_event(1)
    >>> law = SineSkewed(base, torch.tensor([0.5, -0.3]))
    >>> x = torch.tensor([1.0, 1.0])
    >>> (law.log_prob(x) - base.log_prob(x)).exp()
    tensor(1.1683)

    Source: Ameijeiras-Alonso and Ley 2022, *Sine-Skewed Toroidal Distributions and their
    Application in Protein Bioinformatics*, Biostatistics 23, arXiv:1910.13293.
    """

    arg_constraints = {"skewness": _Skewness()}
    support = constraints.real_vector

    def __init__(self, base_dist: Any, skewness: Tensor, validate_args: bool | None = None) -> None:
        if len(base_dist.event_shape) != 1 or skewness.shape[-1:] != base_dist.event_shape:
            raise ValueError(
                f"SineSkewed: 'skewness' has shape {tuple(skewness.shape)} and 'base_dist' event "
                f"shape {tuple(base_dist.event_shape)}, expected (..., angles) and (angles,)."
            )
        batch_shape = torch.Size(broadcast_shape(base_dist.batch_shape, skewness.shape[:-1]))
        self.base_dist = base_dist.expand(batch_shape)
        self.skewness = skewness.expand(batch_shape + skewness.shape[-1:])
        super().__init__(batch_shape, skewness.shape[-1:], validate_args)

    @staticmethod
    def infer_shapes(skewness: Shape) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from that of the skewness.

        :param skewness: its shape.
        """
        return torch.Size(skewness[:-1]), torch.Size(skewness[-1:])

    def __repr__(self) -> str:
        return f"SineSkewed(base_dist: {self.base_dist}, skewness: {tuple(self.skewness.shape)})"

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "SineSkewed":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["base_dist"] = self.base_dist.expand(batch_shape)
        held["skewness"] = self.skewness.expand(batch_shape + self._event_shape)
        return new

    def _tilt(self, value: Tensor) -> Tensor:
        return (self.skewness * torch.sin(value - self.base_dist.mean)).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the angles, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        log_prob: Tensor = self.base_dist.log_prob(value)
        return log_prob + torch.log1p(self._tilt(value))

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        r"""Draw, exactly: a draw of the base law, or else its mirror image around the mean.

        :param sample_shape: the shape of independent draws.
        """
        with torch.no_grad():
            value: Tensor = self.base_dist.sample(torch.Size(sample_shape))
            tilt = self._tilt(value)
            stays = 2 * torch.rand_like(tilt) < 1 + tilt
            value = torch.where(stays[..., None], value, 2 * self.base_dist.mean - value)
            return (value + math.pi) % (2 * math.pi) - math.pi
