"""``queue``: run a model from partial runs until it comes to an end."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn, Protocol

from pyro._foundation.errors import site_error
from pyro.poutine.escape_messenger import EscapeMessenger
from pyro.poutine.executions import discrete_escape, enum_extend
from pyro.poutine.messenger import HandledCallable, Messenger
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.runtime import NonlocalExit
from pyro.poutine.sites import site_is_observed, site_is_sample
from pyro.poutine.trace_messenger import TraceMessenger
from pyro.poutine.trace_struct import Trace

Site = Mapping[str, Any]
_MAX_TRIES = 10**6


class RunQueue(Protocol):
    """What a queue of partial runs must offer; those of the module ``queue`` do."""

    def empty(self) -> bool: ...

    def get(self) -> Trace: ...

    def put(self, item: Trace) -> Any: ...


class QueueMessenger(Messenger):
    """Run a model from partial runs in a queue, and put those back that do not come to an end.

    A call takes a partial run from the queue and replays the model from it. At a site that
    ``escape_fn`` picks, the run is left, what ``extend_fn`` gives to go on from there is put into
    the queue, and the next one is taken. The first run that comes to an end is the call's result.
    Called until the queue is empty, a discrete model has run with all values.

    :param queue: the partial runs, with ``get``, ``put`` and ``empty``; at first it holds an empty
        :class:`~pyro.poutine.trace_struct.Trace`. Its order decides between breadth and depth.
    :param max_tries: how many partial runs to take in one call; a million if None.
    :param extend_fn: called with a partial run, the site where it was left and the keyword
        ``num_samples``, gives the runs that go on from there;
        :func:`~pyro.poutine.executions.enum_extend` if None.
    :param escape_fn: called with the partial run that is replayed and a site, tells whether to
        leave there; :func:`~pyro.poutine.executions.discrete_escape` if None.
    :param num_samples: passed on to ``extend_fn``.
    :raises TypeError: at construction, for what is no queue; where it is entered as a context, for
        a block cannot run more than once.
    :raises ValueError: where the queue is empty, or no run came to an end in ``max_tries``; that
        names the site, where a handler outside gives it another value than its partial run.

    >>> from queue import LifoQueue
    >>> import pyro, pyro.distributions as dist, pyro.poutine as poutine
    >>> def two_coins():
    ...     return pyro.sample("a", dist.Bernoulli(0.3)) + pyro.sample("b", dist.Bernoulli(0.5))
    >>> runs = LifoQueue()
    >>> runs.put(poutine.Trace())
    >>> coins = poutine.trace(poutine.queue(two_coins, queue=runs))
    >>> total = 0.0
    >>> while not runs.empty():
    ...     total += coins.get_trace().log_prob_sum().exp().item()
    >>> round(total, 6)
    1.0

    Source: Goodman and Stuhlmüller 2014, *The Design and Implementation of Probabilistic
    Programming Languages*, http://dippl.org, chapter 3.
    """

    def __init__(
        self,
        queue: RunQueue | None = None,
        max_tries: int | None = None,
        extend_fn: Callable[..., Iterable[Trace]] | None = None,
        escape_fn: Callable[[Trace, Site], Any] | None = None,
        num_samples: int | None = None,
    ) -> None:
        super().__init__()
        if not all(hasattr(queue, method) for method in ("empty", "get", "put")):
            raise TypeError(
                f"queue() needs a queue of partial runs, got {queue!r}. Write "
                "runs = queue.Queue(); runs.put(poutine.Trace()); poutine.queue(model, queue=runs)."
            )
        self.queue: Any = queue
        self.max_tries = _MAX_TRIES if max_tries is None else max_tries
        self.extend_fn = enum_extend if extend_fn is None else extend_fn
        self.escape_fn = discrete_escape if escape_fn is None else escape_fn
        self.num_samples = num_samples

    def __call__(self, fn: Callable[..., Any]) -> "QueuedCallable":
        return QueuedCallable(self, fn)

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "queue() runs a model many times, which no 'with' block can do. Wrap the model: "
            "poutine.queue(model, queue=runs)."
        )


class QueuedCallable(HandledCallable):
    """A model that runs from partial runs.

    :param msngr: the handler, with its queue.
    :param fn: the model.
    """

    msngr: QueueMessenger

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        options = self.msngr
        for _ in range(options.max_tries):
            if options.queue.empty():
                raise ValueError(
                    "queue() has no partial run left. Put a poutine.Trace() into the queue at "
                    "first, and stop calling the model when it is empty."
                )
            begun = options.queue.get()
            record = TraceMessenger()
            escape = EscapeMessenger(partial(options.escape_fn, begun))
            try:
                with record, ReplayMessenger(trace=begun), escape:
                    result = self.fn(*args, **kwargs)
                _refuse_overruled(begun, record.trace)
                return result
            except NonlocalExit as left:
                left.reset_stack()
                site, partial_run = left.site, record.get_trace()
            _refuse_overruled(begun, partial_run)
            again = partial_run.nodes.keys() & begun.nodes.keys()
            partial_run.nodes.update({name: begun.nodes[name] for name in again})
            number = options.num_samples
            for extended in options.extend_fn(partial_run, site, num_samples=number):
                options.queue.put(_drawn(extended))
        raise ValueError(
            f"queue() came to no end within max_tries={options.max_tries} partial runs. Does the "
            "model end? If so, raise max_tries."
        )


def _drawn(run: Trace) -> Trace:
    """Leave out what has its value from the model's data or from handlers outside, as it will."""
    drawn = run.copy()
    for name, site in run.nodes.items():
        if site_is_observed(site):
            drawn.remove_node(name)
    return drawn


def _refuse_overruled(begun: Trace, run: Trace) -> None:
    """Refuse handlers outside that give a site of a partial run another value: all runs are one."""
    for name, given in begun.nodes.items():
        site = run.nodes.get(name, given)
        hints = site.get("infer") or {}
        if not site_is_sample(site) or hints.get("_intervened") or hints.get("was_observed"):
            continue
        if site_is_observed(site) or site["value"] is not given["value"]:
            raise site_error(
                name,
                "queue() runs the model with each of its values, but a handler outside gives it "
                "another one",
                "Put that handler inside of queue(): poutine.queue(poutine.condition(model, ...)).",
            )
