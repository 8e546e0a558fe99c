"""What a collection of weighted runs says about single sites."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pyro._foundation.errors import site_error
from pyro.distributions.empirical import Empirical
from pyro.poutine.trace_struct import Trace

RETURN = "_RETURN"
Sites = str | Sequence[str] | None


class Runs(Protocol):
    """Weighted runs of a model, each of one of several chains."""

    num_chains: int
    exec_traces: list[Trace]
    log_weights: list[Tensor | float]
    chain_ids: list[int]


class EmpiricalMarginal(Empirical):
    """The law of a site's value in weighted runs of a model.

    :param trace_posterior: the runs, a :class:`~pyro.infer.abstract_infer.TracePosterior`.
    :param sites: the name of a site, or a list of names of sites of one shape, whose values are
        stacked on the left of an event; by default what the model returns.
    :param validate_args: whether to check values.
    :raises ValueError: that names the site, where a run lacks it or values differ in shape; where
        chains differ in length.
    :raises RuntimeError: where there are no runs.

    The batch shape is empty, or ``(num_chains,)`` where there are several.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer import Importance
    >>> def model():
    ...     return pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> EmpiricalMarginal(Importance(model, num_samples=5).run(), "z").sample((3,)).shape
    torch.Size([3])
    """

    def __init__(
        self, trace_posterior: Runs, sites: Sites = None, validate_args: bool | None = None
    ) -> None:
        if not trace_posterior.exec_traces:
            raise RuntimeError("The posterior holds no runs yet: call run() first.")
        names = RETURN if sites is None else sites
        values = [_value(record, names) for record in trace_posterior.exec_traces]
        weights = [torch.as_tensor(w).detach() for w in trace_posterior.log_weights]
        if trace_posterior.num_chains == 1:
            samples, log_weights = _stacked(names, values), torch.stack(weights)
        else:
            order = _by_chain(trace_posterior)
            samples = torch.stack([_stacked(names, [values[i] for i in one]) for one in order])
            log_weights = torch.stack([torch.stack([weights[i] for i in one]) for one in order])
        super().__init__(samples, log_weights, validate_args)

    def _get_samples_and_weights(self) -> tuple[Tensor, Tensor]:
        """Return the values and their logarithmic weights; libraries ask for them by this name."""
        return self._samples, self._log_weights


def _value(record: Trace, sites: str | Sequence[str]) -> Tensor:
    if not isinstance(sites, str):
        return _stacked(sites, [_value(record, name) for name in sites])
    if sites not in record.nodes:
        raise site_error(sites, f"a run has no such site; it has {list(record.nodes)}")
    value = record.nodes[sites]["value"]
    if not isinstance(value, Tensor):
        raise site_error(
            sites,
            f"the value is {value!r}, expected a tensor",
            "Return a tensor from the model, or name the sites whose values are wanted.",
        )
    return value


def _stacked(sites: str | Sequence[str], values: list[Tensor]) -> Tensor:
    try:
        return torch.stack(values)
    except RuntimeError as error:
        raise site_error(
            sites,
            f"values of shapes {sorted({tuple(value.shape) for value in values})} do not stack",
            "Ask for sites of different shapes one by one.",
        ) from error


def _by_chain(runs: Runs) -> list[list[int]]:
    order: list[list[int]] = [[] for _ in range(runs.num_chains)]
    for i, chain in enumerate(runs.chain_ids):
        order[chain].append(i)
    if len({len(one) for one in order}) > 1:
        raise ValueError(f"Chains hold {[len(one) for one in order]} runs, expected as many each.")
    return order


class Marginals:
    """The laws of several sites' values in weighted runs of a model, each by itself.

    :param trace_posterior: the runs, a :class:`~pyro.infer.abstract_infer.TracePosterior`.
    :param sites: the name of a site, or a list of names; by default what the model returns.
    :param validate_args: whether to check values.
    :raises TypeError: where ``sites`` is neither.
    :raises ValueError: as :class:`EmpiricalMarginal`.

    >>> import pyro, pyro.distributions as dist
    >>> from pyro.infer import Importance
    >>> def model():
    ...     return pyro.sample("z", dist.Normal(0.0, 1.0))
    >>> posterior = Importance(model, num_samples=5).run()
    >>> list(Marginals(posterior, ["z"]).empirical)
    ['z']
    """

    def __init__(
        self, trace_posterior: Runs, sites: Sites = None, validate_args: bool | None = None
    ) -> None:
        names = [RETURN] if sites is None else [sites] if isinstance(sites, str) else sites
        if not isinstance(names, Sequence):
            raise TypeError(f"sites is the name of a site or a list of names, got {sites!r}.")
        self._num_chains = trace_posterior.num_chains
        self._marginals = OrderedDict(
            (name, EmpiricalMarginal(trace_posterior, name, validate_args)) for name in names
        )

    @property
    def empirical(self) -> "OrderedDict[str, EmpiricalMarginal]":
        """The laws, by site name."""
        return self._marginals

    def support(self, flatten: bool = False) -> "OrderedDict[str, Any]":
        """Return the values of the sites in the runs, by site name.

        :param flatten: whether to join the chains, where there are several; otherwise they stand
            along the first dimension.
        """
        values = OrderedDict()
        for name, law in self._marginals.items():
            samples = law.enumerate_support()
            if self._num_chains > 1:
                samples = samples.transpose(0, 1)
                samples = samples.flatten(0, 1) if flatten else samples
            values[name] = samples
        return values
