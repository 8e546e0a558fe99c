"""What laws over matchings have in common: each source goes to one destination of a set."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions.utils import lazy_property

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution
from pyro.ops.assignments import best, bethe_log_sum, can_sum, draw, enumerate_all, log_sum
from pyro.ops.shapes import broadcast_shape


class MatchingConstraint(constraints.Constraint):
    """Vectors that give each source a destination, so that all destinations are full.

    :param num_destins: how many destinations there are.
    :param capacity: how many sources each takes.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, num_destins: int, capacity: int) -> None:
        self.num_destins = num_destins
        self.capacity = capacity
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Tell which vectors are matchings.

        :param value: vectors, along the rightmost dimension.
        """
        full = torch.arange(self.num_destins, device=value.device).repeat_interleave(self.capacity)
        if value.size(-1) != len(full):
            return value.new_zeros(value.shape[:-1], dtype=torch.bool)
        return (value.sort(-1).values == full).all(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_destins})"


class Matching(TorchDistribution):
    r"""Law of matchings :math:`x` with density :math:`\exp(\sum_s \ell_{s,x_s})/Z`.

    :param logits: the scores :math:`\ell` of pairs, of shape ``(..., sources, destinations)``.
    :param bp_iters: how many rounds of belief propagation shall approximate :math:`Z`; None sums
        exactly, for up to some dozens of sources.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where there are not as many sources as the destinations take.
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 2)}
    has_enumerate_support = True
    capacity: ClassVar[int]

    def __init__(
        self, logits: Tensor, *, bp_iters: int | None = None, validate_args: bool | None = None
    ) -> None:
        name = type(self).__name__
        if logits.dim() < 2 or logits.size(-2) != self.capacity * logits.size(-1):
            per = f"{self.capacity} * " if self.capacity > 1 else ""
            raise ValueError(
                f"{name}: 'logits' has shape {tuple(logits.shape)}, expected (..., {per}size, size)"
                f": a row for each source and a column for each destination."
            )
        if bp_iters is not None and bp_iters < 1:
            raise ValueError(f"{name}: 'bp_iters' is {bp_iters}, expected at least 1, or None.")
        self.logits = logits
        self.bp_iters = bp_iters
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args)

    @staticmethod
    def infer_shapes(logits: Shape) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from that of the parameter.

        :param logits: its shape.
        """
        return torch.Size(logits[:-2]), torch.Size(logits[-2:-1])

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = object.__new__(type(self)) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held.pop("log_partition_function", None)
        held["_batch_shape"] = batch_shape = torch.Size(batch_shape)
        held["logits"] = self.logits.expand(batch_shape + self.logits.shape[-2:])
        return new

    @lazy_property
    def log_partition_function(self) -> Tensor:
        r"""The normaliser :math:`\log Z`, exact or, with ``bp_iters``, Bethe's approximation."""
        if self.bp_iters is not None:
            return bethe_log_sum(self.logits, self.capacity, self.bp_iters)
        if not can_sum(self.logits.size(-1), self.capacity):
            raise ValueError(
                f"{self}: there are too many matchings of {self.logits.size(-2)} sources to sum "
                f"exactly. Pass bp_iters=20 to approximate the sum."
            )
        return log_sum(self.logits, self.capacity)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability.

        :param value: the destination of each source, along the rightmost dimension.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.Size(broadcast_shape(value.shape[:-1], self._batch_shape))
        chosen = value.long().expand(shape + value.shape[-1:])[..., None]
        scores = self.logits.expand(shape + self.logits.shape[-2:]).gather(-1, chosen)
        return scores.sum((-1, -2)) - self.log_partition_function

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw, exactly, whatever ``bp_iters``.

        :param sample_shape: the shape of independent draws.
        :raises NotImplementedError: for more sources than can be summed over.
        """
        if not can_sum(self.logits.size(-1), self.capacity):
            raise NotImplementedError(
                f"{self} draws matchings of up to {20 if self.capacity == 1 else 24} sources."
            )
        return draw(self.logits, self.capacity, sample_shape)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """List all matchings, along a new dimension on the left.

        :param expand: whether to repeat the list for each entry of the batch.
        """
        values = enumerate_all(self.logits.size(-1), self.capacity).to(self.logits.device)
        ones = torch.Size((1,) * len(self._batch_shape))
        values = values.reshape(values.shape[:1] + ones + self._event_shape)
        return values.expand((-1,) + self._batch_shape + self._event_shape) if expand else values

    def mode(self) -> Tensor:  # type: ignore[override]
        """Return a matching of largest probability."""
        return best(self.logits, self.capacity)
