r"""Gamma laws drawn by rejection, and laws made of them.

The sampler of Marsaglia and Tsang proposes :math:`d\,(1+cx)^3` for a standard normal :math:`x`,
with :math:`d=\alpha-\frac13` and :math:`c=1/\sqrt{9d}`. At larger :math:`\alpha` it rejects less,
and gradients vary less; a *shape-augmented* law draws there, and comes back by factors that are
smooth functions of noise:

.. math:: z = \tilde z \prod_{i=0}^{B-1} u_i^{1/(\alpha+i)}, \quad
    \tilde z\sim\mathrm{Gamma}(\alpha+B, 1), \quad u_i\sim\mathrm{Uniform}(0, 1).

Source: Marsaglia and Tsang 2000, *A Simple Method for Generating Gamma Variables*, ACM TOMS 26(3);
Naesseth, Ruiz, Linderman and Blei 2017, arXiv:1610.05683.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.beta import Beta, Dirichlet
from pyro.distributions.gamma import Gamma, gamma_log_density
from pyro.distributions.parameters import Real
from pyro.distributions.rejector import Rejector, drawing_from
from pyro.distributions.remembered import origin_of, remember
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.testing.naive_dirichlet import shares
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution

_THIRD = 1.0 / 3.0
_LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)


class RejectionStandardGamma(Rejector):
    r"""Gamma law of unit rate, drawn by the rejections of Marsaglia and Tsang.

    :param concentration: the shape :math:`\alpha`, above 1/3; proposals are accepted with
        probability 0.95 at 1, and more above.

    >>> RejectionStandardGamma(torch.tensor(1.0)).log_prob(torch.tensor(2.0))
    tensor(-2.)
    """

    arg_constraints = {"concentration": constraints.greater_than(_THIRD)}
    support = constraints.nonnegative

    def __init__(self, concentration: Tensor) -> None:
        self.concentration = concentration
        TorchDistribution.__init__(self, concentration.shape)

    @property
    def _d(self) -> Tensor:
        return self.concentration - _THIRD

    @property
    def log_scale(self) -> Tensor:  # type: ignore[override]
        """The log probability that a proposal is accepted."""
        d = self._d
        return torch.lgamma(self.concentration) + d - (d - 1 / 6) * d.log() - _LOG_ROOT_TAU

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "RejectionStandardGamma":
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new: Any = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._batch_shape = torch.Size(batch_shape)
        new.concentration = self.concentration.expand(new._batch_shape)
        law: RejectionStandardGamma = new
        return law

    def propose(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw proposals; one in a million or less is negative, and is rejected.

        :param sample_shape: the shape of independent draws.
        """
        d = self._d
        shape = self._extended_shape(torch.Size(sample_shape))
        x = torch.randn(shape, dtype=d.dtype, device=d.device)
        return d * (1 + x / (3 * d.sqrt())) ** 3

    def propose_log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of a proposal.

        :param value: the value, positive.
        """
        d = self._d
        root = (value / d) ** _THIRD
        x = (root - 1) * (3 * d.sqrt())
        return -0.5 * (x * x + d.log()) - 2 * root.log() - _LOG_ROOT_TAU

    def log_prob_accept(self, x: Tensor) -> Tensor:
        """Return the log probability that a proposal is accepted.

        :param x: the proposal; one that is not positive is not.
        """
        d = self._d
        positive = x > 0
        ratio = torch.where(positive, x, d) / d
        normal = (ratio**_THIRD - 1) * (3 * d.sqrt())
        log_accept = 0.5 * normal * normal + d * (1 - ratio + ratio.log())
        return torch.where(positive, log_accept, -math.inf)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density.

        :param x: the value.
        """
        if self._validate_args:
            self._validate_sample(x)
        return gamma_log_density(x, self.concentration, 1.0)


