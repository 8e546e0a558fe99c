"""The law of the direction of a normal vector."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.matrices import safe_normalize


class ProjectedNormal(TorchDistribution):
    r"""Law of :math:`z/\|z\|` for a normal vector :math:`z` of mean :math:`\mu` and unit variance.

    It is smooth in :math:`\mu`, also at 0, where it is uniform on the sphere. Its density on the
    sphere of :math:`\mathbb R^n` is, with :math:`t=\mu^\top x`,

    .. math:: p(x) = (2\pi)^{-n/2}\,e^{-\|\mu\|^2/2} \int_0^\infty r^{n-1}\,e^{rt-r^2/2}\,dr .

    :param concentration: the mean :math:`\mu`, along the rightmost dimension.
    :param validate_args: whether to check parameters and values.

    >>> law = ProjectedNormal(torch.zeros(2))
    >>> law.log_prob(torch.tensor([1.0, 0.0])), -torch.tensor(2 * torch.pi).log()
    (tensor(-1.8379), tensor(-1.8379))

    Source: Hernandez-Stumpfhauser, Breidt and van der Woerd 2017, *The General Projected Normal
    Distribution of Arbitrary Dimension*, Bayesian Analysis 12(1).
    """

    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, concentration: Tensor, *, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("ProjectedNormal: 'concentration' is a vector, it has no dimension.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @staticmethod
    def infer_shapes(concentration: Shape) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from that of the parameter.

        :param concentration: its shape.
        """
        return torch.Size(concentration[:-1]), torch.Size(concentration[-1:])

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "ProjectedNormal":
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

    @property
    def mean(self) -> Tensor:
        """The direction of the mean, a point of the sphere."""
        return safe_normalize(self.concentration)

    @property
    def mode(self) -> Tensor:
        """The point of largest density."""
        return safe_normalize(self.concentration)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        loc = self.concentration
        shape = self._extended_shape(torch.Size(sample_shape))
        return safe_normalize(loc + torch.randn(shape, dtype=loc.dtype, device=loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density with respect to the area of the sphere.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        size, loc = self._event_shape[0], self.concentration
        level = -0.5 * size * math.log(2 * math.pi) - 0.5 * loc.square().sum(-1)
        return level + log_radial_integral((loc * value).sum(-1), size)


def log_radial_integral(t: Tensor, power: int) -> Tensor:
    r"""Return :math:`\log\int_0^\infty r^{n-1}\,e^{rt-r^2/2}\,dr`.

    In :math:`y=\log r` the integrand is smooth and falls off on both sides, so that sums over
    equidistant points converge exponentially; 280 points around the maximum suffice for float64.

    :param t: any real numbers.
    :param power: the number :math:`n`, at least 2.

    >>> log_radial_integral(torch.tensor(0.0), 2)
    tensor(0.)
    """
    with torch.no_grad():
        root = (t * t + 4 * power).sqrt()
        # the positive root of r^2 - t r - n, without cancellation
        peak = torch.where(t > 0, (t + root) / 2, 2 * power / (root - t))
        width = (peak * peak + power).rsqrt()
        steps = torch.arange(-240.0, 40.0, dtype=t.dtype, device=t.device) / 4
        y = peak.log()[..., None] + width[..., None] * steps
        r = y.exp()
        fixed = power * y - r * r / 2 + width.log()[..., None] + math.log(0.25)
    return (fixed + r * t[..., None]).logsumexp(-1)
