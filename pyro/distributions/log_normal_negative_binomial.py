"""A negative binomial law with a noisy mean."""

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from pyro.distributions.counts import draw_poisson
from pyro.distributions.gamma import draw_gamma
from pyro.distributions.parameters import HoldingLaw, Parameter, Real
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.gamma_ratios import log_multichoose
from pyro.ops.readable import is_readable
from pyro.ops.special import get_quad_rule

_MOST_STEPS = 40


class LogNormalNegativeBinomial(HoldingLaw, TorchDistribution):
    r"""Negative binomial law whose mean is multiplied by a log-normal variable.

    .. math::

        P(k) = \int \mathrm{NegativeBinomial}(k \mid r, \mathrm{logits}=\eta+\sigma\varepsilon)\,
        \mathrm{Normal}(\varepsilon \mid 0, 1)\,d\varepsilon .

    The integral is taken by Gauss-Hermite quadrature around the maximum of its integrand, in units
    of its width there. With eight points the log probability errs by at most 1e-7 for
    :math:`\sigma\leq0.3`, by 1e-4 for :math:`\sigma\leq1`, and with 32 by 1e-10 there. The masses
    add up to 1 as nearly.

    :param total_count: the number :math:`r` of failures at which to stop, nonnegative; need not be
        whole.
    :param logits: the log odds :math:`\eta` of success without noise.
    :param multiplicative_noise_scale: the standard deviation :math:`\sigma` of the noise, positive.
    :param num_quad_points: the number of points of the quadrature.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where there is no point.

    >>> law = LogNormalNegativeBinomial(2.0, torch.tensor(0.0), 1e-6)
    >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.2500, 0.2500])

    Source: Liu and Pierce 1994, *A Note on Gauss-Hermite Quadrature*, Biometrika 81(3), for the
    choice of points.
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "logits": constraints.real,
        "multiplicative_noise_scale": constraints.positive,
    }
    support = constraints.nonnegative_integer
    total_count = Parameter()
    logits = Parameter()
    multiplicative_noise_scale = Parameter()
    _settings = ("num_quad_points",)

    def __init__(
        self,
        total_count: Real,
        logits: Real,
        multiplicative_noise_scale: Real,
        *,
        num_quad_points: int = 8,
        validate_args: bool | None = None,
    ) -> None:
        if num_quad_points < 1:
            raise ValueError(
                f"LogNormalNegativeBinomial: num_quad_points is {num_quad_points}, expected at "
                f"least 1."
            )
        self._hold(
            LogNormalNegativeBinomial,
            total_count=total_count,
            logits=logits,
            multiplicative_noise_scale=multiplicative_noise_scale,
        )
        self.num_quad_points = num_quad_points
        self._check_parameters(validate_args)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        logits, scale = self.logits.detach(), self.multiplicative_noise_scale.detach()
        shape = self._extended_shape(sample_shape)
        logits = logits + scale * torch.randn(shape, dtype=logits.dtype, device=logits.device)
        mean: Tensor = draw_gamma(self.total_count.detach(), 1.0, shape) * logits.exp()
        return draw_poisson(mean)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        logits, scale = self.logits, self.multiplicative_noise_scale
        count = self.total_count
        never = (count == 0) & (value > 0)
        count = count.clamp(min=torch.finfo(count.dtype).tiny)
        points, log_weights = get_quad_rule(self.num_quad_points, logits)
        with torch.no_grad():
            middle, width = _peak(count, logits, scale, value)
            noise = middle[..., None] + width[..., None] * points
            log_weights = log_weights + 0.5 * (points.square() - noise.square())
        odds = logits[..., None] + scale[..., None] * noise
        powers = value[..., None] * logsigmoid(odds) + count[..., None] * logsigmoid(-odds)
        integral: Tensor = width.log() + (log_weights + powers).logsumexp(-1)
        return (log_multichoose(count, value) + integral).masked_fill(never, -math.inf)

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        noise = 0.5 * self.multiplicative_noise_scale.square()
        mean: Tensor = self.total_count * (self.logits + noise).exp()
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        noise = self.multiplicative_noise_scale.square()
        odds = (self.logits + 0.5 * noise).exp()  # the mean over the number of failures
        spread = noise.exp() + self.total_count * torch.expm1(noise)
        variance: Tensor = self.total_count * odds * (1 + odds * spread)
        return variance


def _peak(count: Tensor, logits: Tensor, scale: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the integrand, a log-concave function of the noise, is largest, and its width.

    By Newton's method, and by bisection where that would leave the interval between 0 and the slope
    at 0, within which the maximum lies.
    """
    total, spread = count + value, scale.square()
    tolerance = torch.finfo(logits.dtype).eps ** 0.25  # each step about squares the error

    def slope_and_curvature(noise: Tensor) -> tuple[Tensor, Tensor]:
        share = (logits + scale * noise).sigmoid()
        return scale * (value - total * share) - noise, 1 + spread * total * share * (1 - share)

    start, _ = slope_and_curvature(torch.zeros_like(logits))
    low, high = start.clamp(max=0), start.clamp(min=0)
    guess = value + 0.5  # the likelihood is nearly normal in the log odds where counts are large
    weight = spread * guess * count / (guess + count)
    noise = (((guess / count).log() - logits) / scale * weight / (1 + weight)).clamp(low, high)
    for _ in range(_MOST_STEPS):
        slope, curvature = slope_and_curvature(noise)
        low, high = torch.where(slope > 0, noise, low), torch.where(slope > 0, high, noise)
        newton = noise + slope / curvature
        inside = (newton >= low) & (newton <= high)
        noise = torch.where(inside, newton, 0.5 * (low + high))
        if is_readable(slope) and bool((slope.square() <= tolerance**2 * curvature).all()):
            break
    return noise, slope_and_curvature(noise)[1].rsqrt()
