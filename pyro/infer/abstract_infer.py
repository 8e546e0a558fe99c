"""A posterior as a collection of weighted runs of the model."""

import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from pyro._foundation.progress import progress
from pyro.infer.marginals import EmpiricalMarginal, Marginals, Sites
from pyro.ops.scores import waic
from pyro.poutine.handlers import block, trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from pyro.poutine.sites import (
    site_is_computed,
    site_is_deterministic,
    site_is_equalized,
    site_is_factor,
    site_is_latent,
    site_is_observed,
)
from pyro.poutine.trace_struct import Trace

__all__ = ["EmpiricalMarginal", "Marginals", "TracePosterior", "TracePredictive"]

Run = tuple[Trace, Tensor | float] | tuple[Trace, Tensor | float, int]


class TracePosterior(ABC):
    """An approximate posterior ``sum_i w_i delta(trace_i)`` over runs of a model.

    A subclass defines ``_traces``, which yields runs with the logarithms of their weights, and
    where there are several chains, the chain's number. :meth:`run` collects them; calling the
    object then draws one of them.

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
    log_weights: list[Tensor | float]
    chain_ids: list[int]
    num_samples: int = 0  # how many runs a subclass will yield, where it knows

    def __init__(self, num_chains: int = 1) -> None:
        if num_chains < 1:
            raise ValueError(f"num_chains must be a positive integer, got {num_chains}.")
        self.num_chains = num_chains
        self._reset()

    def _reset(self) -> None:
        self.exec_traces = []
        self.log_weights = []
        self.chain_ids = []
        self._shares: Tensor | None = None

    @abstractmethod
    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[Run]:
        """Yield runs and the logarithms of their weights, and the number of their chain.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        """

    def run(self, *args: Any, **kwargs: Any) -> "TracePosterior":
        """Collect the weighted runs afresh, hidden from the handlers around.

        What takes longer than a second shows a bar, on a terminal.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :returns: this object.
        """
        self._reset()
        with block():
            runs = self._traces(*args, **kwargs)
            for run in progress(runs, type(self).__name__, self.num_samples or None):
                self.exec_traces.append(run[0])
                self.log_weights.append(run[1])
                self.chain_ids.append(run[2] if len(run) > 2 else 0)
        return self

    def _require_runs(self) -> None:
        if not self.exec_traces:
            raise RuntimeError(f"{type(self).__name__} holds no runs yet: call run() first.")

    def __call__(self, *args: Any, **kwargs: Any) -> Trace:
        """Draw one of the collected runs, in proportion to its weight.

        :param args: ignored, as the runs are there already.
        :param kwargs: ignored.
        :raises RuntimeError: before :meth:`run` has collected any.
        """
        self._require_runs()
        if self._shares is None:
            self._shares = self._stacked_log_weights().softmax(0)
        return self.exec_traces[int(torch.multinomial(self._shares, 1))].copy()

    def _stacked_log_weights(self) -> Tensor:
        return torch.stack([torch.as_tensor(weight).detach() for weight in self.log_weights])

    def marginal(self, sites: Sites = None) -> Marginals:
        """Return the laws of single sites' values.

        :param sites: the name of a site, or a list of names; by default what the model returns.
        :raises RuntimeError: before :meth:`run` has collected any runs.
        """
        return Marginals(self, sites)

    def information_criterion(self, pointwise: bool = False) -> "OrderedDict[str, Tensor]":
        """Return the widely applicable information criterion, see :func:`pyro.ops.stats.waic`.

        Every element of an observed site's log density is an observation.

        :param pointwise: whether to give the terms of each observation instead of their sum; they
            have the shape of the log density of the observed site, or are a vector where there are
            several sites.
        :returns: ``"waic"``, and ``"p_waic"``, the effective number of parameters.
        :raises RuntimeError: before :meth:`run` has collected any runs.
        :raises ValueError: where no site is observed.
        """
        self._require_runs()
        scores = torch.stack([_log_likelihood(record) for record in self.exec_traces])
        criterion, count = waic(scores, self._stacked_log_weights().to(scores), pointwise)
        return OrderedDict(waic=criterion, p_waic=count)


def _is_datum(name: str, site: Any) -> bool:
    """Tell whether a site is evidence; what is tied to another with its law kept is, too."""
    if not site_is_observed(site) or site_is_factor(site) or site_is_deterministic(site):
        return False
    return site_is_equalized(site) or not site_is_computed(site)


def _log_likelihood(record: Trace) -> Tensor:
    """Return the log densities of the observations of a run."""
    record.compute_log_prob(_is_datum)
    scores = [site["log_prob"] for name, site in record.nodes.items() if _is_datum(name, site)]
    if not scores:
        raise ValueError(
            f"The model observes no site, only {list(record.nodes)}; the information criterion "
            "is of observations. Pass the data to run()."
        )
    joined: Tensor = scores[0].detach()
    if len(scores) > 1:
        joined = torch.cat([score.detach().reshape(-1) for score in scores])
    return joined


class _Kept(Messenger):
    """Gives sites the values of a recorded run where these belong to them.

    In a plate that runs other elements than those of the record, values are drawn anew.
    """

    def __init__(self, record: Trace, sites: Collection[str] | None) -> None:
        super().__init__()
        self.values = {
            name: site["value"]
            for name, site in record.nodes.items()
            if (site_is_latent(site) if sites is None else name in sites)
        }

    def _pyro_sample(self, msg: Message) -> None:
        value = self.values.get(msg["name"])
        if value is None or not site_is_latent(msg) or _runs_in_part(msg):
            return
        if value.shape == msg["fn"].shape() or not msg["cond_indep_stack"]:
            msg["value"] = value
            msg["done"] = True


def _runs_in_part(msg: Message) -> bool:
    return any(frame.full_size not in (None, frame.size) for frame in msg["cond_indep_stack"])


class TracePredictive(TracePosterior):
    """Runs of a model at draws of a posterior.

    New code uses :class:`~pyro.infer.predictive.Predictive`.

    :param model: the model; leave its data out to predict them.
    :param posterior: the posterior, which has run.
    :param num_samples: how many runs to collect.
    :param keep_sites: names of the sites that take the posterior's values; by default all that it
        drew. A site keeps no value in a plate that now has another size, or is sub-sampled.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer import Importance
    >>> def model(data=None):
    ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...     return pyro.sample("x", dist.Normal(z, 1.0), obs=data)
    >>> posterior = Importance(model, num_samples=5).run(torch.tensor(1.0))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", FutureWarning)
    ...     predictions = TracePredictive(model, posterior, num_samples=3).run()
    >>> predictions.marginal("x").support()["x"].shape
    torch.Size([3])
    """

    def __init__(
        self,
        model: Any,
        posterior: TracePosterior,
        num_samples: int,
        keep_sites: Collection[str] | None = None,
    ) -> None:
        warnings.warn(
            "TracePredictive is deprecated: use pyro.infer.Predictive.", FutureWarning, stacklevel=2
        )
        super().__init__()
        self.model = model
        self.posterior = posterior
        self.num_samples = num_samples
        self.keep_sites = keep_sites

    def _traces(self, *args: Any, **kwargs: Any) -> Iterator[Run]:
        for _ in range(self.num_samples):
            with _Kept(self.posterior(), self.keep_sites):
                record = trace(self.model).get_trace(*args, **kwargs)
            yield record, 0.0

    def marginal(self, sites: Sites = None) -> Marginals:
        """Return the laws of single sites' values in the predictions.

        :param sites: the name of a site, or a list of names; by default what the model returns.
        """
        return Marginals(self, sites)
