"""The law of weighted samples."""

import math
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.categorical import Categorical
from pyro.distributions.torch_mixin import NO_SHAPE, Shape, TorchDistribution, as_shape


class Empirical(TorchDistribution):
    r"""Law of a draw from weighted samples: :math:`p(x) = \sum_i w_i [x = x_i] / \sum_i w_i`.

    Scoring compares values exactly and is meant for discrete samples: ``log_prob`` of what is no
    sample is minus infinity.

    :param samples: the samples, of shape ``(*batch, N, *event)``.
    :param log_weights: the logarithms of their weights, up to a constant; of shape ``(*batch, N)``.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where the shapes do not fit.

    >>> law = Empirical(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.5, 0.2, 0.3]).log())
    >>> law.mean, law.log_prob(torch.tensor(2.0)).exp()
    (tensor(1.5000), tensor(0.5000))
    """

    arg_constraints: dict[str, Any] = {}
    has_enumerate_support = True

    def __init__(
        self, samples: Tensor, log_weights: Tensor, validate_args: bool | None = None
    ) -> None:
        rank = log_weights.dim()
        if not rank or samples.shape[:rank] != log_weights.shape:
            raise ValueError(
                f"Empirical: 'log_weights' has shape {tuple(log_weights.shape)}, expected the "
                f"leftmost dimensions of 'samples', which has shape {tuple(samples.shape)}, up to "
                "that of the samples."
            )
        self._samples = samples
        self._log_weights = log_weights
        super().__init__(log_weights.shape[:-1], samples.shape[rank:], validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        """All events of its shape and type, whether there is such a sample or not."""
        count = len(self._event_shape)
        numbers = constraints.real if self._samples.is_floating_point() else constraints.integer
        return constraints.independent(numbers, count) if count else numbers

    @property
    def sample_size(self) -> int:
        """The number of samples."""
        return self._log_weights.size(-1)

    @property
    def log_weights(self) -> Tensor:
        """The logarithms of the samples' weights, as they were given."""
        return self._log_weights

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Empirical":
        """Return the law repeated to another batch shape.

        :param batch_shape: the batch shape to have; the present one must broadcast to it.
        :param _instance: an object to fill in, passed by subclasses.
        """
        new: Empirical = object.__new__(Empirical) if _instance is None else _instance
        held = new.__dict__
        held.update(self.__dict__)
        held["_batch_shape"] = batch_shape = as_shape(batch_shape)
        whole = batch_shape + self._log_weights.shape[-1:]
        held["_log_weights"] = self._log_weights.expand(whole)
        held["_samples"] = self._samples.expand(whole + self._event_shape)
        return new

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw samples in proportion to their weights.

        :param sample_shape: the shape of independent draws.
        """
        chosen = Categorical(logits=self._log_weights, validate_args=False).sample(sample_shape)
        if not self._batch_shape:
            return self._samples[chosen]
        rank = len(self._batch_shape)
        places = [
            torch.arange(size, device=chosen.device).reshape((-1,) + (1,) * (rank - 1 - i))
            for i, size in enumerate(self._batch_shape)
        ]
        places.append(chosen)
        return self._samples[tuple(places)]

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the share of the weights that lies on a value.

        :param value: the value.
        """
        if self._validate_args:
            self._validate_sample(value)
        rank = len(self._event_shape)
        equal = self._samples == value.unsqueeze(-1 - rank)
        if rank:
            equal = equal.flatten(-rank).all(-1)
        shares = self._log_weights.log_softmax(-1)
        return torch.where(equal, shares, -math.inf).logsumexp(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return the samples, equal ones too.

        :param expand: not used: every element of the batch has samples of its own.
        :returns: shape ``(N, *batch, *event)``.
        """
        return self._samples.movedim(len(self._batch_shape), 0)

    def _expectation(self, values: Tensor) -> Tensor:
        shares = self._log_weights.softmax(-1)
        shares = shares.reshape(shares.shape + (1,) * len(self._event_shape))
        return (shares * values).sum(len(self._batch_shape))

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the samples."""
        return self._expectation(self._samples)

    @property
    def variance(self) -> Tensor:
        """The weighted mean of the squared deviations from the mean."""
        apart = self._samples - self.mean.unsqueeze(len(self._batch_shape))
        return self._expectation(apart.square())
