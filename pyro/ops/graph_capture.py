"""The graph of tensor operations that a Python function runs, with its gradients."""

import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg
from torch.overrides import TorchFunctionMode

from pyro._foundation.jit import capturing

Row = tuple[Tensor | None, ...]

# Functions whose result is their first argument, or holds the same numbers and is never written to.
_IDENTITIES = {torch.ops.aten.detach.default, torch.ops.aten.alias.default}
_LIKE = {
    torch.ops.aten.zeros_like.default: 0.0,
    torch.ops.aten.ones_like.default: 1.0,
    torch.ops.aten.full_like.default: None,
}
_PRODUCTS = {torch.ops.aten.mul.Tensor, torch.ops.aten.mul.Scalar}


class Captured(NamedTuple):
    """A graph of what a function computes, and how to read its output.

    The module takes the inputs one by one and returns a list: the outputs, then those gradients
    that there are. ``outputs`` counts the former; ``wiring`` holds for each of them the position of
    its gradient by each input, None where it does not depend on it. At ``draws`` and after, the
    list has random numbers that nothing uses: they are drawn so that the generator moves on as it
    would. ``values`` is what comes before, as the run that was recorded computed it.
    """

    module: GraphModule
    outputs: int
    wiring: list[list[int | None]]
    draws: int
    values: list[Tensor]


def capture(fn: Callable[[], Sequence[Tensor]], inputs: Sequence[Tensor]) -> Captured:
    """Run a function once and record its operations and those of its gradients.

    :param fn: returns tensors, those of them that require a gradient with one element each. What it
        computes from the inputs is recorded, as are the random numbers that it draws; tensors that
        it takes from elsewhere are constants, of which the graph reads the entries that they have
        when it runs.
    :param inputs: tensors, the very objects that ``fn`` reads.
    :raises RuntimeError: where Python looks at numbers that were computed, as for an ``if``.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> graph = capture(lambda: [x**2], [x])
    >>> graph.module(torch.tensor(5.0))
    [tensor(25.), tensor(10.)]
    >>> graph.wiring
    [[1]]
    """
    count, wiring = 0, []
    flat: list[Tensor] = []
    wanted = [i for i, x in enumerate(inputs) if x.requires_grad]

    def joint(*_: Tensor) -> list[Tensor]:
        nonlocal count, flat
        outputs = list(fn())
        count = len(outputs)
        flat = [output.detach() for output in outputs]
        for output in outputs:
            row: list[int | None] = [None] * len(inputs)
            wiring.append(row)
            if not output.requires_grad:
                continue
            leaves = [inputs[i] for i in wanted]
            found = torch.autograd.grad(output, leaves, retain_graph=True, allow_unused=True)
            for i, gradient in zip(wanted, found, strict=True):
                if gradient is not None:
                    row[i] = len(flat)
                    flat.append(gradient)
        return flat

    with capturing(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function has run before, and torch warns of itself
        from torch.fx.experimental.proxy_tensor import make_fx  # long to import, and seldom used

        with _ScalarIndices(), _one_fake_mode():
            module = make_fx(joint)(*inputs)
    simplify(module)
    _own_results(module.graph)
    draws = _keep_draws(module.graph)
    module.recompile()
    with torch._C.DisableTorchFunctionSubclass():  # tensors and nothing more
        values = [x.detach().clone() for x in flat]
    return Captured(module, count, wiring, draws, values)


@contextmanager
def _one_fake_mode() -> Iterator[None]:
    """Let torch describe what it records with one set of tools, not a new one each time."""
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode

    with tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True))):
        yield


class _ScalarIndices(TorchFunctionMode):
    """Let tensors of one number index others as longer ones do.

    For ``x[i]`` torch looks at the number in ``i``, which must not become a part of the graph.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(map(_is_scalar, index)):
                return _selected(args[0], index)
        return func(*args, **(kwargs or {}))


def _is_scalar(part: Any) -> bool:
    is_tensor = isinstance(part, Tensor) and part.dim() == 0
    return is_tensor and not (part.is_floating_point() or part.dtype == torch.bool)


def _selected(x: Tensor, index: tuple[Any, ...]) -> Tensor:
    """Index a tensor, first by what is a tensor of one number, from the right."""
    ellipsis = next((i for i, part in enumerate(index) if part is Ellipsis), len(index))
    for i in reversed(range(len(index))):
        if _is_scalar(index[i]):
            before = sum(map(_dims_taken, index[:i]))
            after = sum(0 if _is_scalar(part) else _dims_taken(part) for part in index[i + 1 :])
            dim = before if i < ellipsis else x.dim() - after - 1
            x = x[(slice(None),) * dim + (index[i].reshape(1),)].squeeze(dim)
    rest = tuple(part for part in index if not _is_scalar(part))
    return x[rest] if rest else x


def _dims_taken(part: Any) -> int:
    """How many dimensions of a tensor a part of an index is about."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    return part.dim() if isinstance(part, Tensor) and part.dtype == torch.bool else 1


