"""Functions of parameters and data that run without Python once they were seen to run."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro._foundation.rng import get_rng_state, set_rng_state
from pyro._foundation.warnings import warn_once
from pyro.infer.leaves import LeavesRead, leaves_of_graph
from pyro.ops.graph_capture import Captured, capture
from pyro.ops.graph_compilers import Run, check_options, compile_graph
from pyro.params.param_store import _PYRO_PARAM_STORE
from pyro.poutine.block_messenger import BlockMessenger
from pyro.poutine.runtime import _thread, emit, new_message
from pyro.poutine.trace_messenger import TraceMessenger

Function = Callable[..., Any]


class Arguments(NamedTuple):
    """Arguments taken apart: their tensors, and all else that tells one call from another."""

    key: Hashable
    tensors: list[Tensor]
    objects: list[object]  # the key names these by identity, so that they must not go away


def take_apart(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
    """Take arguments apart into tensors and a key.

    Tuples, lists and dictionaries are looked into. Of a tensor the key holds all but its entries;
    anything else stands for itself, or for the one object that it is where it has no hash.

    :param args: arguments.
    :param kwargs: keyword arguments.

    >>> x = torch.ones(2)
    >>> take_apart((x, 3), {}).key == take_apart((x + 1, 3), {}).key
    True
    >>> take_apart((x, 3), {}).key == take_apart((x, 3.0), {}).key
    False
    """
    tensors: list[Tensor] = []
    objects: list[object] = []
    key = [_key(x, tensors, objects) for x in (args, kwargs)]
    return Arguments((torch.is_grad_enabled(), *key), tensors, objects)


def _key(x: Any, tensors: list[Tensor], objects: list[object]) -> Hashable:
    if isinstance(x, Tensor):
        tensors.append(x)
        return (x.shape, x.dtype, x.device, x.stride(), x.requires_grad)
    if isinstance(x, (tuple, list)):
        return (type(x), *[_key(each, tensors, objects) for each in x])
    if isinstance(x, dict):
        return (dict, *[(name, _key(each, tensors, objects)) for name, each in x.items()])
    if isinstance(x, torch.nn.Module):
        objects.append(x)
        return (id(x), x.training)
    try:
        hash(x)
    except TypeError:
        objects.append(x)
        return (type(x), id(x))
    return (type(x), x)


def put_together(x: Any, tensors: Iterator[Tensor]) -> Any:
    """Build arguments like those that were taken apart, of other tensors.

    :param x: the arguments.
    :param tensors: the tensors in the order of :func:`take_apart`.
    """
    if isinstance(x, Tensor):
        return next(tensors)
    if isinstance(x, (tuple, list)):
        parts = [put_together(each, tensors) for each in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {name: put_together(each, tensors) for name, each in x.items()}
    return x


class Outcome(NamedTuple):
    """What one call computed.

    :param outputs: the outputs; with a graph behind them where they were computed eagerly.
    :param rows: for each output its gradients by the inputs; None where it was computed eagerly.
    :param inputs: the leaves, then the tensors among the arguments.
    """

    outputs: list[Tensor]
    rows: list[list[Tensor | None]] | None
    inputs: list[Tensor]
    is_single: bool


class _Variant:
    """One compiled graph: for arguments of one key and the parameters that the first run read."""

    def __init__(self, read: LeavesRead, others: list[Tensor], kept: object) -> None:
        self.names = list(read.leaves)
        self.leaves = list(read.leaves.values())
        self.looks = {name: _look(name) for name in self.names}
        self.others = others
        self.kept = kept  # what the key names by identity must not be replaced
        self.run: Run | None = None
        self.captured: Captured
        self.remembered: list[str] = []
        self.is_single = True
        self.is_refused = False

    def refresh(self) -> bool:
        """Read the leaves anew, and tell whether they still are of the same kind."""
        store = _PYRO_PARAM_STORE
        for i, name in enumerate(self.names):
            if name not in store:
                return False
            leaf = store.unconstrained(name)
            if leaf is not self.leaves[i]:
                if _look(name) != self.looks[name]:
                    return False
                self.leaves[i] = leaf
        return True


def _look(name: str) -> object:
    if name not in _PYRO_PARAM_STORE:
        return None
    leaf = _PYRO_PARAM_STORE.unconstrained(name)
    constraint = _PYRO_PARAM_STORE.get_state()["constraints"][name]
    return (_key(leaf, [], []), type(constraint), repr(constraint))


class CompiledFunction:
    """A function of parameters and tensors whose later calls run no Python of its own.

    The first call with arguments of new shapes runs the function as it is, with all its checks, to
    see which parameters it reads. The second records its tensor operations and those of its
    gradients, which are compiled; from then on, that is what runs, until the shapes, the other
    arguments or the kinds of the parameters change. Parameters are read from the store at each
    call. Random numbers come from torch's generator in the order of the program, so that a seed
    gives the draws that it gives the function, and all numbers up to rounding.

    What Python decides is decided once: branches, loops, other random generators, attributes of
    objects, and parameters that are not in the store. A function that looks at the numbers that it
    computes, as in ``if z > 0``, cannot be compiled; it runs as it is, and a warning says so once.
    So does one whose outputs have several elements and are to be differentiated, and one that is
    called inside handlers, which might change what it does.

    A function may remember tensors from one call to the next, as a running average: in a dictionary
    that it reads and replaces entries of. A compiled call does the same.

    :param fn: returns a tensor, or a tuple of tensors.
    :param ignore_warnings: whether to stay silent where the function cannot be compiled.
    :param jit_options: options of :func:`pyro.ops.graph_compilers.compile_graph`.
    :param memory: what the function remembers; tensors without gradients.
    :raises ValueError: for a backend that there is none of.

    >>> import pyro
    >>> def loss(x):
    ...     return (pyro.param("w", torch.tensor(2.0)) * x).sum()
    >>> compiled = CompiledFunction(loss)
    >>> [compiled(torch.tensor([1.0, t])).item() for t in (1.0, 2.0, 3.0)]
    [4.0, 6.0, 8.0]
    """

    def __init__(
        self,
        fn: Function,
        ignore_warnings: bool = False,
        jit_options: dict[str, Any] | None = None,
        memory: dict[str, Tensor] | None = None,
    ) -> None:
        check_options(jit_options or {})
        self.fn = fn
        self.ignore_warnings = ignore_warnings
        self.jit_options = jit_options or {}
        self.memory: dict[str, Tensor] = {} if memory is None else memory
        self.compile_time: float | None = None
        self._variants: dict[Hashable, _Variant] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function does, differentiable once by parameters and arguments.

        :param args: the function's arguments.
        :param kwargs: its keyword arguments.
        """
        outcome = self.evaluate(args, kwargs)
        outputs = outcome.outputs
        if outcome.rows is not None and torch.is_grad_enabled():
            outputs = [
                attached(output, row, outcome.inputs)
                for output, row in zip(outputs, outcome.rows, strict=True)
            ]
        return outputs[0] if outcome.is_single else tuple(outputs)

    def evaluate(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outcome:
        """Compute the outputs, and where that is compiled, their gradients.

        :param args: the function's arguments.
        :param kwargs: its keyword arguments.
        """
        key, tensors, objects = take_apart((self.memory, *args), kwargs)
        variant = self._variants.get(key)
        if _thread.stack and (meddling := _meddling_handlers()):
            self._warn(
                ("jit under handlers", *meddling),
                f"A compiled function was called inside {', '.join(meddling)}, and runs "
                "uncompiled there. Wrap the model instead, or call it outside.",
            )
            return self._eagerly(args, kwargs)[0]
        if variant is None or not variant.refresh():
            outcome, read = self._eagerly(args, kwargs)
            others = [x for x in leaves_of_graph(outcome.outputs) if not _is_among(x, tensors)]
            others = [x for x in others if not _is_among(x, list(read.leaves.values()))]
            variant = self._variants[key] = _Variant(read, others, objects)
            variant.is_single = outcome.is_single
            return outcome
        inputs = [*variant.leaves, *variant.others, *tensors]
        if variant.run is not None:
            _announce(variant)
            with torch.no_grad():
                flat = variant.run(*inputs)
        elif variant.is_refused or not (flat := self._record(variant, args, kwargs, tensors)):
            return self._eagerly(args, kwargs)[0]
        count = variant.captured.outputs - len(variant.remembered)
        wiring = variant.captured.wiring[:count]
        rows = [[None if at is None else flat[at] for at in row] for row in wiring]
        self.memory.update(zip(variant.remembered, flat[count:], strict=False))
        return Outcome(list(flat[:count]), rows, inputs, variant.is_single)

    def _warn(self, key: Hashable, message: str) -> None:
        if not self.ignore_warnings:
            warn_once(key, message, stacklevel=5)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_variants": {}}

    def _eagerly(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Outcome, LeavesRead]:
        with LeavesRead() as read:
            found = self.fn(*args, **kwargs)
        outputs = _as_list(found)
        return Outcome(outputs, None, [], isinstance(found, Tensor)), read

    def _record(
        self,
        variant: _Variant,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        tensors: list[Tensor],
    ) -> list[Tensor]:
        """Run the function, and compile what it does; return nothing where Python is needed."""
        started = time.perf_counter()
        generators = get_rng_state()
        fresh = [x.detach().requires_grad_(x.requires_grad) for x in tensors]
        remembered = dict(self.memory)
        parts = put_together((remembered, args, dict(kwargs)), iter(fresh))
        inputs = [*variant.leaves, *variant.others, *fresh]

        def step() -> list[Tensor]:
            self.memory.update(parts[0])
            outputs = _as_list(self.fn(*parts[1], **parts[2]))
            variant.remembered = list(self.memory)
            return [*outputs, *self.memory.values()]

        values: list[Tensor] = []
        try:
            captured = capture(step, inputs)
            values, variant.captured = captured.values, captured._replace(values=[])
            variant.run = compile_graph(captured.module, inputs, self.jit_options)
        except Exception as error:
            variant.is_refused = True
            self._warn(
                ("jit failed", type(error), str(error)),
                "A function could not be compiled and runs as it is. Where it looks at numbers, as "
                f"in `if z > 0` or z.item(), use torch.where. {_reason(error)}",
            )
        if not values:
            set_rng_state(generators)
            self.memory.clear()
            self.memory.update(remembered)
        self.compile_time = time.perf_counter() - started
        return values


def trace(
    fn: Function | None = None,
    ignore_warnings: bool = False,
    jit_options: dict[str, Any] | None = None,
) -> Any:
    """Make a :class:`CompiledFunction` of a function; a decorator, with or without options.

    :param fn: the function.
    :param ignore_warnings: whether to stay silent where the function cannot be compiled.
    :param jit_options: options of :func:`pyro.ops.graph_compilers.compile_graph`.

    >>> @trace(ignore_warnings=True)
    ... def twice(x):
    ...     return 2 * x
    >>> twice(torch.tensor(3.0))
    tensor(6.)
    """
    if fn is None:
        return lambda fn: CompiledFunction(fn, ignore_warnings, jit_options)
    return CompiledFunction(fn, ignore_warnings, jit_options)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _as_list(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else list(found)


def _is_among(x: Tensor, tensors: Sequence[Tensor]) -> bool:
    return any(x is each for each in tensors)


def _meddling_handlers() -> list[str]:
    """Name the handlers that might change what a function does."""
    names = []
    for handler in reversed(_thread.stack):
        if type(handler) is BlockMessenger and handler.hides_everything:
            break
        only_reads = type(handler) is LeavesRead or (
            type(handler) is TraceMessenger and handler.param_only
        )
        if not only_reads:
            names.append(type(handler).__name__)
    return names


def _announce(variant: _Variant) -> None:
    """Let the handlers around know of the parameters that a graph reads."""
    stack = _thread.stack
    if not stack:
        return
    if len(stack) == 1 and type(stack[0]) is LeavesRead:
        stack[0].take(zip(variant.names, variant.leaves, strict=True))
        return
    for name in variant.names:
        emit(new_message("param", name, _PYRO_PARAM_STORE.get_param, (name,)))


class _Attached(torch.autograd.Function):
    """A number that was computed together with its gradients, as a node of the graph."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, row: list[Tensor | None], *inputs: Tensor) -> Tensor:
        ctx.row = row
        return output.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (None if each is None else each * cotangent.reshape(()) for each in ctx.row)
        return (None, None, *scaled)


def attached(output: Tensor, row: list[Tensor | None], inputs: Sequence[Tensor]) -> Tensor:
    """Return a number with a graph behind it that holds gradients which are known already.

    :param output: a tensor of one element.
    :param row: its gradients by the inputs, None where it does not depend on one.
    :param inputs: tensors that the result is to be differentiated by, once.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> attached(torch.tensor(9.0), [torch.tensor(6.0)], [x]).backward()
    >>> x.grad
    tensor(6.)
    """
    if all(each is None for each in row):
        return output
    known: Tensor = _Attached.apply(output, row, *inputs)
    return known
