"""The registry of handlers: each is a messenger under the name that models are wrapped with.

A handler called with a model gives the model as it runs inside the messenger; called with options
alone it gives the messenger, which is a context manager and a decorator.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.broadcast_messenger import BroadcastMessenger
from pyro.poutine.collapse_messenger import CollapseMessenger
from pyro.poutine.condition_messenger import ConditionMessenger
from pyro.poutine.do_messenger import DoMessenger
from pyro.poutine.enum_messenger import EnumMessenger
from pyro.poutine.equalize_messenger import EqualizeMessenger
from pyro.poutine.escape_messenger import EscapeMessenger
from pyro.poutine.infer_config_messenger import InferConfigMessenger
from pyro.poutine.lift_messenger import LiftMessenger
from pyro.poutine.markov_messenger import MarkovMessenger
from pyro.poutine.mask_messenger import MaskMessenger
from pyro.poutine.queued import QueueMessenger
from pyro.poutine.reparam_messenger import Config, ReparamHandler, ReparamMessenger
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.scale_messenger import ScaleMessenger
from pyro.poutine.seed_messenger import SeedMessenger
from pyro.poutine.substitute_messenger import SubstituteMessenger
from pyro.poutine.trace_messenger import TraceHandler, TraceMessenger
from pyro.poutine.uncondition_messenger import UnconditionMessenger

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
M_co = TypeVar("M_co", covariant=True)


class Handler(Protocol[P, M_co]):
    """A handler: wraps a model, or gives the messenger."""

    __name__: str
    messenger_class: Callable[..., Any]

    @overload
    def __call__(
        self, fn: Callable[Q, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[Q, R]: ...

    @overload
    def __call__(self, fn: None = None, /, *args: P.args, **kwargs: P.kwargs) -> M_co: ...


def _make_handler(
    MessengerClass: Callable[P, M_co], module: str | None = None
) -> Callable[[Callable[..., Any] | str], Handler[P, M_co]]:
    """Make a decorator that turns a name into the handler of a messenger class.

    :param MessengerClass: the messenger class.
    :param module: the module that the handler says it is from.
    :returns: a decorator over a function whose name, signature and docstring the handler takes, or
        over a name, for a handler that takes those of the messenger class.

    >>> from pyro.poutine.messenger import Messenger
    >>> class ShoutMessenger(Messenger):
    ...     "Say the name of every site."
    ...     def _pyro_post_sample(self, msg):
    ...         print(msg["name"].upper())
    >>> @_make_handler(ShoutMessenger)
    ... def shout(fn): ...
    >>> import pyro, pyro.distributions as dist
    >>> _ = shout(lambda: pyro.sample("x", dist.Normal(0.0, 1.0)))()
    X
    """

    def register(prototype: Callable[..., Any] | str) -> Handler[P, M_co]:
        def handler(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
            if _is_iterated(fn, MessengerClass):
                return cast(Any, MessengerClass(*args, **kwargs)).generator(fn)
            if fn is not None and not callable(fn):
                raise ValueError(
                    f"{handler.__name__}() wraps a callable, got {fn!r}. Pass the model first, or "
                    f"options by keyword: with poutine.{handler.__name__}(option=...)."
                )
            messenger: Any = MessengerClass(*args, **kwargs)
            return messenger if fn is None else messenger(fn)

        if isinstance(prototype, str):
            handler.__name__ = handler.__qualname__ = prototype
            handler.__doc__ = MessengerClass.__doc__
            handler.__signature__ = _with_fn(MessengerClass)  # type: ignore[attr-defined]
        else:
            handler.__name__ = handler.__qualname__ = prototype.__name__
            handler.__doc__ = prototype.__doc__ or MessengerClass.__doc__
            handler.__signature__ = inspect.signature(prototype)  # type: ignore[attr-defined]
        handler.__module__ = module or str(getattr(prototype, "__module__", __name__))
        handler.messenger_class = MessengerClass  # type: ignore[attr-defined]
        return handler  # type: ignore[return-value]

    return register


def _is_iterated(fn: Any, messenger_class: Any) -> bool:
    """Tell whether a handler is to run around each item instead of around a model."""
    return hasattr(messenger_class, "generator") and isinstance(fn, Iterable) and not callable(fn)


def _with_fn(messenger_class: Callable[..., Any]) -> inspect.Signature:
    """The signature of a handler: the model, then the messenger's options."""
    options = list(inspect.signature(messenger_class).parameters.values())
    needs_options = any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in options)
    default = inspect.Parameter.empty if needs_options else None
    fn = inspect.Parameter("fn", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
    return inspect.Signature([fn, *options])


class _Trace(Protocol):
    """``trace`` gives a model with ``get_trace``, so its call has a type of its own."""

    __name__: str

    @overload
    def __call__(
        self,
        fn: Callable[..., Any],
        graph_type: str | None = None,
        param_only: bool | None = None,
    ) -> TraceHandler: ...

    @overload
    def __call__(
        self, fn: None = None, graph_type: str | None = None, param_only: bool | None = None
    ) -> TraceMessenger: ...


class _Reparam(Protocol):
    """``reparam`` gives a model that knows the arguments of its call."""

    __name__: str

    @overload
    def __call__(self, fn: Callable[..., Any], config: Config) -> ReparamHandler: ...

    @overload
    def __call__(self, fn: None = None, *, config: Config) -> ReparamMessenger: ...


class _Markov(Protocol):
    """``markov`` takes what to iterate over, too."""

    __name__: str

    @overload
    def __call__(
        self,
        fn: Callable[Q, R],
        history: int = 1,
        keep: bool = False,
        dim: int | None = None,
        name: str | None = None,
    ) -> Callable[Q, R]: ...

    @overload
    def __call__(
        self,
        fn: Iterable[Any] | None = None,
        history: int = 1,
        keep: bool = False,
        dim: int | None = None,
        name: str | None = None,
    ) -> MarkovMessenger: ...


block = _make_handler(BlockMessenger)("block")
broadcast = _make_handler(BroadcastMessenger)("broadcast")
collapse = _make_handler(CollapseMessenger)("collapse")
condition = _make_handler(ConditionMessenger)("condition")
do = _make_handler(DoMessenger)("do")
enum = _make_handler(EnumMessenger)("enum")
equalize = _make_handler(EqualizeMessenger)("equalize")
escape = _make_handler(EscapeMessenger)("escape")
infer_config = _make_handler(InferConfigMessenger)("infer_config")
lift = _make_handler(LiftMessenger)("lift")
markov = cast(_Markov, _make_handler(MarkovMessenger)("markov"))
mask = _make_handler(MaskMessenger)("mask")
queue = _make_handler(QueueMessenger)("queue")
reparam = cast(_Reparam, _make_handler(ReparamMessenger)("reparam"))
replay = _make_handler(ReplayMessenger)("replay")
scale = _make_handler(ScaleMessenger)("scale")
seed = _make_handler(SeedMessenger)("seed")
substitute = _make_handler(SubstituteMessenger)("substitute")
trace = cast(_Trace, _make_handler(TraceMessenger)("trace"))
uncondition = _make_handler(UnconditionMessenger)("uncondition")

HANDLERS = sorted(name for name, value in vars().items() if hasattr(value, "messenger_class"))
# Type checkers cannot follow this and take every public name, the handlers among them.
vars()["__all__"] = HANDLERS
