"""Laws derived from other laws: stretched over a batch, or scored in part."""

from typing import Any, Generic, TypeVar

import torch
from torch.distributions import constraints

from pyro.distributions.distribution import noise_score
from pyro.distributions.feasible import feasible_point
from pyro.distributions.remembered import origin_of, remember
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.torch_mixin import (
    NO_SHAPE,
    Shape,
    TorchDistribution,
    TorchDistributionMixin,
    Wrappers,
    as_shape,
)
from pyro.ops.masking import scale_and_mask
from pyro.ops.shapes import broadcast_shape, expands_to

__all__ = [
    "ExpandedDistribution",
    "MaskedDistribution",
    "TorchDistribution",
    "TorchDistributionMixin",
]

V = TypeVar("V")


class FromBase(Generic[V]):
    """An attribute that a derived law takes from its base, unless it has been set on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, law: Any, owner: type) -> V:
        if law is None:
            return False  # type: ignore[return-value]
        value: V = getattr(law.base_dist, self.name)
        return value


class DerivedDistribution(TorchDistribution):
    """A law that draws from a base law and differs from it in shape or in score only.

    :param base_dist: the base law.
    :param batch_shape: the batch shape to have.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = FromBase[bool]("has_rsample")
    has_enumerate_support = FromBase[bool]("has_enumerate_support")

    def __init__(self, base_dist: Any, batch_shape: torch.Size) -> None:
        self.base_dist = base_dist
        self._batch_shape = batch_shape
        self._event_shape = base_dist.event_shape

    def _noise_score(self, value: torch.Tensor) -> torch.Tensor | float:
        return noise_score(self.base_dist, value)

    @constraints.dependent_property
    def support(self) -> Any:
        """The support of the base law."""
        return self.base_dist.support

    def _validate_shape(self, actual: torch.Size, expected: torch.Size) -> None:
        check = getattr(self.base_dist, "_validate_shape", super()._validate_shape)
        check(actual, expected)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, batch_shape={tuple(self.batch_shape)})"


