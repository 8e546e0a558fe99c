"""A posterior as a collection of weighted runs of the model."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch

from pyro.poutine.handlers import block
from pyro.poutine.trace_struct import Trace


class TracePosterior(ABC):
    """An approximate posterior ``sum_i w_i delta(trace_i)`` over runs of a model.

    A subclass defines ``_traces``, which yields runs with the logarithms of their weights.
    :meth:`run` collects them; calling the object then draws one of them.

    :param num_chains: how many chains the runs come from.
    :raises ValueError: for fewer than one chain.

    >>> import pyro, pyro.distributions as dist
    >>> class Prior(TracePosterior):
    ...     def _traces(self):
    ...         for _ in range(3):
    ...             yield pyro.poutine.trace(model).get_trace(), torch.tensor(0.0)
    >>> def model():
    ...     return pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> list(Prior().run()())
    ['_INPUT', 'z', '_RETURN']
    """

    exec_traces: list[Trace]
    log_weights: list[torch.Tensor | float]

    def __init__(self, num_chains: int = 1) -> None:
        if num_chains < 1:
            raise ValueError(f"num_chains must be a positive integer, got {num_chains}.")
        self.num_chains = num_chains
        self._reset()

    def _reset(self) -> None:
        self.exec_traces = []
        self.log_weights = []

    @abstractmethod
    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[tuple[Trace, torch.Tensor | float]]:
        """Yield runs and the logarithms of their weights.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """

    def run(self, *args: Any, **kwargs: Any) -> "TracePosterior":
        """Collect the weighted runs afresh, hidden from the handlers around.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: this object.
        """
        self._reset()
        with block():
            for record, log_weight in self._traces(*args, **kwargs):
                self.exec_traces.append(record)
                self.log_weights.append(log_weight)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Trace:
        """Draw one of the collected runs, in proportion to its weight.

        :param args: ignored, as the runs are there already.
        :param kwargs: ignored.
        :raises RuntimeError: before :meth:`run` has collected any.
        """
        if not self.exec_traces:
            raise RuntimeError(f"{type(self).__name__} holds no runs yet: call run() first.")
        log_weights = torch.stack([torch.as_tensor(w).detach() for w in self.log_weights])
        drawn = torch.distributions.Categorical(logits=log_weights).sample()
        return self.exec_traces[int(drawn)].copy()
