import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from pyro.ops.graph_capture import Captured, capture, simplify
from tests.helpers import assert_close


def leaf(*values: Any) -> Tensor:
    numbers = values[0] if len(values) == 1 else values
    return torch.tensor(numbers, dtype=torch.double, requires_grad=True)


def split(graph: Captured, *inputs: Tensor) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    """What a graph computes: the outputs, and for each its gradients."""
    flat = graph.module(*inputs)
    rows = [[None if at is None else flat[at] for at in row] for row in graph.wiring]
    return flat[: graph.outputs], rows


def targets(graph: Captured) -> list[Any]:
    return [node.target for node in graph.module.graph.nodes if node.op == "call_function"]


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Sequence[Tensor]]] = {
    "one output": lambda x, y: [(x * y).sum()],
    "two outputs": lambda x, y: [(x * y).sum(), x.exp().sum()],
    "without a gradient": lambda x, y: [x.detach().sum(), (x.detach() * y).sum()],
    "a reduction along a dimension": lambda x, y: [(x.logsumexp(-1) + y[0]).sum()],
    "a broadcast": lambda x, y: [(x.unsqueeze(-1) + y).pow(2).mean()],
    "written in place": lambda x, y: [x.clone().mul_(y).add_(1.0).sum()],
    "filled in place": lambda x, y: [torch.zeros_like(x).copy_(x).sum() * y.prod()],
    "a matrix": lambda x, y: [torch.linalg.cholesky(x.outer(x) + torch.eye(3)).sum() * y[1]],
    "its own gradient": lambda x, y: [
        torch.autograd.grad((x**3 * y).sum(), [x], create_graph=True)[0].sum()
    ],
}


@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_numbers_and_gradients_are_those_of_autograd_at_any_later_input(fn: Any) -> None:
    first = leaf(0.3, 1.2, 2.0), leaf(0.5, -1.0, 0.7)
    graph = capture(lambda: fn(*first), first)
    for later in (first, (leaf(1.0, -2.0, 0.1), leaf(0.2, 0.4, 3.0))):
        outputs, rows = split(graph, *later)
        expected = fn(*later)
        assert_close(outputs, expected)
        for row, output in zip(rows, expected, strict=True):
            if not output.requires_grad:
                assert row == [None, None]
                continue
            found = torch.autograd.grad(output, later, allow_unused=True, retain_graph=True)
            assert [each is None for each in row] == [each is None for each in found]
            for one, other in zip(row, found, strict=True):
                if one is not None:
                    assert_close(one, other)


def test_gradients_are_wired_to_what_an_output_depends_on() -> None:
    x, y, data = leaf(1.0), leaf(2.0), torch.tensor(3.0)
    graph = capture(lambda: [x * data, y * 2, data + 1], [x, y, data])
    assert graph.outputs == 3 and graph.draws == 5
    assert graph.wiring == [[3, None, None], [None, 4, None], [None, None, None]]


def test_what_is_no_input_is_read_when_the_graph_runs() -> None:
    x, shift = leaf(1.0), torch.tensor(5.0)
    graph = capture(lambda: [x + shift], [x])
    shift.fill_(7.0)
    assert_close(graph.module(leaf(1.0))[0], 8.0)


LOOKS: dict[str, Callable[[Tensor], Any]] = {
    "if": lambda x: [x if x > 0 else -x],
    "item": lambda x: [x * x.item()],
    "a size that depends on numbers": lambda x: [x[x > 0].sum()],
    "a list": lambda x: [x * [1.0, 2.0][int(x)]],
}


@pytest.mark.parametrize("fn", LOOKS.values(), ids=list(LOOKS))
def test_a_function_that_looks_at_its_numbers_is_refused(fn: Any) -> None:
    x = torch.tensor(1.0, requires_grad=True)
    with pytest.raises((RuntimeError, NotImplementedError)):
        capture(lambda: fn(x), [x])


