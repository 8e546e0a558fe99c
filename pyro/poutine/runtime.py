"""The interpreter: a stack of handlers per thread, and the messages that travel through it.

A primitive builds a message and emits it. The message visits the handlers from the innermost
outwards (their *process* hooks), a default gives it a value if no handler did, and it comes back
through the same handlers from the outermost inwards (their *post-process* hooks).
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch

from pyro._foundation.errors import site_error
from pyro.params.param_store import _PYRO_PARAM_STORE
from pyro.poutine.itinerary import Itinerary, hooks_of

__all__ = [
    "_PYRO_PARAM_STORE",  # libraries look for it here
    "DimAllocator",
    "InferDict",
    "Message",
    "NonlocalExit",
    "am_i_wrapped",
    "apply_stack",
    "default_process_message",
    "effectful",
    "emit",
    "forget_hooks",
    "get_mask",
    "get_plates",
    "new_message",
]


class InferDict(TypedDict, total=False):
    """Hints of a site to inference algorithms; the keys that pyro itself reads."""

    enumerate: str
    expand: bool
    is_auxiliary: bool
    is_observed: bool
    num_samples: int
    obs: Any
    prior: Any
    tmc: str
    was_observed: bool
    _deterministic: bool
    _do_not_trace: bool
    _dim_to_symbol: dict[int, str]
    _dim_to_id: dict[int, int]
    _enum_total: int
    _enumerate_dim: int
    _equalized: str
    _intervened: bool
    _markov_scope: Any
    _reparameterized: str


class Message(TypedDict, total=False):
    """One effect on its way: a plain dictionary, whose keys handlers read and write.

    ``type`` is the kind of effect, ``fn`` what gives it a value when called with ``args`` and
    ``kwargs``; ``value`` is that value once there is one. ``scale``, ``mask`` and
    ``cond_indep_stack`` say how it enters a density. ``done`` keeps the default from running,
    ``stop`` keeps the message from handlers further out, ``continuation`` runs at the very end.
    """

    type: str
    name: Any
    fn: Any
    is_observed: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any
    scale: Any
    mask: Any
    cond_indep_stack: tuple[Any, ...]
    done: bool
    stop: bool
    continuation: Any
    infer: dict[str, Any] | None
    obs: Any
    log_prob: torch.Tensor
    log_prob_sum: torch.Tensor
    unscaled_log_prob: torch.Tensor
    score_parts: Any
    packed: Any
    untied: dict[str, Any]


class DimAllocator:
    """Gives each vectorised plate a batch dimension of its own, counted from the right."""

    def __init__(self) -> None:
        self._stack: list[str | None] = []  # entry i holds the plate at dim -1 - i

    def allocate(self, name: str, dim: int | None) -> int:
        """Reserve ``dim``, or the rightmost free dimension, for the plate ``name``.

        :raises ValueError: if ``dim`` is not negative or belongs to another plate.
        """
        if name in self._stack:
            raise site_error(
                name,
                "a plate of this name is already active",
                "Nested plates need names of their own.",
            )
        if dim is None:
            dim = -1 - next(
                (i for i, owner in enumerate(self._stack) if owner is None), len(self._stack)
            )
        elif dim >= 0:
            raise site_error(
                name, f"plate dim must be negative, got {dim}", "Count it from the right: -1, -2, …"
            )
        slot = -1 - dim
        self._stack.extend([None] * (slot + 1 - len(self._stack)))
        if self._stack[slot] is not None:
            raise site_error(
                name,
                f"dim={dim} belongs to the active plate {self._stack[slot]!r}",
                "Give one of the two plates another dim, or leave dim out.",
            )
        self._stack[slot] = name
        return dim

    def free(self, name: str, dim: int) -> None:
        """Give back what :meth:`allocate` reserved."""
        slot = -1 - dim
        if slot < len(self._stack) and self._stack[slot] == name:
            self._stack[slot] = None
        while self._stack and self._stack[-1] is None:
            self._stack.pop()


class _Interpreter:
    """The handlers of one thread, and the ways of messages through them."""

    __slots__ = ("stack", "_by_type")

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._by_type: dict[str, dict[int, Itinerary]] = {}  # by message type and stack depth

    def forget(self) -> None:
        """Let go of the ways of before, and of the handlers that they hold."""
        self._by_type.clear()

    def _itinerary(self, message_type: str) -> Itinerary:
        """Return the way through the present stack, the one of before if that was the same."""
        stack = self.stack
        by_depth = self._by_type.get(message_type)
        if by_depth is None:
            by_depth = self._by_type[message_type] = {}
        known = by_depth.get(len(stack))
        if known is None or known.stack != stack:
            known = by_depth[len(stack)] = Itinerary(message_type, stack)
        return known

    def send(self, msg: Message) -> Any:
        """Send a message out through the handlers and back in; return the value it comes with."""
        itinerary = self._itinerary(msg["type"])
        back = itinerary.back
        for process in itinerary.out:
            process(msg)
            if msg["stop"]:
                back = itinerary.back_from(process)
                break
        if not msg["done"]:
            default_process_message(msg)
        for postprocess in back:
            postprocess(msg)
        if msg["continuation"] is not None:
            msg["continuation"](msg)
        return msg["value"]


class _ThreadState(threading.local):
    """The interpreter and the plate dimensions belong to the thread that runs the model."""

    def __init__(self) -> None:
        self.interpreter = _Interpreter()
        self.stack = self.interpreter.stack
        self.dims = DimAllocator()


_thread = _ThreadState()


def __getattr__(name: str) -> Any:
    # Libraries read these two as module attributes; each thread gets its own.
    if name == "_PYRO_STACK":
        return _thread.stack
    if name == "_DIM_ALLOCATOR":
        return _thread.dims
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def forget_hooks() -> None:
    """Look up every class's hooks afresh; for whoever adds a hook to a class after it has run."""
    hooks_of.cache_clear()
    _thread.interpreter.forget()


