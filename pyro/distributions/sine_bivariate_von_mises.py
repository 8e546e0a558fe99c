"""A law of two angles that depend on each other."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import broadcast_all, lazy_property
from torch.special import i0e, i1e

import pyro.distributions.constraints as constraints
from pyro.distributions.continuous import VonMises
from pyro.distributions.parameters import Real, one_of
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.readable import is_readable
from pyro.ops.shapes import broadcast_shape


class SineBivariateVonMises(TorchDistribution):
    r"""Law of two angles :math:`(\phi,\psi)` with density, where :math:`\mu,\nu` are locations,

    .. math:: p(\phi,\psi) = \tfrac1Z \exp\big(\kappa_1\cos(\phi-\mu) + \kappa_2\cos(\psi-\nu)
        + \rho\sin(\phi-\mu)\sin(\psi-\nu)\big) .

    It has one mode where :math:`\rho^2<\kappa_1\kappa_2`, and else two. Any real number stands for
    an angle; draws lie within :math:`[-\pi,\pi)`.

    :param phi_loc: the location :math:`\mu` of the first angle.
    :param psi_loc: the location :math:`\nu` of the second angle.
    :param phi_concentration: the concentration :math:`\kappa_1` of the first, positive.
    :param psi_concentration: the concentration :math:`\kappa_2` of the second, positive.
    :param correlation: the coefficient :math:`\rho`.
    :param weighted_correlation: in its place, :math:`\rho/\sqrt{\kappa_1\kappa_2}`.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: unless one of the last two is given.

    >>> law = SineBivariateVonMises(0.0, 0.0, 1.0, 2.0, correlation=0.5)
    >>> law.log_prob(torch.zeros(2))
    tensor(-1.7551)

    Source: Singh, Hnizdo and Demchuk 2002, *Probabilistic Model for Two Dependent Circular
    Variables*, Biometrika 89.
    """

    arg_constraints = {
        "phi_loc": constraints.real,
        "psi_loc": constraints.real,
        "phi_concentration": constraints.positive,
        "psi_concentration": constraints.positive,
        "correlation": constraints.real,
    }
    support = constraints.real_vector
    max_sample_iter = 1000

    def __init__(
        self,
        phi_loc: Real,
        psi_loc: Real,
        phi_concentration: Real,
        psi_concentration: Real,
        correlation: Real | None = None,
        weighted_correlation: Real | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = one_of(
            type(self), correlation=correlation, weighted_correlation=weighted_correlation
        )
        (
            self.phi_loc,
            self.psi_loc,
            self.phi_concentration,
            self.psi_concentration,
            strength,
        ) = broadcast_all(phi_loc, psi_loc, phi_concentration, psi_concentration, *given.values())
        if correlation is None:
            strength = strength * (self.phi_concentration * self.psi_concentration).sqrt()
        self.correlation = strength
        super().__init__(strength.shape, (2,), validate_args)

    @classmethod
    def infer_shapes(cls, **arg_shapes: Shape) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from those of the parameters.

        :param arg_shapes: shapes by parameter name.
        """
        return torch.Size(broadcast_shape(*arg_shapes.values())), torch.Size((2,))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "SineBivariateVonMises":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        for name in (*self.arg_constraints, "norm_const"):
            if name in held:
                held[name] = held[name].expand(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        """The directions around which the law is symmetric."""
        return torch.stack([self.phi_loc, self.psi_loc], -1)

    def _num_points(self) -> int:
        """Return how many equidistant angles resolve the density to all digits of float64.

        The coefficient n of the Fourier series of a density whose exponent swings by m falls off
        as exp(-n^2 / 2m), and the rectangle rule for its integral is wrong by those from n on.
        """
        swing = (self.phi_concentration + self.correlation.abs()).detach()
        if not is_readable(swing) or not swing.numel():
            return 1024
        return 2 * int(12 + 5 * swing.max().clamp(0.0, 1e9).nan_to_num(0.0).sqrt().item())

    @lazy_property
    def norm_const(self) -> Tensor:
        r"""The log of the normaliser :math:`Z`.

        The integral over :math:`\psi` is :math:`2\pi I_0(\sqrt{\kappa_2^2+\rho^2\sin^2\phi})`; that
        over :math:`\phi` is a sum over equidistant angles, which converges exponentially.
        """
        count = self._num_points()
        like = self.correlation
        angle = torch.arange(count // 2 + 1, dtype=like.dtype, device=like.device)
        squares = (angle * (math.pi / count)).sin().square()
        exponent, _ = _log_marginal(squares, *self._shape_parameters(like.dtype))
        doubled = torch.full_like(angle, 2.0)  # an angle and its opposite
        doubled[[0, -1]] = 1.0
        level = 2 * math.log(2 * math.pi) - math.log(count)
        return (exponent + doubled.log()).logsumexp(-1) + level

    def _shape_parameters(self, dtype: torch.dtype) -> list[Tensor]:
        parameters = self.phi_concentration, self.psi_concentration, self.correlation
        return [parameter.to(dtype)[..., None] for parameter in parameters]

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: both angles, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        phi, psi = value[..., 0] - self.phi_loc, value[..., 1] - self.psi_loc
        both = self.correlation * phi.sin() * psi.sin()
        single = self.phi_concentration * phi.cos() + self.psi_concentration * psi.cos()
        return single + both - self.norm_const

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw, exactly: the first angle by rejection, the second given it.

        :param sample_shape: the shape of independent draws.
        :raises ValueError: where a draw is rejected ``max_sample_iter`` times.
        """
        shape = torch.Size(sample_shape) + self._batch_shape
        with torch.no_grad():
            phi = self._sample_first(shape)
            across = self.correlation * phi.sin()
            psi_concentration = torch.hypot(self.psi_concentration, across)
            psi_loc = self.psi_loc + torch.atan2(across, self.psi_concentration)
            psi = VonMises(psi_loc, psi_concentration, validate_args=False).sample()
            value = torch.stack([phi + self.phi_loc, psi], -1)
            return (value + math.pi) % (2 * math.pi) - math.pi

    def _sample_first(self, shape: torch.Size) -> Tensor:
        """Draw the first angle less its location.

        In ``u`` the log density is concave, so within a cell it lies below the tangents at both
        ends, and below the value at one end where it does not turn.
        """
        count = 2 * self._num_points()
        parameters = self._shape_parameters(torch.double)
        edges = torch.arange(count + 1, dtype=torch.double, device=self.correlation.device)
        edges = (edges * (0.5 * math.pi / count)).sin().square()
        height, slope = _log_marginal(edges, *parameters)
        width = edges.diff()
        from_left = height[..., :-1] + slope[..., :-1].clamp(min=0.0) * width
        from_right = height[..., 1:] - slope[..., 1:].clamp(max=0.0) * width
        bound = torch.minimum(from_left, from_right)
        chances = bound.softmax(-1).reshape(-1, count)
        bound = bound.expand(shape + (count,))
        angle = edges.new_zeros(shape)
        waiting = torch.ones_like(angle, dtype=torch.bool)
        draws = angle.numel() // max(1, len(chances))
        for _ in range(self.max_sample_iter):
            if not waiting.any():
                sign = torch.where(torch.rand_like(angle) < 0.5, 1.0, -1.0)
                return (sign * angle).to(self.correlation.dtype)
            cell = chances.multinomial(draws, True).mT.reshape(shape)
            proposal = (cell + torch.rand_like(angle)) * (math.pi / count)
            squares = (0.5 * proposal).sin().square()[..., None]
            reached, _ = _log_marginal(squares, *parameters)
            excess = (bound.gather(-1, cell[..., None]) - reached)[..., 0]
            accepted = waiting & (torch.empty_like(angle).exponential_() > excess)
            angle = torch.where(accepted, proposal, angle)
            waiting = waiting & ~accepted
        raise ValueError(
            f"{self}: a draw was rejected {self.max_sample_iter} times. Look for parameters that "
            f"are not finite, or raise SineBivariateVonMises.max_sample_iter."
        )


def _log_marginal(u: Tensor, phi: Tensor, psi: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the log density of the first angle, up to a constant, and its slope.

    :param u: points :math:`\sin^2((\phi-\mu)/2)`; the log density is concave as a function of them.
    :param phi: the concentration of the first angle.
    :param psi: the concentration of the second angle.
    :param rho: the correlation.
    """
    strength = (psi.square() + 4 * rho.square() * u * (1 - u)).sqrt()
    bessel = i0e(strength)
    exponent = phi * (1 - 2 * u) + bessel.log() + strength
    slope = -2 * phi + 2 * rho.square() * (1 - 2 * u) * i1e(strength) / (bessel * strength)
    return exponent, slope
