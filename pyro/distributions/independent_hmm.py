"""Series of vectors whose entries are independent of each other."""

from typing import Any

from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.hidden_markov import HiddenMarkovModel
from pyro.distributions.torch_distribution import FromBase
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, as_shape


class IndependentHMM(HiddenMarkovModel):
    r"""Law of a series of vectors, each entry of which is a series of its own.

    .. math:: \log p(x) = \sum_{i} \log p_i(x_{1i}, \dots, x_{Ti})

    :param base_dist: a hidden Markov model of the entries, of batch shape
        ``batch_shape + (obs_dim,)`` and event shape ``(T, 1)``. This law has batch shape
        ``batch_shape`` and event shape ``(T, obs_dim)``.
    :raises ValueError: where it has another shape.

    Its support is that of ``base_dist``.

    >>> import torch
    >>> from pyro.distributions.gaussian_hmm import GaussianHMM
    >>> from pyro.distributions.normal import Normal
    >>> noise, eye = Normal(torch.zeros(1), 1.0).to_event(1), torch.eye(1)
    >>> walk = GaussianHMM(noise, eye, noise, eye, noise, duration=5)
    >>> IndependentHMM(walk.expand([3])).event_shape
    torch.Size([5, 3])
    """

    arg_constraints = {}
    has_rsample = FromBase[bool]("has_rsample")

    def __init__(self, base_dist: Any) -> None:
        if not isinstance(base_dist, HiddenMarkovModel) or base_dist.event_shape[1:] != (1,):
            raise ValueError(
                f"IndependentHMM takes a hidden Markov model of numbers, of event shape (T, 1), "
                f"not {base_dist}."
            )
        if not base_dist.batch_shape:
            raise ValueError(
                f"IndependentHMM: {base_dist} has no batch dimension, of which the rightmost is "
                "that of the entries. Expand it."
            )
        self.base_dist: Any = base_dist
        *batch_shape, size = base_dist.batch_shape
        duration = base_dist.duration
        super().__init__(duration, batch_shape, (duration or 1, size))

    @constraints.dependent_property(event_dim=2)
    def support(self) -> Any:
        """The support of the base law."""
        return self.base_dist.support

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return a law that is independent and identical along new or stretched batch dimensions.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new = super().expand(batch_shape, _instance)
        new.base_dist = self.base_dist.expand(as_shape(batch_shape) + self._event_shape[1:])
        return new

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw differentiably.

        :param sample_shape: the shape of independent draws.
        """
        value: Tensor = self.base_dist.rsample(sample_shape)
        return value[..., 0].mT

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw without gradients.

        :param sample_shape: the shape of independent draws.
        """
        value: Tensor = self.base_dist.sample(sample_shape)
        return value[..., 0].mT

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, that of all entries together.

        :param value: the series, of shape ``(..., T, obs_dim)``.
        """
        if self._validate_args:
            self._validate_sample(value)
        parts: Tensor = self.base_dist.log_prob(value.mT[..., None])
        return parts.sum(-1)
