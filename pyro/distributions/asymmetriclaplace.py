"""Laplace's law with tails of different scales, sharp or smoothed."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.parameters import Parameter, Real, ReparameterisedLaw
from pyro.distributions.quantile_law import QuantileLaw
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.erfcx import log_erfcx


class TwoTailedLaw(ReparameterisedLaw):
    """A law that has, at least far out, an exponential tail of its own on each side."""

    loc = Parameter()
    scale = Parameter()
    asymmetry = Parameter()

    @property
    def left_scale(self) -> Tensor:
        """The scale of the left tail."""
        scale: Tensor = self.scale * self.asymmetry
        return scale

    @property
    def right_scale(self) -> Tensor:
        """The scale of the right tail."""
        scale: Tensor = self.scale / self.asymmetry
        return scale

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        return self.loc + self.right_scale - self.left_scale

    def _draw_sharp(self, shape: torch.Size) -> Tensor:
        """Draw from the :class:`AsymmetricLaplace` law: the difference of exponential variables."""
        loc = self.loc
        noise = torch.empty((2, *shape), dtype=loc.dtype, device=loc.device).exponential_()
        draw: Tensor = loc + self.right_scale * noise[0] - self.left_scale * noise[1]
        return draw


class AsymmetricLaplace(TwoTailedLaw, QuantileLaw):
    r"""Asymmetric Laplace law, density :math:`\frac1{l+r}\,e^{(x-\mu)/l}` to the left of the mode
    and :math:`\frac1{l+r}\,e^{-(x-\mu)/r}` to the right.

    :param loc: the mode :math:`\mu`.
    :param scale: the scale :math:`\sigma`, positive.
    :param asymmetry: the root :math:`\kappa` of the ratio of the tails, positive:
        :math:`l=\sigma\kappa` and :math:`r=\sigma/\kappa`.
    :param validate_args: whether to check parameters and values.

    >>> AsymmetricLaplace(0.0, 1.0, 2.0).log_prob(torch.tensor([-2.0, 0.0, 0.5]))
    tensor([-1.9163, -0.9163, -1.9163])

    Source: Kotz, Kozubowski and Podgorski 2001, *The Laplace Distribution and Generalizations*,
    chapter 3.
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
    }

    def __init__(
        self, loc: Real, scale: Real, asymmetry: Real, *, validate_args: bool | None = None
    ) -> None:
        self._hold(AsymmetricLaplace, loc=loc, scale=scale, asymmetry=asymmetry)
        self._check_parameters(validate_args)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably: the difference of two exponential variables.

        :param sample_shape: the shape of independent draws.
        """
        return self._draw_sharp(self._extended_shape(sample_shape))

    def _log_density(self, z: Tensor) -> Tensor:
        left: Tensor = self.asymmetry
        total = left + left.reciprocal()
        return -z.abs() * torch.where(z < 0, left.reciprocal(), left) - total.log()

    def _probability(self, z: Tensor) -> Tensor:
        left: Tensor = self.asymmetry
        below = left.square() / (1 + left.square())
        tail = (-z.abs() * torch.where(z < 0, left.reciprocal(), left)).exp()
        return torch.where(z < 0, below * tail, 1 - tail / (1 + left.square()))

    def _quantile(self, level: Tensor) -> Tensor:
        left: Tensor = self.asymmetry
        square = left.square()
        is_left = level * (1 + square) < square
        tail = torch.where(is_left, level * (1 + 1 / square), (1 - level) * (1 + square))
        return tail.log() * torch.where(is_left, left, -left.reciprocal())

    @property
    def variance(self) -> Tensor:
        """The sum of the squares of both scales."""
        return self.left_scale.square() + self.right_scale.square()

    def entropy(self) -> Tensor:
        """Return the entropy: 1 plus the logarithm of the sum of both scales."""
        return (self.left_scale + self.right_scale).log() + 1


class SoftAsymmetricLaplace(TwoTailedLaw, TorchDistribution):
    r"""Law of the sum of an :class:`AsymmetricLaplace` variable and a normal one of mean 0.

    With the scales :math:`l` and :math:`r` of the tails, the standard deviation :math:`s` of the
    normal variable and :math:`t=(x-\mu)/s`, the density is

    .. math::

        p(x) = \frac{e^{-t^2/2}}{2(l+r)} \left[
        \mathrm{erfcx}\Bigl(\frac{s/l + t}{\sqrt2}\Bigr) +
        \mathrm{erfcx}\Bigl(\frac{s/r - t}{\sqrt2}\Bigr) \right] ,
        \quad \mathrm{erfcx}(y) = e^{y^2}\,\mathrm{erfc}(y) .

    :param loc: the mode :math:`\mu` of the sharp law.
    :param scale: its scale :math:`\sigma`, positive.
    :param asymmetry: the root :math:`\kappa` of the ratio of the tails, positive:
        :math:`l=\sigma\kappa` and :math:`r=\sigma/\kappa`.
    :param softness: the ratio :math:`s/\sigma`, positive.
    :param validate_args: whether to check parameters and values.

    >>> SoftAsymmetricLaplace(0.0, 1.0).log_prob(torch.tensor([0.0, 100.0]))
    tensor([  -1.3410, -100.1931])

    Source: Reed 2006, *The Normal-Laplace Distribution and its Relatives*, in *Advances in
    Distribution Theory, Order Statistics, and Inference*, Birkhauser.
    """

    softness = Parameter()
    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
        "softness": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        loc: Real,
        scale: Real,
        asymmetry: Real = 1.0,
        softness: Real = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self._hold(
            SoftAsymmetricLaplace,
            loc=loc,
            scale=scale,
            asymmetry=asymmetry,
            softness=softness,
        )
        self._check_parameters(validate_args)

    @property
    def soft_scale(self) -> Tensor:
        """The standard deviation of the normal variable."""
        scale: Tensor = self.scale * self.softness
        return scale

    @property
    def variance(self) -> Tensor:
        """The sum of the squares of the three scales."""
        scales = (self.left_scale, self.right_scale, self.soft_scale)
        return torch.stack([scale.square() for scale in scales]).sum(0)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably: two exponential variables and a normal one.

        :param sample_shape: the shape of independent draws.
        """
        sharp = self._draw_sharp(self._extended_shape(sample_shape))
        return torch.addcmul(sharp, self.soft_scale, torch.randn_like(sharp))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        x, left, right, soft = torch.broadcast_tensors(
            value - self.loc, self.left_scale, self.right_scale, self.soft_scale
        )
        tails = _log_tails(torch.stack([x, -x]), torch.stack([left, right]), soft)
        density: Tensor = torch.logaddexp(tails[0], tails[1]) - (left + right).log()
        return density


def _log_tails(x: Tensor, scale: Tensor, soft: Tensor) -> Tensor:
    r"""Return, for both tails, :math:`-t^2/2+\log\frac12\mathrm{erfcx}((w+t)/\sqrt2)`, which is
    :math:`wt+w^2/2+\log\Phi(-w-t)`, where :math:`t=x/s` and :math:`w=s/l`.

    Each form is exact on one side of 0; on the other, large terms would cancel.

    :param x: the distance from the mode, to the side where the tail is not.
    :param scale: the scale :math:`l` of the tail.
    :param soft: the standard deviation :math:`s` of the normal variable.
    """
    t, w = x / soft, soft / scale
    depth = t + w
    near = log_erfcx(depth.clamp(min=0) * math.sqrt(0.5)) - 0.5 * t.square() - math.log(2)
    far = x / scale + 0.5 * w.square() + torch.special.log_ndtr(-depth.clamp(max=0))
    return torch.where(depth >= 0, near, far)
