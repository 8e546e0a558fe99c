"""Stable laws: what sums of independent variables tend to, with tails that fall off as a power."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.parameters import Parameter, Real, ReparameterisedLaw
from pyro.distributions.stable_log_prob import standard_log_density
from pyro.distributions.stable_noise import skew_excess as skew_excess
from pyro.distributions.stable_noise import stable_from_noise as stable_from_noise
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution

_HALF_PI = math.pi / 2


class Stable(ReparameterisedLaw, TorchDistribution):
    r"""Lévy's :math:`\alpha`-stable law.

    With :math:`\tau=\tan(\pi\alpha/2)` the logarithm of the characteristic function is

    .. math::

        \log E\,e^{itx} = it\mu - |\sigma t|^\alpha
        \bigl(1 + i\beta\tau\,\mathrm{sign}(t)\,(|\sigma t|^{1-\alpha} - 1)\bigr)

    in the coordinates S0, which depend on all parameters continuously. In the coordinates S,
    :math:`|\sigma t|^{1-\alpha}-1` is replaced by :math:`-1`, except at :math:`\alpha=1`, where the
    product with :math:`\tau` is :math:`\frac2\pi\log|t|` in place of
    :math:`\frac2\pi\log|\sigma t|`. The law is that of Cauchy at :math:`\alpha=1,\beta=0`, and
    normal with variance :math:`2\sigma^2` at :math:`\alpha=2`.

    It has draws but no density in closed form; :class:`StableWithLogProb` computes one, at a price.
    For inference use
    :class:`~pyro.infer.reparam.LatentStableReparam`,
    :class:`~pyro.infer.reparam.SymmetricStableReparam` or
    :class:`~pyro.infer.reparam.StableReparam`; :class:`~pyro.infer.reparam.MinimalReparam` chooses.

    :param stability: the exponent :math:`\alpha`, above 0 and at most 2.
    :param skew: the skewness :math:`\beta`, between -1 and 1.
    :param scale: the scale :math:`\sigma`, positive.
    :param loc: the location :math:`\mu`; the mean in the coordinates S, where :math:`\alpha>1`.
    :param coords: ``"S0"`` or ``"S"``.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: for other coordinates.

    >>> Stable(torch.tensor(1.5), 0.0).sample((3,)).shape
    torch.Size([3])

    Source: Nolan 1997, *Numerical calculation of stable densities and distribution functions*,
    Stochastic Models 13(4), for the coordinates.
    """

    stability = Parameter()
    skew = Parameter()
    scale = Parameter()
    loc = Parameter()
    arg_constraints = {
        "stability": constraints.interval(0, 2),
        "skew": constraints.interval(-1, 1),
        "scale": constraints.positive,
        "loc": constraints.real,
    }
    support = constraints.real
    has_rsample = True
    _settings = ("coords",)

    def __init__(
        self,
        stability: Real,
        skew: Real,
        scale: Real = 1.0,
        loc: Real = 0.0,
        coords: str = "S0",
        validate_args: bool | None = None,
    ) -> None:
        if coords not in ("S0", "S"):
            raise ValueError(f"Stable: coords is {coords!r}, expected 'S0' or 'S'.")
        self._hold(Stable, stability=stability, skew=skew, scale=scale, loc=loc)
        self.coords = coords
        self._check_parameters(validate_args)

    @property
    def loc_s0(self) -> Tensor:
        """The location in the coordinates S0."""
        if self.coords == "S0":
            return self.loc
        alpha, scale = self.stability, self.scale
        at_one = alpha == 1
        tangent = (_HALF_PI * torch.where(at_one, 2.0, alpha)).tan()
        shift = torch.where(at_one, scale.log() / _HALF_PI, tangent)
        return self.loc + self.skew * scale * shift

    @property
    def mean(self) -> Tensor:
        """The mean; NaN where the exponent is at most 1, so that there is none."""
        alpha = self.stability
        loc = self.loc
        if self.coords == "S0":
            loc = loc - self.skew * self.scale * (_HALF_PI * alpha).tan()
        return loc.masked_fill(alpha <= 1, math.nan)

    @property
    def variance(self) -> Tensor:
        """Infinite, except for the normal law."""
        return (2 * self.scale.square()).masked_fill(self.stability < 2, math.inf)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        scale = self.scale
        shape = self._extended_shape(sample_shape)
        angle = torch.empty(shape, dtype=scale.dtype, device=scale.device).uniform_(
            -_HALF_PI, _HALF_PI
        )
        noise = torch.empty_like(angle).exponential_()
        return self.loc_s0 + scale * stable_from_noise(self.stability, self.skew, angle, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Not offered: there is no closed form.

        :param value: the value.
        :raises NotImplementedError: always.
        """
        raise NotImplementedError(
            "Stable has no density in closed form. Reparameterise the model: "
            "model = pyro.infer.reparam.MinimalReparam()(model)."
        )


class StableWithLogProb(Stable):
    r"""Lévy's :math:`\alpha`-stable law, with a density computed by numerical integration.

    Nolan's representation is integrated for each value, in double precision, to about ten digits,
    and is differentiable in the value and all parameters. A value costs as much as some hundred
    densities in closed form; see :func:`~pyro.distributions.stable_log_prob.set_integrator` for the
    number of points.

    :param stability: the exponent :math:`\alpha`, above 0 and at most 2.
    :param skew: the skewness :math:`\beta`, between -1 and 1.
    :param scale: the scale :math:`\sigma`, positive.
    :param loc: the location :math:`\mu`; the mean in the coordinates S, where :math:`\alpha>1`.
    :param coords: ``"S0"`` or ``"S"``, see :class:`Stable`.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: for other coordinates.

    The law of Cauchy:

    >>> StableWithLogProb(1.0, 0.0).log_prob(torch.tensor(0.0)), -math.log(math.pi)
    (tensor(-1.1447), -1.14472...)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc_s0) / self.scale
        scored = standard_log_density(self.stability, self.skew, z) - self.scale.log()
        return self._over_batch(scored)
