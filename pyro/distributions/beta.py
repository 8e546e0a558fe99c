"""Laws of proportions."""

import math
from typing import Any

import torch
from torch.distributions import AffineTransform, Transform
from torch.distributions import PowerTransform as Power
from torch.distributions.dirichlet import _Dirichlet

from pyro.distributions.bounded import Uniform
from pyro.distributions.gamma import less_one
from pyro.distributions.law import TorchLaw
from pyro.distributions.parameters import (
    Parameter,
    Real,
    ReparameterisedLaw,
    as_operand,
    blank,
    constant,
)
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistributionMixin


def draw_dirichlet(concentration: torch.Tensor) -> torch.Tensor:
    """Draw proportions, differentiably where the concentration is.

    :param concentration: the concentration, of the shape of the result.
    """
    if concentration.requires_grad:
        value: torch.Tensor = _Dirichlet.apply(concentration)
        return value
    return torch._sample_dirichlet(concentration)


class Dirichlet(TorchLaw, torch.distributions.Dirichlet, TorchDistributionMixin):
    r"""Dirichlet law of proportions, density proportional to :math:`\prod_k x_k^{\alpha_k-1}`.

    :param concentration: the :math:`\alpha_k`, positive, along the rightmost dimension.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the concentration has no dimension.

    >>> Dirichlet(torch.ones(3)).log_prob(torch.tensor([0.2, 0.3, 0.5]))
    tensor(0.6931)
    """

    def __init__(self, concentration: torch.Tensor, validate_args: bool | None = None) -> None:
        shape = concentration.shape
        if not shape:
            raise ValueError(
                "Dirichlet: parameter 'concentration' needs a dimension, that of the proportions."
            )
        self.concentration = concentration
        self._batch_shape = shape[:-1]
        self._event_shape = shape[-1:]
        self._check_parameters(validate_args)

    @staticmethod
    def infer_shapes(  # type: ignore[override]
        concentration: Shape,
    ) -> tuple[torch.Size, torch.Size]:
        """Return the batch and event shape from that of the parameter.

        :param concentration: its shape.
        """
        shape = torch.Size(concentration)
        return shape[:-1], shape[-1:]

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = self._pass_on(self._get_checked_instance(Dirichlet, _instance))
        held = new.__dict__
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["_event_shape"] = self._event_shape
        held["concentration"] = self.concentration.expand(batch_shape + self._event_shape)
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        concentration = self.concentration
        if sample_shape:
            concentration = concentration.expand(self._extended_shape(sample_shape))
        return draw_dirichlet(concentration)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        terms = torch.xlogy(a - constant(1.0, a), value) - torch.lgamma(a)
        return terms.sum(-1) + torch.lgamma(a.sum(-1))

    def conjugate_update(self, other: Any) -> tuple["Dirichlet", torch.Tensor]:
        """Multiply this density by that of another Dirichlet law.

        :param other: a :class:`Dirichlet` over as many proportions.
        :raises TypeError: where it is none.

        >>> updated, _ = Dirichlet(torch.ones(2)).conjugate_update(Dirichlet(torch.ones(2)))
        >>> updated.concentration
        tensor([1., 1.])
        """
        if not isinstance(other, torch.distributions.Dirichlet):
            raise TypeError(f"Dirichlet.conjugate_update takes a Dirichlet, not {other}.")
        a, b = self.concentration, other.concentration
        updated = Dirichlet(a + less_one(b, a))
        parts = [c.sum(-1).lgamma() - c.lgamma().sum(-1) for c in (a, b, updated.concentration)]
        return updated, parts[0] + parts[1] - parts[2]


def log_beta_constant(a: Real, b: Real, like: torch.Tensor) -> torch.Tensor:
    """Return the log of what makes a beta density integrate to 1.

    :param a: the exponent of the proportion.
    :param b: the exponent of what is left.
    :param like: the tensor that the result shall meet.
    """
    if isinstance(a, float) and isinstance(b, float) and a > 0.0 < b:
        return constant(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b), like)
    a, b = as_operand(a, like), as_operand(b, like)
    return torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)


