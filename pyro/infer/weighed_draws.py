"""Weighted draws of a model's sites, and chains that turn them into equally weighted ones."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from pyro.infer.log_weights import LogWeightsMixin

T = TypeVar("T")


class CloneMixin:
    """Gives a class :meth:`clone`."""

    def clone(self: T) -> T:
        """Return a copy whose tensors are copies too, also those in dictionaries."""
        cloned = copy.copy(self)
        cloned.__dict__.update({name: _clone(value) for name, value in vars(self).items()})
        return cloned


def _clone(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _clone(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_clone, value))
    return value.clone() if isinstance(value, Tensor) else value


@dataclass(eq=False)
class WeighedPredictiveResults(LogWeightsMixin, CloneMixin):
    r"""Draws of a model's sites with the logarithms of their weights.

    :param samples: values by site name, with the draws along the first dimension.
    :param log_weights: :math:`\log p(x, z) - \log q(z)` of each draw.
    :param guide_log_prob: :math:`\log q(z)` of each draw.
    :param model_log_prob: :math:`\log p(x, z)` of each draw.

    >>> drawn = WeighedPredictiveResults(
    ...     {"z": torch.ones(2)}, torch.zeros(2), torch.zeros(2), torch.zeros(2)
    ... )
    >>> drawn.get_normalized_weights()
    tensor([0.5000, 0.5000])
    """

    samples: Any
    log_weights: Tensor
    guide_log_prob: Tensor
    model_log_prob: Tensor


class MHResampler(torch.nn.Module):
    r"""Chains of draws that converge to the posterior, from weighted draws of a guide.

    Every call asks the sampler for as many draws as there are chains, and chain :math:`i` moves to
    its new draw with probability :math:`\min(1, w_i' / w_i)`: an independence sampler, under which
    the law :math:`p(z \mid x)` is stationary.

    :param sampler: a :class:`~pyro.infer.predictive.WeighedPredictive`, or a function that returns
        such results.
    :param source_samples_slice: which of the results of the sampler to keep, counted by calls; by
        default none. ``slice(-10, None)`` keeps the last ten, ``slice(10, None)`` all but ten.
    :param stored_samples_slice: which of the states of the chains to keep, likewise.
    :raises ValueError: for slices that cannot be told of a stream, such as ``slice(None, -1)``.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer import WeighedPredictive
    >>> def model():
    ...     pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(0.0, 2.0))
    >>> resampler = MHResampler(WeighedPredictive(model, guide=guide, num_samples=3, parallel=True))
    >>> while resampler.get_min_sample_transition_count() < 10:
    ...     drawn = resampler()
    >>> drawn.samples["z"].shape
    torch.Size([3])

    Source: Tierney 1994, *Markov Chains for Exploring Posterior Distributions*, Annals of
    Statistics 22(4), doi:10.1214/aos/1176325750.
    """

    def __init__(
        self,
        sampler: Callable[..., WeighedPredictiveResults],
        source_samples_slice: slice = slice(0),
        stored_samples_slice: slice = slice(0),
    ) -> None:
        super().__init__()
        for which in (source_samples_slice, stored_samples_slice):
            _check_slice(which)
        self.sampler = sampler
        self.source_samples_slice = source_samples_slice
        self.stored_samples_slice = stored_samples_slice
        self.samples: WeighedPredictiveResults | None = None
        self.transition_count = torch.tensor(0)
        self._calls = 0
        self._source_samples: list[WeighedPredictiveResults] = []
        self._stored_samples: list[WeighedPredictiveResults] = []

    def forward(self, *args: Any, **kwargs: Any) -> WeighedPredictiveResults:
        """Take every chain one step on, and return where they are.

        :param args: arguments of the sampler.
        :param kwargs: keyword arguments of the sampler.
        """
        with torch.no_grad():
            drawn = self.sampler(*args, **kwargs)
            if self.samples is None:
                self.samples = drawn.clone()
                self.transition_count = torch.zeros(drawn.log_weights.shape, dtype=torch.long)
            else:
                self._move(self.samples, drawn)
        state = self.samples.clone()
        self._keep(self._source_samples, drawn, self.source_samples_slice)
        self._keep(self._stored_samples, state, self.stored_samples_slice)
        self._calls += 1
        return state

    def _keep(self, held: list[T], new: T, which: slice) -> None:
        """Add what is new to what is kept of all calls so far, if it belongs there."""
        start, stop, step = which.start or 0, which.stop, which.step or 1
        if start < 0 and stop is None and step == 1:  # the last so many
            held.append(new)
            del held[:start]
        elif self._calls in range(start, self._calls + 1 if stop is None else stop, step):
            held.append(new)

    def _move(self, state: WeighedPredictiveResults, drawn: WeighedPredictiveResults) -> None:
        log_uniform = -torch.empty_like(state.log_weights).exponential_()
        # a chain whose draw is impossible takes any other; the difference would not be a number
        is_taken = (
            log_uniform < drawn.log_weights - state.log_weights
        ) | state.log_weights.isneginf()
        self.transition_count = self.transition_count + is_taken.long().cpu()
        for name, value in drawn.samples.items():
            state.samples[name] = _choose(is_taken, value, state.samples[name])
        for name in ("log_weights", "guide_log_prob", "model_log_prob"):
            setattr(state, name, torch.where(is_taken, getattr(drawn, name), getattr(state, name)))

    def get_min_sample_transition_count(self) -> Tensor:
        """Return how often the chain has moved that moved least often."""
        return self.transition_count.min()

    def get_total_transition_count(self) -> Tensor:
        """Return how often the chains have moved, all together."""
        return self.transition_count.sum()

    def get_source_samples(self) -> WeighedPredictiveResults:
        """Return the results of the sampler that are kept, joined along the first dimension.

        :raises RuntimeError: where none is kept.
        """
        return self.get_samples(self._source_samples)

    def get_stored_samples(self) -> WeighedPredictiveResults:
        """Return the states of the chains that are kept, joined along the first dimension.

        :raises RuntimeError: where none is kept.
        """
        return self.get_samples(self._stored_samples)

    def get_samples(self, samples: Sequence[WeighedPredictiveResults]) -> WeighedPredictiveResults:
        """Join results along the first dimension.

        :param samples: the results.
        :raises RuntimeError: where there are none.
        """
        if not samples:
            raise RuntimeError(
                "MHResampler keeps no samples: pass source_samples_slice=slice(None) or "
                "stored_samples_slice=slice(None) to keep all, slice(-100, None) for the last 100."
            )
        names = samples[0].samples
        return WeighedPredictiveResults(
            {name: _join([part.samples[name] for part in samples]) for name in names},
            torch.cat([part.log_weights for part in samples]),
            torch.cat([part.guide_log_prob for part in samples]),
            torch.cat([part.model_log_prob for part in samples]),
        )


def _check_slice(which: slice) -> None:
    start, step = which.start or 0, which.step or 1
    is_tail = start < 0 and which.stop is None and step == 1
    if not is_tail and (start < 0 or (which.stop or 0) < 0 or step < 0):
        raise ValueError(
            f"{which} counts from an end that is not there yet. Use slice(-n, None) for the last n "
            "calls, or numbers from the beginning."
        )


def _choose(is_taken: Tensor, new: Any, old: Any) -> Any:
    """Take the new value of the chains that move, also inside of what a model returned."""
    if isinstance(new, Mapping):
        return {key: _choose(is_taken, part, old[key]) for key, part in new.items()}
    if isinstance(new, tuple | list):
        return type(new)(_choose(is_taken, *parts) for parts in zip(new, old, strict=True))
    if not isinstance(new, Tensor):
        return new
    return torch.where(is_taken.reshape((-1,) + (1,) * (new.dim() - 1)), new, old)


def _join(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _join([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_join(list(part)) for part in zip(*parts, strict=True))
    return torch.cat(parts) if isinstance(first, Tensor) else first
