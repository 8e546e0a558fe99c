"""The base of all handlers, and the callables that they make."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeVar

import torch

from pyro.poutine.runtime import Message, _thread, forget_hooks

Self = TypeVar("Self", bound="Messenger")
_WRAPPER_ATTRIBUTES = ("__module__", "__name__", "__qualname__", "__doc__")


# What calling a function may give before any of it ran, and how each names the function's code.
SUSPENDED = {GeneratorType: "gi_code", CoroutineType: "cr_code", AsyncGeneratorType: "ag_code"}


def refuse_suspended(model: Callable[..., Any], result: Any) -> None:
    """Refuse a generator function or coroutine as a model, of which nothing runs when it is called.

    :param model: the model, possibly a torch module.
    :param result: what calling it gave.
    :raises ValueError: that says how to write such a model.
    """
    body = getattr(getattr(model, "forward", model), "__code__", None)
    if getattr(result, SUSPENDED[type(result)]) is body:
        if isinstance(result, CoroutineType):
            result.close()  # it would complain that nobody awaited it
        raise ValueError(
            f"{body.co_name}() is a generator or a coroutine: calling it runs none of its sites, "
            "and its handlers are left before any does. Return what it yields as a list, or enter "
            "the handlers around the loop that runs it: with poutine.trace() as record: ..."
        )


class HandledCallable:
    """A callable that runs under a handler: what calling a messenger on a function returns.

    :param msngr: the handler to enter around each call.
    :param fn: the callable; ``__wrapped__`` gives it back.
    :raises ValueError: where it is not callable.
    """

    def __init__(self, msngr: "Messenger", fn: Callable[..., Any]) -> None:
        if not callable(fn):
            raise ValueError(
                f"{type(msngr).__qualname__} can only wrap a callable, got {fn!r}. "
                "Pass the model itself, not its result, and options by keyword."
            )
        self.msngr = msngr
        self.fn = fn
        if isinstance(fn, torch.nn.Module):  # has none of its own, and is slow to say so
            return
        for attribute in _WRAPPER_ATTRIBUTES:
            if hasattr(fn, attribute):
                setattr(self, attribute, getattr(fn, attribute))

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.msngr:
            result = self.fn(*args, **kwargs)
        if type(result) in SUSPENDED:
            refuse_suspended(self.fn, result)
        return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        bind = getattr(self.fn, "__get__", None)
        if instance is None or bind is None:
            return self
        return type(self)(self.msngr, bind(instance, owner))

    def __repr__(self) -> str:
        return f"{type(self.msngr).__qualname__}({self.fn!r})"


class Messenger:
    """Base of the effect handlers: a context manager that sees the messages of what runs inside.

    A subclass defines ``_pyro_<type>(self, msg)``, which sees a message of that type on its way
    out, and ``_pyro_post_<type>(self, msg)``, which sees it on its way back with its value; or
    ``_process_message`` and ``_postprocess_message``, which see messages of every type.
    A messenger called on a function gives one that runs inside it.

    >>> import pyro, pyro.distributions as dist
    >>> class Shout(Messenger):
    ...     def _pyro_sample(self, msg):
    ...         print(msg["name"].upper())
    >>> with Shout():
    ...     _ = pyro.sample("x", dist.Normal(0.0, 1.0))
    X

    Source: Bingham et al. 2019, *Pyro: Deep Universal Probabilistic Programming*, JMLR 20(28).
    """

    def __call__(self, fn: Callable[..., Any]) -> Any:
        """Return ``fn`` as it runs inside this handler."""
        return HandledCallable(self, fn)

    def __enter__(self: Self) -> Self:
        """Put the handler on this thread's stack.

        :raises ValueError: if it is there already; a handler that may nest within itself is
            :class:`~pyro.poutine.reentrant_messenger.ReentrantMessenger`.
        """
        stack = _thread.stack
        for handler in stack:
            if handler is self:
                raise ValueError(
                    f"This {type(self).__qualname__} is already active. Make a second one to nest "
                    "it within itself; a function that calls itself makes one in its body."
                )
        stack.append(self)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Take the handler off the stack, with whatever an exception left above it.

        :raises ValueError: where it is not on the stack of this thread, or others stand above it.
        """
        stack = _thread.stack
        if stack and stack[-1] is self:
            stack.pop()
            if not stack:
                _thread.interpreter.forget()  # they would keep the handlers alive
        else:
            self._leave_out_of_turn(exc_type)

    def _leave_out_of_turn(self, exc_type: Any) -> None:
        stack = _thread.stack
        position = next((i for i, handler in enumerate(stack) if handler is self), None)
        if position is None:
            if exc_type is None:
                raise ValueError(f"This {type(self).__qualname__} is not active in this thread.")
            return
        above = stack[position + 1 :]
        if exc_type is None or issubclass(exc_type, GeneratorExit):
            del stack[position]  # those above are of others, who are yet to leave them
        else:
            del stack[position:]
            for handler in reversed(above):
                handler._abandon()
        if not stack:
            _thread.interpreter.forget()
        if exc_type is None:
            raise ValueError(
                f"Handlers must be left in the reverse order of entering them: {above[-1]!r} "
                f"stands inside {self!r} and is still active. A generator or a coroutine that "
                "stands still within a 'with' block keeps its handlers active: run it to its end, "
                "or close it, before the block around it ends."
            )

    def _abandon(self) -> None:
        """Give back what the handler holds, now that an exception took it off the stack.

        If its own ``with`` block is left at all, that is later.
        """

    def _reset(self) -> None:
        """Forget what belongs to the run that is being abandoned."""

    def _hides(self, msg: Message) -> bool:
        """Tell whether handlers further out never see this message."""
        return False

    def _process_message(self, msg: Message) -> None:
        hook = getattr(self, "_pyro_" + msg["type"], None)
        if hook is not None:
            hook(msg)

    def _postprocess_message(self, msg: Message) -> None:
        hook = getattr(self, "_pyro_post_" + msg["type"], None)
        if hook is not None:
            hook(msg)

    # The runtime looks the typed hooks up once a class instead of calling these two each time.
    _process_message.dispatches_by_type = True  # type: ignore[attr-defined]
    _postprocess_message.dispatches_by_type = True  # type: ignore[attr-defined]

    @classmethod
    def register(
        cls,
        fn: Callable[..., Any] | None = None,
        type: str | None = None,
        post: bool | None = None,
    ) -> Any:
        """Add a hook for a message type to this class, from outside.

        :param fn: the hook, called with the handler and the message; left out, a decorator is
            returned.
        :param type: the message type.
        :param post: whether the hook sees messages on their way back instead of out.
        :raises ValueError: without a type.

        >>> @Messenger.register(type="greet")
        ... def _log_greeting(self, msg):
        ...     print("greeting", msg["args"])
        >>> Messenger.unregister(_log_greeting, type="greet") is _log_greeting
        True
        """
        if type is None:
            raise ValueError(
                f"{cls.__qualname__}.register() needs the message type: type='sample'."
            )
        if fn is None:
            return lambda hook: cls.register(hook, type, post)
        setattr(cls, f"_pyro_{'post_' if post else ''}{type}", fn)
        forget_hooks()
        return fn

    @classmethod
    def unregister(cls, fn: Callable[..., Any] | None = None, type: str | None = None) -> Any:
        """Take the hooks for a message type off this class.

        :param fn: take off only this hook; left out, both the hooks of the type.
        :param type: the message type.
        :raises ValueError: without a type.
        """
        if type is None:
            raise ValueError(f"{cls.__qualname__}.unregister() needs the message type.")
        for attribute in (f"_pyro_{type}", f"_pyro_post_{type}"):
            own = cls.__dict__.get(attribute)
            if own is not None and (fn is None or own is fn):
                delattr(cls, attribute)
        forget_hooks()
        return fn


@contextmanager
def block_messengers(predicate: Callable[[Messenger], bool]) -> Iterator[list[Messenger]]:
    """Take the active handlers that a predicate picks out of action within a ``with`` block.

    :param predicate: tells of a handler whether it is to rest.
    :returns: the handlers that rest.

    >>> from pyro.poutine.runtime import am_i_wrapped
    >>> with Messenger(), block_messengers(lambda handler: True) as resting:
    ...     am_i_wrapped(), len(resting)
    (False, 1)
    """
    stack = _thread.stack
    before = list(stack)
    resting = [handler for handler in before if predicate(handler)]
    stack[:] = [handler for handler in before if not any(handler is other for other in resting)]
    try:
        yield resting
    finally:
        stack[:] = before


def unwrap(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the callable that handlers were put around.

    :param fn: a callable, wrapped in any number of handlers.

    >>> def model(): ...
    >>> unwrap(Messenger()(Messenger()(model))) is model
    True
    """
    while isinstance(fn, HandledCallable):
        fn = fn.fn
    return fn