class Beta(ReparameterisedLaw, torch.distributions.Beta, TorchDistributionMixin):
    r"""Beta law of a proportion, density proportional to :math:`x^{a-1}(1-x)^{b-1}`.

    :param concentration1: the exponent :math:`a` of the proportion, positive.
    :param concentration0: the exponent :math:`b` of what is left, positive.
    :param validate_args: whether to check parameters and values.

    >>> Beta(2.0, 1.0).log_prob(torch.tensor(0.5))
    tensor(0.)
    """

    concentration1 = Parameter()
    concentration0 = Parameter()

    def __init__(
        self, concentration1: Real, concentration0: Real, validate_args: bool | None = None
    ) -> None:
        self._hold(Beta, concentration1=concentration1, concentration0=concentration0)
        self._check_parameters(validate_args)

    @property
    def _both(self) -> torch.Tensor:
        return torch.stack([self.concentration1, self.concentration0], -1)

    @property
    def _dirichlet(self) -> Dirichlet:  # type: ignore[override]
        return Dirichlet(self._both, validate_args=False)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        both = self._both
        if sample_shape:
            both = both.expand(torch.Size(sample_shape) + both.shape)
        return draw_dirichlet(both).select(-1, 0)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        a, b = self._operands(value)
        result = torch.xlogy(less_one(a, value), value)
        result = result + torch.special.xlog1py(less_one(b, value), -value)
        return self._over_batch(result + log_beta_constant(a, b, value))

    def conjugate_update(self, other: Any) -> tuple["Beta", torch.Tensor]:
        """Multiply this density by that of another beta law.

        :param other: a :class:`Beta`.
        :raises TypeError: where it is none.

        >>> updated, log_normalizer = Beta(2.0, 1.0).conjugate_update(Beta(3.0, 1.0))
        >>> updated
        Beta(concentration1: 4.0, concentration0: 1.0)
        """
        if not isinstance(other, torch.distributions.Beta):
            raise TypeError(f"Beta.conjugate_update takes a Beta, not {other}.")
        a, b = self.concentration1, self.concentration0
        updated = Beta(a + less_one(other.concentration1, a), b + less_one(other.concentration0, b))
        parts = [
            log_beta_constant(law.concentration1, law.concentration0, a)
            for law in (self, other, updated)
        ]
        return updated, parts[0] + parts[1] - parts[2]


class Kumaraswamy(ReparameterisedLaw, torch.distributions.Kumaraswamy, TorchDistributionMixin):
    r"""Kumaraswamy law of a proportion, with distribution function :math:`1-(1-x^a)^b`.

    :param concentration1: the exponent :math:`a`, positive.
    :param concentration0: the exponent :math:`b`, positive.
    :param validate_args: whether to check parameters and values.

    >>> Kumaraswamy(1.0, 2.0).log_prob(torch.tensor(0.5))
    tensor(0.)
    """

    concentration1 = Parameter()
    concentration0 = Parameter()

    def __init__(
        self, concentration1: Real, concentration0: Real, validate_args: bool | None = None
    ) -> None:
        self._hold(Kumaraswamy, concentration1=concentration1, concentration0=concentration0)
        self._check_parameters(validate_args)

    @property
    def base_dist(self) -> Uniform:  # type: ignore[override]
        """The law of the survival function at a draw."""
        low, high = torch.zeros_like(self.concentration1), torch.ones_like(self.concentration1)
        law: Uniform = self._view_as(Uniform, low=low, high=high)
        return law

    @property
    def transforms(self) -> list[Transform]:  # type: ignore[override]
        """The inverse of the survival function, in steps."""
        return [
            Power(self.concentration0.reciprocal()),
            AffineTransform(1.0, -1.0),
            Power(self.concentration1.reciprocal()),
        ]

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably, by inversion of the survival function.

        :param sample_shape: the shape of independent draws.
        """
        a, b = self.concentration1, self.concentration0
        log_survival = blank(self._extended_shape(sample_shape), a).uniform_().log_()
        return (-torch.expm1(log_survival / b)).pow(a.reciprocal())

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        rest: torch.Tensor = torch.special.xlog1py(less_one(b, value), -value.pow(a))
        return rest + torch.xlogy(less_one(a, value), value) + (a * b).log()