def test_draws_come_from_torchs_generator_in_the_order_of_the_program() -> None:
    x = leaf(2.0)

    def fn() -> list[Tensor]:
        first = torch.randn(2, dtype=torch.double)
        torch.rand(3)  # nothing uses it, and yet it moves the generator
        law = torch.distributions.Gamma(x, torch.ones((), dtype=torch.double))
        return [(first * x).sum() + torch.bernoulli(torch.full((2,), 0.5)).sum() + law.rsample()]

    graph = capture(fn, [x])
    assert graph.draws == 2  # the output, its gradient; what follows is there to be drawn
    torch.manual_seed(1)
    found = [graph.module(x)[0] for _ in range(3)], torch.rand(())
    torch.manual_seed(1)
    expected = [fn()[0] for _ in range(3)], torch.rand(())
    assert_close(found, expected)
    assert len({each.item() for each in found[0]}) == 3


def test_a_draw_that_nothing_uses_is_returned_beside_the_others() -> None:
    def fn() -> list[Tensor]:
        torch.rand(3)
        return [x * torch.rand(())]

    graph = capture(fn, [x := leaf(2.0)])
    torch.manual_seed(1)
    found = graph.module(x)
    assert [each.shape for each in found[graph.draws :]] == [(3,)]
    torch.manual_seed(1)
    assert_close(found[0], fn()[0])


def test_the_run_that_is_recorded_is_a_run() -> None:
    total = torch.zeros(())

    def fn() -> list[Tensor]:
        total.add_(1.0)
        return [x**2 * torch.rand(()), total * 1]

    x = leaf(3.0)
    torch.manual_seed(1)
    graph = capture(fn, [x])
    torch.manual_seed(1)
    u = torch.rand(())
    assert_close(graph.values, [9 * u, 1.0, 6 * u])
    assert_close(total, 1.0)
    assert not any(value.requires_grad for value in graph.values)


TABLE = torch.arange(60.0).reshape(3, 4, 5)
INDICES: dict[str, Callable[[Tensor], Any]] = {
    "alone": lambda i: i,
    "in a tuple": lambda i: (i,),
    "second": lambda i: (slice(None), i),
    "twice": lambda i: (i, i),
    "beside a number": lambda i: (2, i),
    "before a number": lambda i: (i, -1),
    "beside a slice": lambda i: (slice(1, None), i, slice(0, 4, 2)),
    "after an ellipsis": lambda i: (..., i),
    "around an ellipsis": lambda i: (i, ..., i),
    "before an ellipsis": lambda i: (i, i, ...),
    "before the last, after an ellipsis": lambda i: (..., i, 2),
    "twice after an ellipsis": lambda i: (..., i, i),
    "around a slice, after an ellipsis": lambda i: (..., i, slice(1, 3), i),
    "beside a new dimension": lambda i: (None, i, None, 2),
    "beside a longer index": lambda i: (i, torch.tensor([0, 2, 3])),
    "after a longer index": lambda i: (torch.tensor([0, 2]), i),
    "after a mask": lambda i: (torch.tensor([True, False, True]), i),
    "negative": lambda i: -i,
}


@pytest.mark.parametrize("index", INDICES.values(), ids=list(INDICES))
def test_tensors_of_one_number_index(index: Any) -> None:
    graph = capture(lambda: [TABLE[index(i)]], [i := torch.tensor(1)])
    for later in (i, torch.tensor(2)):
        expected = TABLE[index(later)]
        assert_close(graph.module(later)[0], expected)


def test_an_index_out_of_range_is_an_error_still() -> None:
    graph = capture(lambda: [TABLE[:, i]], [i := torch.tensor(1)])
    with pytest.raises((IndexError, RuntimeError)):
        graph.module(torch.tensor(4))


def test_what_is_indexed_by_one_number_has_its_gradient() -> None:
    x, i = leaf(1.0, 2.0, 3.0), torch.tensor(2)
    graph = capture(lambda: [x[i] ** 2], [x, i])
    assert_close(split(graph, leaf(1.0, 5.0, 3.0), torch.tensor(1))[1][0][0], [0.0, 10.0, 0.0])


def test_results_belong_to_the_caller() -> None:
    """Whatever is written to them changes neither inputs, nor constants, nor each other."""
    x, constant = leaf(1.0, 2.0), torch.ones(2, dtype=torch.double)
    graph = capture(lambda: [constant, x.detach(), x.detach()[:1], x.sum(), x.sum() * 1], [x])
    later = torch.tensor([3.0, 4.0], dtype=torch.double)
    for _ in range(2):
        flat = graph.module(later)
        assert_close(flat[:3], [[1.0, 1.0], [3.0, 4.0], [3.0]])
        assert_close(flat[graph.outputs :], [torch.ones(2)] * 2)
        for each in flat:
            each.zero_()
    assert_close(later, [3.0, 4.0])