def simplify(module: GraphModule) -> None:
    """Drop operations of a graph that copy, that nobody reads, or that were done before.

    Of constants everything is computed once. Random draws, and graphs that write in place, stay as
    they are.

    :param module: a graph of ATen operations, which changes.
    """
    graph = module.graph
    known: dict[object, Node] = {}
    constants: dict[Node, Tensor] = {}
    if any(_is_mutating(node) for node in graph.nodes):  # then no two results are the same for sure
        return
    for number, node in enumerate(list(graph.nodes)):
        if node.op != "call_function" or _is_random(node):
            continue
        if (same := _same(node, constants)) is not None:
            _replace(node, same)
        elif (constant := _constant(node, constants)) is not None:
            with graph.inserting_before(node):
                made = graph.create_node("get_attr", f"_fixed_{number}")
            made.meta["val"] = constants[made] = constant
            _replace(node, made)
        elif (key := _key(node)) is not None and known.setdefault(key, node) is not node:
            _replace(node, known[key])
    for node in reversed(list(graph.nodes)):
        if node.op in ("call_function", "get_attr") and not node.users and not _is_random(node):
            graph.erase_node(node)
        elif node in constants:
            module.register_buffer(str(node.target), constants[node], persistent=False)


def _same(node: Node, constants: Mapping[Node, Tensor]) -> Node | None:
    """What a result is the same as: a copy is what was copied, and once something is that."""
    if node.target in _IDENTITIES:
        return node.args[0] if isinstance(node.args[0], Node) else None
    if node.target in _PRODUCTS:
        for x, factor in (node.args, node.args[::-1]):
            number = constants.get(factor, 0) if isinstance(factor, Node) else factor
            is_one = bool((torch.as_tensor(number) == 1).all())
            if is_one and isinstance(x, Node) and _looks(x) == _looks(node) is not None:
                return x
    return None


def _constant(node: Node, constants: Mapping[Node, Tensor]) -> Tensor | None:
    """The result of an operation on constants; None of any other."""
    operation: Any = node.target
    if operation in _LIKE and (looks := _looks(node)) is not None:
        entry = _LIKE[operation]
        shape, strides, dtype, device = looks
        blank = torch.empty_strided(shape, strides, dtype=dtype, device=device)
        return blank.fill_(node.args[1] if entry is None else entry)  # type: ignore[arg-type]
    if any(each not in constants for each in node.all_input_nodes):
        return None
    with torch.no_grad():
        result = operation(
            *map_arg(node.args, constants.get), **map_arg(node.kwargs, constants.get)
        )
    return result if isinstance(result, Tensor) else None


def _looks(node: Node) -> tuple[Any, ...] | None:
    """Shape, strides, dtype and device of a result, where they are known."""
    x = node.meta.get("val")
    return (x.shape, x.stride(), x.dtype, x.device) if isinstance(x, Tensor) else None


def _replace(node: Node, other: Node) -> None:
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)


def _key(node: Node) -> object:
    """What two nodes of the same result agree in; None where it cannot be told."""
    key = (node.target, _frozen(node.args), _frozen(node.kwargs))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _frozen(x: object) -> object:
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, *map(_frozen, x))
    if isinstance(x, dict):
        return tuple(sorted((name, _frozen(value)) for name, value in x.items()))
    if isinstance(x, float):  # 0.0 and -0.0 are equal, and NaN is not
        return ("float", x.hex())
    return (type(x).__name__, x)


def _is_mutating(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def _is_random(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _own_results(graph: Graph) -> None:
    """Copy what is returned and is part of something else, for users write to gradients."""
    output = next(iter(reversed(graph.nodes)))
    seen: set[Node] = set()
    results = []
    for node in output.args[0]:
        if node in seen or node.op != "call_function" or _is_view(node):
            with graph.inserting_before(output):
                node = graph.call_function(torch.ops.aten.clone.default, (node,))
        seen.add(node)
        results.append(node)
    output.args = (results,)


def _is_view(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(each.alias_info is not None for each in schema.returns)


def _keep_draws(graph: Graph) -> int:
    """Return unused draws along with the output, so that no compiler leaves them out."""
    output = next(iter(reversed(graph.nodes)))
    returned = list(output.args[0])
    unused = [node for node in graph.nodes if _is_random(node) and not node.users]
    output.args = ([*returned, *(_tensor_of(graph, node) for node in unused)],)
    return len(returned)


def _tensor_of(graph: Graph, node: Node) -> Node:
    schema = getattr(node.target, "_schema", None)
    if schema is None or len(schema.returns) == 1:
        return node
    with graph.inserting_after(node):
        return graph.call_function(operator.getitem, (node, 0))