class ExpandedDistribution(DerivedDistribution):
    """A law repeated, independently, along new or stretched batch dimensions.

    Draws along them are independent of each other; nothing is copied.

    :param base_dist: the law to repeat.
    :param batch_shape: the batch shape to have; that of ``base_dist`` must broadcast to it.
    :raises ValueError: where it does not.

    >>> from pyro.distributions.normal import Normal
    >>> ExpandedDistribution(Normal(torch.zeros(2, 1), 1.0), [2, 3])().shape
    torch.Size([2, 3])
    """

    def __init__(self, base_dist: Any, batch_shape: Shape = NO_SHAPE) -> None:
        batch_shape = as_shape(batch_shape)
        if not expands_to(base_dist.batch_shape, batch_shape):
            raise ValueError(
                f"{base_dist} has batch shape {tuple(base_dist.batch_shape)}, which does not "
                f"expand to {tuple(batch_shape)}."
            )
        super().__init__(base_dist, batch_shape)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "ExpandedDistribution":
        """Return the base law, repeated to another batch shape.

        :param batch_shape: the batch shape to have.
        :param _instance: not used: this class has no parameters of its own.
        """
        if not expands_to(self.batch_shape, batch_shape):
            raise ValueError(f"{self} does not expand to {tuple(batch_shape)}.")
        new = ExpandedDistribution(self.base_dist, batch_shape)
        new.__dict__.update({k: v for k, v in vars(self).items() if k == "has_rsample"})
        return new

    def _draw(self, draw: Any, sample_shape: Shape) -> torch.Tensor:
        """Draw once for each repetition, then move those dimensions to where they belong."""
        sample_shape, target = as_shape(sample_shape), self._batch_shape
        base = self.base_dist.batch_shape
        own = torch.Size((1,) * (len(target) - len(base))) + base
        fresh = torch.Size([n if n != k else 1 for n, k in zip(target, own, strict=True)])
        value: torch.Tensor = draw(sample_shape + fresh)
        value = value.reshape(sample_shape + fresh + own + self._event_shape)
        first, rank = len(sample_shape), len(target)
        order = [first + k for i in range(rank) for k in (i, i + rank)]
        rest = range(first + 2 * rank, value.dim())
        value = value.permute(*range(first), *order, *rest)
        return value.reshape(sample_shape + target + self._event_shape)

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        return self._draw(self.base_dist.sample, sample_shape)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        return self._draw(self.base_dist.rsample, sample_shape)

    def _spread(self, tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor):
            return tensor
        return tensor.expand(broadcast_shape(tensor.shape, self._batch_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of a value.

        :param value: the value; what lacks batch dimensions is scored once for each of them.
        """
        result: torch.Tensor = self._spread(self.base_dist.log_prob(value))
        return result

    def score_parts(self, value: torch.Tensor) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param value: a value that this law drew.
        """
        if "has_rsample" in vars(self):
            return super().score_parts(value)
        return ScoreParts(*map(self._spread, self.base_dist.score_parts(value)))

    def _noise_score(self, value: torch.Tensor) -> torch.Tensor | float:
        score: torch.Tensor | float = self._spread(super()._noise_score(value))
        return score

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        """
        values: torch.Tensor = self.base_dist.enumerate_support(expand=False)
        ones = torch.Size((1,) * len(self._batch_shape))
        values = values.reshape(values.shape[:1] + ones + self._event_shape)
        return values.expand((-1,) + self._batch_shape + self._event_shape) if expand else values

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Multiply this density by a conjugate one.

        :param other: a law over the same values.
        """
        if isinstance(other, ExpandedDistribution):
            other = other.base_dist.expand(other.batch_shape)
        updated, log_normalizer = self.base_dist.conjugate_update(other)
        batch_shape = broadcast_shape(self._batch_shape, updated.batch_shape)
        return updated.expand(batch_shape), log_normalizer.expand(batch_shape)

    @property
    def mean(self) -> torch.Tensor:
        """The expectation."""
        mean: torch.Tensor = self.base_dist.mean
        return mean.expand(self._batch_shape + self._event_shape)

    @property
    def variance(self) -> torch.Tensor:
        """The variance of each entry."""
        variance: torch.Tensor = self.base_dist.variance
        return variance.expand(self._batch_shape + self._event_shape)

    def entropy(self) -> torch.Tensor:
        """Return the entropy."""
        result: torch.Tensor = self._spread(self.base_dist.entropy())
        return result


class MaskedDistribution(DerivedDistribution):
    """A law that scores a part of its batch only.

    ``log_prob(x)`` is the base law's where the mask holds and 0 elsewhere, whatever ``x`` is there.
    Values are still drawn everywhere.

    :param base_dist: the law.
    :param mask: True, False, or a boolean tensor that broadcasts with the batch shape. With False
        the base law is not asked for its density at all.
    :raises TypeError: where the mask is neither.

    >>> from pyro.distributions.normal import Normal
    >>> MaskedDistribution(Normal(0.0, 1.0), False).log_prob(torch.ones(2))
    tensor([0., 0.])
    """

    def __init__(self, base_dist: Any, mask: torch.Tensor | bool) -> None:
        if isinstance(mask, torch.Tensor):
            if mask.dtype is not torch.bool:
                raise TypeError(
                    f"A mask must be boolean, not {mask.dtype}: pass mask.bool(). To weight log "
                    f"densities use pyro.poutine.scale."
                )
            batch_shape = base_dist.batch_shape
            if mask.shape != batch_shape:
                batch_shape = torch.Size(broadcast_shape(mask.shape, batch_shape))
                mask = mask.expand(batch_shape)
                base_dist = base_dist.expand(batch_shape)
        elif isinstance(mask, bool):
            batch_shape = base_dist.batch_shape
        else:
            raise TypeError(f"A mask is a bool or a boolean tensor, not {mask!r}.")
        self._mask = mask
        super().__init__(base_dist, batch_shape)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "MaskedDistribution":
        """Return the law repeated, with its mask, to another batch shape.

        :param batch_shape: the batch shape to have.
        :param _instance: not used: this class has no parameters of its own.
        """
        batch_shape = as_shape(batch_shape)
        new = object.__new__(type(self))
        state = new.__dict__
        state.update(self.__dict__)
        state["base_dist"] = self.base_dist.expand(batch_shape)
        state["_batch_shape"] = batch_shape
        if isinstance(self._mask, torch.Tensor):
            state["_mask"] = self._mask.expand(batch_shape)
        return new

    def sample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        value: torch.Tensor = self.base_dist.sample(sample_shape)
        return value

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> torch.Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        value: torch.Tensor = self.base_dist.rsample(sample_shape)
        return value

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of a value, 0 where the mask does not hold.

        :param value: the value. Neither it nor its gradient matters where it is masked out.
        """
        mask = self._mask
        if mask is True:
            result: torch.Tensor = self.base_dist.log_prob(value)
            return result
        if mask is False:
            shape: tuple[int, ...] = value.shape[: value.dim() - len(self._event_shape)]
            if shape != self._batch_shape:
                shape = broadcast_shape(shape, self._batch_shape)
            dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
            return torch.zeros(shape, dtype=dtype, device=value.device)
        scored: torch.Tensor = self.base_dist.log_prob(self._without_missing(value))
        return torch.where(mask, scored, torch.zeros_like(scored))

    def _without_missing(self, value: torch.Tensor) -> torch.Tensor:
        """Put a point of the support where the mask does not hold.

        Zero times the gradient at a missing value would be NaN, were it scored there.
        """
        shape = self._batch_shape + self._event_shape
        if value.shape != shape:
            self._validate_shape(value.shape, shape)
        try:
            point = feasible_point(self.base_dist.support, self._event_shape)
        except NotImplementedError:
            return value
        if point is None:
            return value
        if not isinstance(point, torch.Tensor):
            point = torch.scalar_tensor(point)
        mask = self._mask[(...,) + (None,) * len(self._event_shape)]  # type: ignore[index]
        point = point.to(value)
        whole, origin = torch.where(mask, value, point), origin_of(value)
        return whole if origin is None else remember(whole, torch.where(mask, origin, point))

    def score_parts(self, value: torch.Tensor) -> ScoreParts:
        """Return the parts of the log density that an ELBO's gradient estimator needs.

        :param value: a value that this law drew.
        """
        log_prob = self.log_prob(value)
        if self.has_rsample:
            return ScoreParts(log_prob, self._noise_score(value), log_prob)
        # The value was drawn from the whole density, so its score is not masked.
        return ScoreParts(log_prob, self.base_dist.log_prob(value), 0.0)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """List the values that the law can take, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        """
        values: torch.Tensor = self.base_dist.enumerate_support(expand=expand)
        return values

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Multiply this density by a conjugate one.

        :param other: a law over the same values, of the base law's class.
        """
        updated, log_normalizer = self.base_dist.conjugate_update(other)
        mask = self._mask
        if mask is True:
            return updated, log_normalizer
        kept = torch.as_tensor(mask)
        parameters = {
            name: torch.where(
                kept[(...,) + (None,) * constraint.event_dim],
                getattr(updated, name),
                getattr(other, name),
            )
            for name, constraint in updated.arg_constraints.items()
        }
        return type(updated)(**parameters), torch.where(kept, log_normalizer, 0.0)

    @property
    def mean(self) -> torch.Tensor:
        """The expectation of the base law."""
        mean: torch.Tensor = self.base_dist.mean
        return mean

    @property
    def variance(self) -> torch.Tensor:
        """The variance of the base law."""
        variance: torch.Tensor = self.base_dist.variance
        return variance

    def entropy(self) -> torch.Tensor:
        """Return the expectation of minus the log density as masked."""
        entropy: torch.Tensor = self.base_dist.entropy()
        return scale_and_mask(entropy, mask=self._mask)


Wrappers.expanded = ExpandedDistribution
Wrappers.masked = MaskedDistribution
