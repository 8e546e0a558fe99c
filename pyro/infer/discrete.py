"""Posterior draws and best values of the discrete sites of a model."""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, TypeVar, overload

from pyro._foundation.warnings import warn_once
from pyro.infer.elbo import Args, Kwargs, Program
from pyro.infer.enum_posterior import posterior_values
from pyro.infer.plates import guess_max_plate_nesting
from pyro.infer.traceenum_elbo import BackwardSampleMessenger, TraceEnum_ELBO, refuse_enumeration
from pyro.ops.rings import MapRing, SampleRing
from pyro.poutine.handlers import block, enum, replay, trace
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.sites import prune_subsample_sites
from pyro.poutine.trace_struct import Trace

F = TypeVar("F", bound=Callable[..., Any])
_RINGS = {0: MapRing, 1: SampleRing}


class SamplePosteriorMessenger(ReplayMessenger):
    """Replay the drawn sites of a recorded run whose enumerated sites were given posterior values.

    :param trace: the recorded run.
    :param params: parameter values by name.
    """


@overload
def infer_discrete(
    fn: F,
    first_available_dim: int | None = None,
    temperature: int = 1,
    *,
    strict_enumeration_warning: bool = True,
) -> F: ...


@overload
def infer_discrete(
    fn: None = None,
    first_available_dim: int | None = None,
    temperature: int = 1,
    *,
    strict_enumeration_warning: bool = True,
) -> Callable[[F], F]: ...


def infer_discrete(
    fn: Callable[..., Any] | None = None,
    first_available_dim: int | None = None,
    temperature: int = 1,
    *,
    strict_enumeration_warning: bool = True,
) -> Any:
    """Let a model run with its enumerated sites drawn from their exact joint posterior.

    A call runs the model twice: with the values of all sites that ask to be enumerated
    (``infer={"enumerate": "parallel"}``) at once, and then with those that were chosen, given what
    is observed and what the other sites drew. To fix the others, condition the model on them or
    replay it from a guide first. To be used as a decorator too.

    :param fn: the model.
    :param first_available_dim: ``-1 - max_plate_nesting``; found by one more run if left out.
    :param temperature: 1 to draw from the posterior; 0 for its mode, the best joint values.
    :param strict_enumeration_warning: whether to warn where no site is enumerated.
    :returns: a function with the model's arguments and result, whose sites, when recorded, have the
        chosen values.
    :raises ValueError: for another temperature or a first dim that is not negative, and as
        :class:`~pyro.infer.traceenum_elbo.TraceEnum_ELBO`.

    >>> import torch, pyro, pyro.distributions as dist
    >>> from pyro.infer.enum import config_enumerate
    >>> @infer_discrete(first_available_dim=-2, temperature=0)
    ... @config_enumerate
    ... def clusters(data, locs=torch.tensor([0.0, 10.0])):
    ...     with pyro.plate("data", len(data)):
    ...         z = pyro.sample("z", dist.Categorical(torch.ones(2)))
    ...         pyro.sample("x", dist.Normal(locs[z], 1.0), obs=data)
    ...     return z
    >>> clusters(torch.tensor([9.0, 1.0, 2.0]))
    tensor([1, 0, 0])

    Source: Obermeyer et al. 2019, arXiv:1902.03210.
    """
    if temperature not in _RINGS:
        raise ValueError(
            f"temperature must be 1, for a draw from the posterior, or 0, for its mode, got "
            f"{temperature!r}."
        )
    if fn is None:
        return partial(
            infer_discrete,
            first_available_dim=first_available_dim,
            temperature=temperature,
            strict_enumeration_warning=strict_enumeration_warning,
        )
    inferred = _Inferred(fn, first_available_dim, temperature, strict_enumeration_warning)
    return wraps(fn, updated=())(inferred)


class _Inferred:
    """A model that runs with posterior values."""

    def __init__(self, fn: Program, first: int | None, temperature: int, strict: bool) -> None:
        self.fn = fn
        self.first = first
        self.ring = _RINGS[temperature]
        self.strict = strict

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        first = self.first
        if first is None:
            first = -1 - guess_max_plate_nesting(self.fn, _no_guide, args, kwargs)
        with block():
            record = trace(enum(self.fn, first_available_dim=first)).get_trace(*args, **kwargs)
        scored = prune_subsample_sites(record)
        scored.compute_log_prob()
        values = posterior_values(scored, Trace(), self.ring)
        if not values and self.strict:
            warn_once(
                ("nothing to infer", getattr(self.fn, "__name__", "")),
                "infer_discrete found no site to enumerate. Decorate the model with "
                "config_enumerate, or write infer={'enumerate': 'parallel'} at the sites.",
            )
        for name, value in values.items():
            record.nodes[name] = {**record.nodes[name], "value": value}
        with SamplePosteriorMessenger(trace=_drawn(record)):
            return self.fn(*args, **kwargs)


def _no_guide(*args: Any, **kwargs: Any) -> None:
    """A guide of nothing."""


def _drawn(record: Trace) -> Trace:
    """The part of a run that another is to repeat: what was given there is given again."""
    drawn = record.copy()
    for name, site in record.nodes.items():
        if site["type"] != "sample" or site["is_observed"]:
            drawn.remove_node(name)
    return drawn


class TraceEnumSample_ELBO(TraceEnum_ELBO):
    """A :class:`TraceEnum_ELBO` that can draw the discrete sites after each loss, cheaply.

    :meth:`sample_saved` after :meth:`loss` draws as :meth:`sample_posterior` does, from the runs
    that gave the loss.

    >>> import torch, pyro, pyro.distributions as dist
    >>> def model():
    ...     z = pyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    ...     pyro.sample("x", dist.Delta(z), obs=torch.tensor(1.0))
    ...     return z
    >>> elbo = TraceEnumSample_ELBO(max_plate_nesting=0)
    >>> loss = elbo.loss(model, lambda: None)
    >>> elbo.sample_saved()
    tensor(1.)
    """

    _saved: tuple[Program, Args, Kwargs, Trace, Trace] | None = None

    def _runs(
        self, model: Program, guide: Program, args: Args, kwargs: Kwargs
    ) -> Iterator[tuple[Trace, Trace]]:
        for model_trace, guide_trace in super()._runs(model, guide, args, kwargs):
            self._saved = model, args, kwargs, model_trace, guide_trace
            yield model_trace, guide_trace

    def sample_saved(self) -> Any:
        """Run the model at the latest draw of the guide, its enumerated sites drawn anew.

        :returns: what the model returns.
        :raises ValueError: before the first loss.
        :raises NotImplementedError: where the guide enumerates.
        """
        if self._saved is None:
            raise ValueError("sample_saved() goes on from the latest loss; call loss() first.")
        model, args, kwargs, model_trace, guide_trace = self._saved
        refuse_enumeration("sample_saved", guide_trace)
        with BackwardSampleMessenger(model_trace, guide_trace):
            return replay(model, trace=guide_trace)(*args, **kwargs)
