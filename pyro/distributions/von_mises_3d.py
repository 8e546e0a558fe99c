"""The law of von Mises and Fisher: directions in space that gather around one."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.matrices import safe_normalize


class VonMises3D(TorchDistribution):
    r"""Law on the sphere with density :math:`\kappa\,e^{\kappa\mu^\top x}/(4\pi\sinh\kappa)`.

    Here :math:`\mu` is the direction and :math:`\kappa` the length of the parameter. Where that is
    0 the law is uniform.

    :param concentration: the vector :math:`\kappa\mu`, of shape ``(..., 3)``.
    :param validate_args: whether to check parameters and values.

    >>> law = VonMises3D(torch.zeros(3))
    >>> law.log_prob(torch.tensor([1.0, 0.0, 0.0])).exp(), 1 / (4 * torch.pi)
    (tensor(0.0796), 0.07957747154594767)

    Source: Fisher 1953, *Dispersion on a Sphere*, Proceedings of the Royal Society A 217; draws as
    in Jakob 2012, *Numerically Stable Sampling of the von Mises-Fisher Distribution on S2*.
    """

    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.shape[-1:] != (3,):
            raise ValueError(
                f"VonMises3D: 'concentration' has shape {tuple(concentration.shape)}, expected "
                f"(..., 3)."
            )
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @staticmethod
    def infer_shapes(concentration: Shape) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from that of the parameter.

        :param concentration: its shape.
        """
        return torch.Size(concentration[:-1]), torch.Size(concentration[-1:])

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "VonMises3D":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["concentration"] = self.concentration.expand(batch_shape + self._event_shape)
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density with respect to the area of the sphere.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        squares = self.concentration.square().sum(-1)
        level = -math.log(4 * math.pi) - _log_sinhc(squares)
        return (self.concentration * value).sum(-1) + level

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        r"""Draw, exactly: :math:`\mu^\top x` by its distribution function, and any angle around.

        :param sample_shape: the shape of independent draws.
        """
        loc = self.concentration.detach()
        shape = self._extended_shape(torch.Size(sample_shape))
        length = torch.linalg.vector_norm(loc, dim=-1).clamp(min=1e-20)
        uniform = torch.rand(shape[:-1], dtype=loc.dtype, device=loc.device)
        height = 1 + torch.log1p(uniform * torch.expm1(-2 * length)) / length
        height = height.clamp(-1.0, 1.0)[..., None]
        axis = safe_normalize(loc)
        noise = torch.randn(shape, dtype=loc.dtype, device=loc.device)
        around = safe_normalize(noise - (noise * axis).sum(-1, True) * axis)
        return safe_normalize(axis * height + around * ((1 - height) * (1 + height)).sqrt())


def _log_sinhc(squares: Tensor) -> Tensor:
    """Return ``log(sinh(k) / k)`` as a smooth function of the square of ``k``."""
    small = squares < 0.01
    series = squares * (1 / 6 - squares * (1 / 180 - squares * (1 / 2835 - squares / 37800)))
    k = torch.where(small, torch.ones_like(squares), squares).sqrt()
    exact = k + torch.log(-torch.expm1(-2 * k) / (2 * k))
    return torch.where(small, series, exact)