class RejectionGamma(Gamma):
    r"""Gamma law, drawn by the rejections of Marsaglia and Tsang.

    :param concentration: the shape :math:`\alpha`, above 1/3.
    :param rate: the rate :math:`\beta`, positive.
    :param validate_args: whether to check parameters and values.

    >>> RejectionGamma(torch.tensor(1.0), 2.0).log_prob(torch.tensor(1.0))
    tensor(-1.3069)
    """

    arg_constraints = {**Gamma.arg_constraints, **RejectionStandardGamma.arg_constraints}
    has_rsample = True

    @property
    def _standard(self) -> RejectionStandardGamma:
        return RejectionStandardGamma(self.concentration)

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, differentiably along the accepted proposals.

        :param sample_shape: the shape of independent draws.
        :param generator: a generator of random numbers on the CPU; None for torch's global one.
        """
        return self._standard.rsample(sample_shape, generator=generator) / self.rate

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density.

        :param x: the value.
        """
        return super().log_prob(x)

    def score_parts(self, x: Tensor) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param x: a value that this law drew, with the gradients of the draw.
        """
        return super().score_parts(x)

    def _noise_score(self, value: Tensor) -> Tensor:
        return self._standard._noise_score(value * self.rate)


def draw_augmented(concentration: Tensor, boost: int, sample_shape: Shape) -> tuple[Tensor, Tensor]:
    r"""Draw from a gamma law of unit rate by way of one of a larger shape.

    :param concentration: the shape :math:`\alpha`, positive.
    :param boost: how many factors :math:`B` to come back by; at least 1 for a shape up to 1/3.
    :param sample_shape: the shape of independent draws.
    :return: the draw, and that of shape :math:`\alpha+B`.

    >>> draw, larger = draw_augmented(torch.tensor(0.1), 1, (2,))
    >>> bool((draw <= larger).all())
    True
    """
    larger = RejectionStandardGamma(concentration + boost).rsample(sample_shape)
    log_factor = torch.zeros_like(larger)
    for i in range(boost):
        log_factor = log_factor - torch.empty_like(larger).exponential_() / (concentration + i)
    factor = log_factor.exp().clamp(min=torch.finfo(larger.dtype).tiny)
    return larger * factor, larger


def _checked(law: str, boost: int) -> int:
    if isinstance(boost, bool) or not isinstance(boost, int) or boost < 0:
        raise TypeError(f"{law}: boost is {boost!r}, expected a whole number, 0 or more.")
    return boost


def _score_of_larger(law: Any, value: Tensor, concentration: Tensor) -> Tensor:
    """Return the log density of the noise behind the draw of larger shape behind a value."""
    larger = origin_of(value)
    if larger is None:
        raise ValueError(
            f"{law} can only tell the gradient's parts for a value as it drew it; for one that was "
            f"computed or copied, the draw behind it is not known. Score it with log_prob."
        )
    return RejectionStandardGamma(concentration + law.boost)._noise_score(larger)


class ShapeAugmentedGamma(Gamma):
    r"""Gamma law, drawn by rejection at a larger shape.

    :param concentration: the shape :math:`\alpha`, positive.
    :param rate: the rate :math:`\beta`, positive.
    :param boost: how much larger the shape is to be, a whole number.
    :param validate_args: whether to check parameters and values.
    :raises TypeError: where the boost is no whole number.

    >>> ShapeAugmentedGamma(torch.tensor(0.5), 2.0, boost=3)((2,)).shape
    torch.Size([2])
    """

    has_rsample = True
    _settings = ("boost",)

    def __init__(
        self, concentration: Real, rate: Real, boost: int = 1, validate_args: bool | None = None
    ) -> None:
        self.boost = _checked("ShapeAugmentedGamma", boost)
        super().__init__(concentration, rate, validate_args)

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, differentiably along the accepted proposals.

        :param sample_shape: the shape of independent draws.
        :param generator: a generator of random numbers on the CPU; None for torch's global one.
        """
        with drawing_from(generator):
            draw, larger = draw_augmented(self.concentration, self.boost, sample_shape)
        return remember(draw / self.rate, larger)

    def score_parts(self, boosted_x: Tensor | None = None) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param boosted_x: a value as this law drew it: it knows the draw at the larger shape.
        :raises ValueError: where it does not.
        :raises TypeError: without a value.
        """
        if boosted_x is None:
            raise TypeError("ShapeAugmentedGamma.score_parts takes the value that was drawn.")
        return super().score_parts(boosted_x)

    def _noise_score(self, value: Tensor) -> Tensor:
        return _score_of_larger(self, value, self.concentration)


class ShapeAugmentedDirichlet(Dirichlet):
    r"""Dirichlet law, drawn as shares of shape-augmented gamma variables.

    :param concentration: the :math:`\alpha_k`, positive, along the rightmost dimension.
    :param boost: how much larger the shapes are to be, a whole number.
    :param validate_args: whether to check parameters and values.
    :raises TypeError: where the boost is no whole number.

    >>> ShapeAugmentedDirichlet(torch.tensor([0.5, 1.0, 2.0]))().sum()
    tensor(1.)
    """

    has_rsample = True

    def __init__(
        self, concentration: Tensor, boost: int = 1, validate_args: bool | None = None
    ) -> None:
        self.boost = _checked("ShapeAugmentedDirichlet", boost)
        super().__init__(concentration, validate_args)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = super().expand(batch_shape, _instance)
        new.boost = self.boost
        return new

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, differentiably along the accepted proposals.

        :param sample_shape: the shape of independent draws.
        :param generator: a generator of random numbers on the CPU; None for torch's global one.
        """
        with drawing_from(generator):
            draws, larger = draw_augmented(self.concentration, self.boost, sample_shape)
        return remember(shares(draws), larger)

    def _noise_score(self, value: Tensor) -> Tensor:
        return _score_of_larger(self, value, self.concentration).sum(-1)


class ShapeAugmentedBeta(Beta):
    r"""Beta law, drawn as a share of two shape-augmented gamma variables.

    :param concentration1: the exponent of the proportion, positive.
    :param concentration0: the exponent of what is left, positive.
    :param boost: how much larger the shapes are to be, a whole number.
    :param validate_args: whether to check parameters and values.
    :raises TypeError: where the boost is no whole number.

    >>> ShapeAugmentedBeta(torch.tensor(0.5), torch.tensor(2.0))((3,)).shape
    torch.Size([3])
    """

    has_rsample = True
    _settings = ("boost",)

    def __init__(
        self,
        concentration1: Real,
        concentration0: Real,
        boost: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.boost = _checked("ShapeAugmentedBeta", boost)
        super().__init__(concentration1, concentration0, validate_args)

    def rsample(
        self, sample_shape: Shape = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, differentiably along the accepted proposals.

        :param sample_shape: the shape of independent draws.
        :param generator: a generator of random numbers on the CPU; None for torch's global one.
        """
        with drawing_from(generator):
            draws, larger = draw_augmented(self._both, self.boost, sample_shape)
        return remember(shares(draws)[..., 0], larger)

    def _noise_score(self, value: Tensor) -> Tensor:
        return _score_of_larger(self, value, self._both).sum(-1)