def traced(fn: Callable[..., Any], *inputs: Tensor) -> Any:
    module = make_fx(fn)(*inputs)
    simplify(module)
    module.recompile()
    return module


def calls(module: Any, target: Any) -> int:
    return sum(node.target is target for node in module.graph.nodes)


def test_what_is_done_twice_is_done_once() -> None:
    module = traced(lambda x: [x.exp() + x.exp(), x.exp().detach()], x := torch.tensor(0.5))
    assert calls(module, torch.ops.aten.exp.default) == 1
    assert calls(module, torch.ops.aten.detach.default) == 0
    assert_close(module(x), [2 * x.exp(), x.exp()])


def test_what_nobody_reads_is_left_out_and_constants_are_made_once() -> None:
    def fn(x: Tensor) -> list[Tensor]:
        x.sin()
        return [x + torch.full((2,), 3.0) * torch.arange(2)]

    module = traced(fn, torch.tensor(0.5))
    assert calls(module, torch.ops.aten.sin.default) == 0
    assert calls(module, torch.ops.aten.full.default) == 0
    assert calls(module, torch.ops.aten.arange.default) == 0
    assert_close(module(torch.tensor(1.0)), [[1.0, 4.0]])


def test_what_is_made_of_constants_is_made_once() -> None:
    shift = torch.full((2,), 3.0)

    def fn(x: Tensor) -> list[Tensor]:
        halves = torch.full((2, 1), 0.5).expand(2, 2).log() * torch.ones_like(x.exp())
        return [x + halves.sum(-1) + shift]

    module = traced(fn, torch.zeros(2))
    operations = [node.target for node in module.graph.nodes if node.op == "call_function"]
    assert operations == [torch.ops.aten.add.Tensor] * 2
    assert sum("fixed" in name for name, _ in module.named_buffers()) == 1
    shift.fill_(0.0)  # what is no constant of the function is read when the graph runs
    assert_close(module(torch.ones(2)), [[1.0 + 2 * math.log(0.5)] * 2])


def test_once_something_is_that_thing() -> None:
    def fn(x: Tensor) -> list[Tensor]:
        return [1 * x.exp() * torch.ones(2), x.exp() * torch.ones(3, 2), x.long() * 1.0]

    module = traced(fn, x := torch.tensor([0.5, 1.5]))
    assert calls(module, torch.ops.aten.mul.Tensor) == 2  # those that change shape or dtype
    found = module(x)
    assert_close(found, fn(x))
    assert [each.dtype for each in found] == [torch.float] * 3


def test_zeros_of_either_sign_are_two_numbers() -> None:
    module = traced(lambda x: [torch.copysign(x, 0.0), torch.copysign(x, -0.0)], torch.tensor(1.0))
    assert_close(module(torch.tensor(2.0)), [2.0, -2.0])


def test_numbers_of_two_types_are_two_numbers() -> None:
    module = traced(lambda x: [x * 2, x * 2.0], x := torch.tensor(3))
    found = module(x)
    assert [each.dtype for each in found] == [torch.long, torch.float]


def test_draws_are_never_the_same() -> None:
    module = traced(lambda x: [torch.rand_like(x), torch.rand_like(x)], x := torch.zeros(3))
    first, second = module(x)
    assert not first.equal(second)


def test_a_graph_that_writes_in_place_is_left_alone() -> None:
    def fn(x: Tensor) -> list[Tensor]:
        total = x * 1
        view = total.view(1)
        before = view + 0
        total.add_(1)
        return [before[0], (view + 0)[0]]

    module = traced(fn, torch.zeros(()))
    assert_close(module(torch.tensor(5.0)), [5.0, 6.0])


def test_capturing_moves_no_gradient_and_leaves_the_inputs_alone() -> None:
    x = leaf(1.0)
    capture(lambda: [x.log() * operator.add(x, 1)], [x])
    assert x.grad is None and x.item() == 1.0 and x.grad_fn is None


def test_a_nan_stays_one() -> None:
    graph = capture(lambda: [x.log(), (x * math.nan).exp()], [x := leaf(1.0)])
    outputs, rows = split(graph, leaf(-1.0))
    assert all(output.isnan() for output in outputs)
    assert_close(rows[0][0], -1.0)
