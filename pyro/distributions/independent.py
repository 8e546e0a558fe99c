"""A law whose rightmost batch dimensions are scored together."""

from typing import Any

import torch

from pyro.distributions.distribution import noise_score
from pyro.distributions.law import TorchLaw
from pyro.distributions.torch_distribution import FromBase
from pyro.distributions.torch_mixin import Shape, TorchDistributionMixin, Wrappers
from pyro.ops.shapes import sum_rightmost


class Independent(  # type: ignore[override]
    TorchLaw, torch.distributions.Independent, TorchDistributionMixin
):
    r"""Law of one event made of many independent ones: :math:`\log p(x)=\sum_i\log p_i(x_i)`.

    :param base_distribution: the law of the parts.
    :param reinterpreted_batch_ndims: how many of its batch dimensions, from the right, are parts of
        the event.
    :param validate_args: whether to check; it is the base law that checks parameters and values.
    :raises ValueError: where the base law has fewer batch dimensions.

    >>> from pyro.distributions.normal import Normal
    >>> Independent(Normal(torch.zeros(3, 2), 1.0), 1).event_shape
    torch.Size([2])
    """

    has_rsample = FromBase[bool]("has_rsample")

    def __init__(
        self,
        base_distribution: Any,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        base_shape = base_distribution.batch_shape
        cut = len(base_shape) - reinterpreted_batch_ndims
        if cut < 0 or reinterpreted_batch_ndims < 0:
            raise ValueError(
                f"{base_distribution} has {len(base_shape)} batch dimensions, {tuple(base_shape)}, "
                f"of which {reinterpreted_batch_ndims} cannot become parts of the event. Expand "
                f"the law first, or give its parameters those dimensions."
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self._batch_shape = base_shape[:cut]
        self._event_shape = base_shape[cut:] + base_distribution.event_shape
        if validate_args is not None:
            self._validate_args = validate_args

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        batch_shape = torch.Size(batch_shape)
        new = self._pass_on(self._get_checked_instance(Independent, _instance))
        held = new.__dict__
        count = self.reinterpreted_batch_ndims
        held["base_dist"] = self.base_dist.expand(batch_shape + self._event_shape[:count])
        held["reinterpreted_batch_ndims"] = count
        held["_batch_shape"] = batch_shape
        held["_event_shape"] = self._event_shape
        return new

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        """Move batch dimensions into the event, or back out of it.

        :param reinterpreted_batch_ndims: as for every law; a negative number moves back at most as
            many as were moved in.
        """
        more = reinterpreted_batch_ndims
        count = self.reinterpreted_batch_ndims
        count += len(self._batch_shape) if more is None else more
        if more == 0:
            return self
        if count < 0:
            return TorchDistributionMixin.to_event(self, count)
        if count > len(self.base_dist.batch_shape):
            return TorchDistributionMixin.to_event(self, more)
        law = (
            Independent(self.base_dist, count)
            if count
            else self.base_dist.expand(self.base_dist.batch_shape)
        )
        return self._pass_on(law) if isinstance(law, Independent) else law

    @staticmethod
    def infer_shapes(**kwargs: Any) -> tuple[torch.Size, torch.Size]:
        """Not offered: the shapes follow from the base law, not from those of parameters.

        :param kwargs: shapes by name.
        :raises NotImplementedError: always.
        """
        raise NotImplementedError("Independent has no parameters of its own to infer shapes from.")

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, summed over the parts of an event.

        :param value: the value.
        """
        parts: torch.Tensor = self.base_dist.log_prob(value)
        return sum_rightmost(parts, self.reinterpreted_batch_ndims)

    def _noise_score(self, value: torch.Tensor) -> torch.Tensor | float:
        score = noise_score(self.base_dist, value)
        if isinstance(score, torch.Tensor):
            return sum_rightmost(score, self.reinterpreted_batch_ndims)
        return score

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Multiply this density by a conjugate one.

        :param other: a law over the same values, with as many event dimensions.
        """
        count = self.reinterpreted_batch_ndims
        updated, log_normalizer = self.base_dist.conjugate_update(other.to_event(-count))
        return updated.to_event(count), sum_rightmost(log_normalizer, count)


Wrappers.independent = Independent
