"""``trace``: record a run."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from pyro._foundation.threads import PerThread
from pyro.poutine.messenger import SUSPENDED, HandledCallable, Messenger, refuse_suspended
from pyro.poutine.runtime import Message
from pyro.poutine.shape_table import TITLE, append_shapes
from pyro.poutine.sites import site_is_sample, site_is_subsample, site_is_untraced
from pyro.poutine.trace_struct import Trace

Self = TypeVar("Self", bound="TraceMessenger")


class TraceMessenger(Messenger):
    """Record the sites of a run in a :class:`~pyro.poutine.trace_struct.Trace`.

    Called on a model it gives a model that also has ``get_trace``; as a context manager the record
    stands in its ``trace``.

    :param graph_type: ``"flat"``, or ``"dense"`` to add the edges that plates permit.
    :param param_only: record parameters only.

    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def model(mean):
    ...     return pyro.sample("x", dist.Normal(mean, 1.0))
    >>> poutine.trace(model).get_trace(0.0).nodes["x"]["fn"].loc
    tensor(0.)
    >>> with poutine.trace() as record:
    ...     _ = model(0.0)
    >>> list(record.trace)
    ['x']
    """

    def __init__(self, graph_type: str | None = None, param_only: bool | None = None) -> None:
        super().__init__()
        self.graph_type = "flat" if graph_type is None else graph_type
        self.param_only = bool(param_only)
        self._run = PerThread()
        self._run.trace = Trace(self.graph_type)

    @property
    def trace(self) -> Trace:
        """The record of this thread's latest run."""
        if not hasattr(self._run, "trace"):
            self._run.trace = Trace(self.graph_type)
        record: Trace = self._run.trace
        return record

    def __enter__(self: Self) -> Self:
        entered = super().__enter__()
        self._run.trace = Trace(self.graph_type)
        return entered

    def __exit__(self, *args: Any, **kwargs: Any) -> None:
        super().__exit__(*args, **kwargs)
        record = self.trace
        if self.param_only:
            for name in [n for n, site in record.nodes.items() if site["type"] != "param"]:
                record.remove_node(name)
        if self.graph_type == "dense":
            identify_dense_edges(record)

    def __call__(self, fn: Callable[..., Any]) -> "TraceHandler":
        return TraceHandler(self, fn)

    def get_trace(self) -> Trace:
        """Return a copy of the record of the latest run."""
        return self.trace.copy()

    def _reset(self) -> None:
        abandoned, record = self.trace, Trace(self.graph_type)
        if "_INPUT" in abandoned:
            record.nodes["_INPUT"] = abandoned.nodes["_INPUT"]
        self._run.trace = record

    def _pyro_post_sample(self, msg: Message) -> None:
        if not self.param_only and not (msg["infer"] and site_is_untraced(msg)):
            self._run.trace.record_message(msg)

    def _pyro_post_param(self, msg: Message) -> None:
        self._run.trace.record_message(msg)


class TraceHandler(HandledCallable):
    """A model that is recorded whenever it runs.

    :param msngr: the recording handler.
    :param fn: the model.
    """

    msngr: TraceMessenger

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.msngr as record:
            record.trace.add_node("_INPUT", name="_INPUT", type="args", args=args, kwargs=kwargs)
            try:
                result = self.fn(*args, **kwargs)
            except (ValueError, RuntimeError) as error:
                append_shapes(error, {f"{TITLE}:": record.trace.nodes})
                raise
            record.trace.add_node("_RETURN", name="_RETURN", type="return", value=result)
        if type(result) in SUSPENDED:
            refuse_suspended(self.fn, result)
        return result

    @property
    def trace(self) -> Trace:
        """The record of the latest run."""
        return self.msngr.trace

    def get_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Run the model and return the record.

        :param args: the model's arguments.
        :param kwargs: the model's keyword arguments.
        :raises ValueError: whatever the model raises; under validation the shapes of the sites so
            far are added to the text.
        """
        self(*args, **kwargs)
        return self.msngr.get_trace()


def identify_dense_edges(trace: Trace) -> None:
    """Add an edge from each site to every later one that may depend on it.

    A site may depend on all that ran before, but for sites in another iteration of a sequential
    plate around both.

    :param trace: the trace, changed in place.
    """
    iterations = {
        name: [(f.name, f.counter) for f in site["cond_indep_stack"] if not f.vectorized]
        for name, site in trace.nodes.items()
        if site_is_sample(site) and not site_is_subsample(site)
    }
    in_plate: dict[str, set[str]] = defaultdict(set)
    in_iteration: dict[tuple[str, int], set[str]] = defaultdict(set)
    for name, iteration in iterations.items():
        for plate, counter in iteration:
            in_plate[plate].add(name)
            in_iteration[plate, counter].add(name)
    names = list(iterations)
    for i, (earlier, iteration) in enumerate(iterations.items(), 1):
        later = names[i:]
        apart = set().union(*(in_plate[at[0]] - in_iteration[at] for at in iteration))
        trace.add_edges(earlier, [n for n in later if n not in apart] if apart else later)
