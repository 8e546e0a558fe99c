"""Compilers of captured graphs: machine code by inductor, or a graph without Python."""

import functools
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from pyro._foundation.rng import get_rng_state, set_rng_state

Run = Callable[..., Sequence[Tensor]]
BACKENDS = ("auto", "inductor", "trace", "graph")


def check_options(options: Mapping[str, Any]) -> None:
    """Check options of the compiler.

    :param options: as of :func:`compile_graph`.
    :raises ValueError: for a backend that there is none of.

    >>> check_options({"backend": "trace"})
    """
    if options.get("backend", "auto") not in BACKENDS:
        raise ValueError(
            f"jit_options['backend'] is {options['backend']!r}, expected one of "
            f"{', '.join(map(repr, BACKENDS))}."
        )


def compile_graph(module: GraphModule, inputs: Sequence[Tensor], options: Mapping[str, Any]) -> Run:
    """Compile a captured graph.

    :param module: the graph; it takes tensors one by one and returns a list of them.
    :param inputs: tensors of the shapes that it will be called with.
    :param options: ``"backend"`` may be ``"trace"``, a graph that torch interprets without Python;
        ``"inductor"``, machine code made with a C++ compiler, which
        takes tens of seconds to make, is faster still and rounds differently; ``"graph"``, the
        graph's operations called from Python; or ``"auto"``, the default, which is the first of
        ``"trace"`` and ``"graph"`` that the machine has. Other options are those of
        :func:`torch.jit.trace`.
    :returns: a function from the inputs to the outputs; it must be called without gradients. To
        make it may take a run of the graph, of which nothing stays.

    >>> from torch.fx.experimental.proxy_tensor import make_fx
    >>> x = torch.ones(2)
    >>> double = compile_graph(make_fx(lambda x: [x + x])(x), [x], {})
    >>> double(x)[0]
    tensor([2., 2.])
    """
    options = dict(options)
    backend = options.pop("backend", "auto")
    if backend == "inductor":
        return _by_inductor(module, inputs)
    if backend == "graph" or (backend == "auto" and not has_tracer()):
        return module.forward
    return _by_tracer(module, inputs, options)


def has_tracer() -> bool:
    """Tell whether torch's graph interpreter works in this Python."""
    return sys.version_info < (3, 14)


@functools.cache
def has_inductor() -> bool:
    """Tell whether the machine has what inductor needs: a C++ compiler."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))


def _by_tracer(module: GraphModule, inputs: Sequence[Tensor], options: dict[str, Any]) -> Run:
    options = {"check_trace": False, **options}
    options.pop("time_compilation", None)
    with _rehearsal(module, inputs):
        detached = tuple(x.detach() for x in inputs)
        traced: Run = torch.jit.trace(lambda *xs: tuple(module.forward(*xs)), detached, **options)
    return traced


def _by_inductor(module: GraphModule, inputs: Sequence[Tensor]) -> Run:
    with _rehearsal(module, inputs):
        import torch._inductor.config as inductor  # long to import, and seldom used

        compiled: Run = torch.compile(module, backend="inductor", dynamic=False, fullgraph=True)
        with inductor.patch(fallback_random=True):  # torch's own random numbers
            compiled(*inputs)
    return compiled


@contextmanager
def _rehearsal(module: GraphModule, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Undo what a run of a graph draws and writes, and let torch not warn of itself there."""
    nodes = [node for node in module.graph.nodes if node.op == "get_attr"]
    writable = [*inputs, *(getattr(module, str(node.target)) for node in nodes)]
    generators = get_rng_state()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        before = [(x, x._version, x.clone()) for x in writable]
        try:
            yield
        finally:
            set_rng_state(generators)
            for x, version, entries in before:
                if x._version != version:
                    x.copy_(entries)