class NonlocalExit(Exception):
    """Leaves a running model from within a site; a handler further out catches it and runs on.

    :param site: the message at which the run was left.
    """

    def __init__(self, site: Message, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.site = site

    def reset_stack(self) -> None:
        """Reset every handler that stands inside the one which catches this exit."""
        for handler in reversed(_thread.stack):
            handler._reset()
            if handler._hides(self.site):
                break


def am_i_wrapped() -> bool:
    """Tell whether any handler is active in this thread.

    >>> am_i_wrapped()
    False
    """
    return bool(_thread.stack)


def new_message(
    type: str,
    name: Any,
    fn: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    value: Any = None,
    infer: dict[str, Any] | None = None,
    is_observed: bool = False,
) -> Message:
    """Build a message; the one place that knows all its keys.

    :param type: the kind of effect: ``"sample"``, ``"param"`` or one of a handler's own.
    :param name: the site's name.
    :param fn: called with ``args`` and ``kwargs`` when no handler gives a value.
    :param infer: hints to inference; copied, since handlers write into them.
    """
    msg = _BLANK.copy()  # in one go, which is faster than key by key
    msg["type"] = type
    msg["name"] = name
    msg["fn"] = fn
    msg["is_observed"] = is_observed
    msg["args"] = args
    msg["kwargs"] = {} if kwargs is None else kwargs
    msg["value"] = value
    msg["infer"] = {} if infer is None else infer.copy()
    return msg


_BLANK: Message = {
    "type": "",
    "name": None,
    "fn": None,
    "is_observed": False,
    "args": (),
    "kwargs": {},
    "value": None,
    "scale": 1.0,
    "mask": None,
    "cond_indep_stack": (),
    "done": False,
    "stop": False,
    "continuation": None,
    "infer": {},
}


def default_process_message(msg: Message) -> None:
    """Give a message its value where no handler did, by calling ``fn``.

    :param msg: the message; a value that it already has, an observation say, stays.
    """
    if not msg["done"] and not msg["is_observed"] and msg["value"] is None:
        msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])
    msg["done"] = True


def apply_stack(initial_msg: Message) -> None:
    """Send a message out through this thread's handlers and back in.

    :param initial_msg: the message; it is changed in place and holds its value afterwards.
    """
    _thread.interpreter.send(initial_msg)


def emit(msg: Message) -> Any:
    """Send a message through the stack and return the value that it came back with."""
    return _thread.interpreter.send(msg)


def effectful(fn: Callable[..., Any] | None = None, type: str | None = None) -> Any:
    """Turn a function into an effect that handlers can intercept.

    Under no handler the function just runs. Under handlers each call emits a message of the given
    type, whose name and hints are the keyword arguments ``name`` and ``infer``.

    :param fn: the function; left out, a decorator is returned.
    :param type: the message type, for which handlers define ``_pyro_<type>`` hooks.
    :raises ValueError: without a type, or with ``"message"``, whose hooks mean every type.

    >>> @effectful(type="greet")
    ... def greet(whom):
    ...     return f"hello {whom}"
    >>> greet("world")
    'hello world'
    """
    if fn is None:
        return functools.partial(effectful, type=type)
    if type is None or type == "message":
        raise ValueError(
            f"effectful() needs a message type of its own, got {type!r}. "
            "Write @effectful(type='my_effect') and define _pyro_my_effect in a handler."
        )
    function, message_type = fn, type

    @functools.wraps(function)
    def effect(
        *args: Any, name: Any = None, infer: Any = None, obs: Any = None, **kwargs: Any
    ) -> Any:
        if not _thread.stack:
            return function(*args, **kwargs) if obs is None else obs
        observed = obs is not None
        return emit(new_message(message_type, name, function, args, kwargs, obs, infer, observed))

    return effect


def _ask(question: str, answer: Any) -> Message:
    msg = new_message("inspect", question, None, value=answer)
    apply_stack(msg)
    return msg


def get_mask() -> Any:
    """Return the mask that handlers around this line put on sites; None where there is none.

    A model may skip costly density computations where this is ``False``.

    >>> get_mask()
    """
    return _ask("_pyro_get_mask", True)["mask"] if _thread.stack else None


def get_plates() -> Sequence[Any]:
    """Return the frames of the plates around this line, outermost first.

    >>> get_plates()
    ()
    """
    return _ask("_pyro_get_plates", True)["cond_indep_stack"] if _thread.stack else ()
