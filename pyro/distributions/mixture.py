"""A mixture of two laws of which it is known which of them each entry follows."""

from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.distribution import noise_score
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape
from pyro.ops.shapes import broadcast_shape


def _over_event(mask: Tensor, event_dim: int) -> Tensor:
    return mask[(...,) + (None,) * event_dim]


class MaskedConstraint(constraints.Constraint):
    """One set where a mask is true and another one where it is false.

    :param mask: a boolean tensor, of the batch shape.
    :param constraint0: the set where it is false.
    :param constraint1: the set where it is true.

    >>> mask = torch.tensor([False, True])
    >>> sign = MaskedConstraint(mask, constraints.real, constraints.positive)
    >>> sign.check(torch.tensor([-1.0, -1.0]))
    tensor([ True, False])
    """

    def __init__(
        self, mask: Tensor, constraint0: constraints.Constraint, constraint1: constraints.Constraint
    ) -> None:
        self.mask = mask
        self.constraint0 = constraint0
        self.constraint1 = constraint1
        self.is_discrete = constraint0.is_discrete and constraint1.is_discrete
        self.event_dim = constraint0.event_dim

    def __repr__(self) -> str:
        return f"MaskedConstraint({self.constraint0}, {self.constraint1})"

    def check(self, value: Tensor) -> Tensor:
        """Tell which events lie in the set that applies to them.

        :param value: the events.
        """
        inside0, inside1 = self.constraint0.check(value), self.constraint1.check(value)
        return torch.where(self.mask, inside1, inside0)


class MaskedMixture(TorchDistribution):
    r"""Law of entries that follow one law where a mask is true and another one where it is false.

    :math:`p(x_i)=p_{m_i}(x_i)`. What a component would make of entries of the other one matters
    neither to the density nor to its gradient.

    :param mask: a boolean tensor that broadcasts with the batch shapes.
    :param component0: the law where it is false.
    :param component1: the law where it is true, of the same event shape.
    :param validate_args: whether to check values.
    :raises TypeError: where the mask is not boolean.
    :raises ValueError: where the event shapes differ.

    >>> from pyro.distributions.normal import LogNormal, Normal
    >>> law = MaskedMixture(torch.tensor([False, True]), Normal(0.0, 1.0), LogNormal(0.0, 1.0))
    >>> law.log_prob(torch.tensor([-1.0, 1.0]))
    tensor([-1.4189, -0.9189])
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self, mask: Tensor, component0: Any, component1: Any, validate_args: bool | None = None
    ) -> None:
        if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"MaskedMixture: the mask must be a boolean tensor, not {kind}.")
        event_shape = component0.event_shape
        if event_shape != component1.event_shape:
            raise ValueError(
                f"MaskedMixture: the components have event shapes {tuple(event_shape)} and "
                f"{tuple(component1.event_shape)}, which must be alike. Mind to_event()."
            )
        shapes = (mask.shape, component0.batch_shape, component1.batch_shape)
        batch_shape = torch.Size(broadcast_shape(*shapes))
        self._mask = mask.expand(batch_shape)
        self.component0 = component0.expand(batch_shape)
        self.component1 = component1.expand(batch_shape)
        self.has_rsample = component0.has_rsample and component1.has_rsample
        super().__init__(batch_shape, event_shape, validate_args)

    def __repr__(self) -> str:
        return f"MaskedMixture({self.component0}, {self.component1})"

    @constraints.dependent_property
    def support(self) -> MaskedConstraint:
        """The support of each component where it applies."""
        return MaskedConstraint(self._mask, self.component0.support, self.component1.support)

    def expand(self, batch_shape: Shape) -> "MaskedMixture":  # type: ignore[override]
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        """
        new: MaskedMixture = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._batch_shape = as_shape(batch_shape)
        for name in ("_mask", "component0", "component1"):
            setattr(new, name, getattr(self, name).expand(new._batch_shape))
        return new

    def _choose(self, entry0: Tensor, entry1: Tensor) -> Tensor:
        return torch.where(_over_event(self._mask, self.event_dim), entry1, entry0)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        shape = torch.Size(sample_shape)
        return self._choose(self.component0.sample(shape), self.component1.sample(shape))

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        shape = torch.Size(sample_shape)
        return self._choose(self.component0.rsample(shape), self.component1.rsample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        score0: Tensor = self.component0.mask(~self._mask).log_prob(value)
        score1: Tensor = self.component1.mask(self._mask).log_prob(value)
        return score0 + score1

    def _noise_score(self, value: Tensor) -> Tensor | float:
        score0, score1 = (noise_score(c, value) for c in (self.component0, self.component1))
        if not isinstance(score0, Tensor) and not isinstance(score1, Tensor):
            return 0.0
        score: Tensor = torch.where(self._mask, score1, score0)
        return score

    @property
    def mean(self) -> Tensor:
        """The mean of each entry."""
        return self._choose(self.component0.mean, self.component1.mean)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        return self._choose(self.component0.variance, self.component1.variance)
