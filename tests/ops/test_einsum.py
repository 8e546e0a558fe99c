"""Sums of products of many factors, step by step and with a pass back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import opt_einsum
import pytest
import torch
from torch import Tensor

from pyro.ops.einsum import contract, contract_expression, torch_log
from pyro.ops.einsum.adjoint import (
    Backward,
    einsum_backward_sample,
    look_up,
    require_backward,
    transpose,
    unflatten,
)
from pyro.ops.einsum.elimination import plan
from pyro.ops.packed import named
from tests.helpers import assert_close

PATH = "pyro.ops.einsum.torch_"
BACKENDS = ["torch", PATH + "log", PATH + "map", PATH + "sample", PATH + "marginal"]
EQUATIONS = [
    "->",
    "a->a",
    "ab->ba",
    "ab->b",
    "a,b->ab",
    "a,a->",
    ",a->",
    "ab,bc->ac",
    "ab,bc,cd->da",
    "ab,b,bc,c,ca->",
    "abc,cd,d,be->ea",
    "ab,cd->ac",
    "ab,ac,ad->bcd",
]
SIZES = {"a": 2, "b": 3, "c": 4, "d": 2, "e": 3}


def operands_of(equation: str) -> list[Tensor]:
    inputs = equation.split("->")[0].split(",")
    return [torch.randn([SIZES[x] for x in dims]).double() for dims in inputs]


def expected_of(equation: str, operands: list[Tensor], backend: str) -> Tensor:
    inputs, output = equation.split("->")
    letters = output + "".join(sorted(set(inputs) - set(output) - {","}))
    table = torch.zeros([SIZES[x] for x in letters]).double()
    for dims, operand in zip(inputs.split(","), operands, strict=True):
        order = sorted(range(len(dims)), key=lambda i: letters.index(dims[i]))
        shape = [SIZES[x] if x in dims else 1 for x in letters]
        table = table + operand.permute(order).reshape(shape)
    summed = tuple(range(len(output), len(letters)))
    if not summed:
        return table
    return table.amax(summed) if backend.endswith("map") else table.logsumexp(summed)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_contractions_are_exact(equation: str, backend: str) -> None:
    operands = operands_of(equation)
    expected = expected_of(equation, operands, backend)
    if backend == "torch":
        operands, expected = [x.exp() for x in operands], expected.exp()
    actual = contract(equation, *operands, backend=backend)
    assert_close(actual, expected)
    expression = contract_expression(equation, *(x.shape for x in operands), backend=backend)
    assert_close(expression(*operands), expected)
    module = PATH + "linear" if backend == "torch" else backend
    assert_close(opt_einsum.contract(equation, *operands, backend=module), expected)


@pytest.mark.parametrize("backend", BACKENDS[1:2])
@pytest.mark.parametrize("equation", [equation for equation in EQUATIONS if "," in equation])
def test_gradients_are_exact(equation: str, backend: str) -> None:
    operands = [x.requires_grad_() for x in operands_of(equation)]
    assert torch.autograd.gradcheck(lambda *x: contract(equation, *x, backend=backend), operands)


def test_terms_of_any_ratio_are_summed_exactly() -> None:
    x, y = torch.tensor([[-1000.0, 0.0]]), torch.tensor([[0.0], [-1000.0]])
    assert_close(torch_log.einsum("ab,bc->ac", x, y), [[-1000 + math.log(2)]])


def test_large_cliques_are_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    operands = [torch.randn(6, 7).double(), torch.randn(7, 8).double(), torch.randn(7).double()]
    operands[0][2] = operands[1][:, 3] = operands[2][1] = -torch.inf
    inputs = [x.requires_grad_() for x in operands]
    equation = "ab,bc,b->ca"
    exact = torch_log.einsum(equation, *inputs)
    finite = exact.detach().isfinite()
    gradients = torch.autograd.grad(exact[finite].sum(), inputs)
    monkeypatch.setattr(torch_log, "_LARGE", 10)
    monkeypatch.setattr(torch_log.Tensor, "logsumexp", None)  # is not called
    product = torch_log.einsum(equation, *inputs)
    assert_close(product, exact)
    assert_close(torch.autograd.grad(product[finite].sum(), inputs, retain_graph=True), gradients)
    dead = torch.autograd.grad(product[~finite].sum(), inputs)
    assert_close(dead, [torch.zeros(x.shape) for x in inputs])


def test_there_may_be_more_letters_than_the_alphabet_has() -> None:
    letters = [chr(0x100 + i) for i in range(300)]
    equation = ",".join(x + y for x, y in pairwise(letters)) + "->"
    factors = [torch.rand(2, 2).double() for _ in range(299)]
    expected = torch.ones(2).double()
    for factor in factors:
        expected = expected @ factor
    assert_close(contract(equation, *factors), expected.sum())


def test_a_plan_is_linear_in_the_length_of_a_chain() -> None:
    letters = [chr(0x100 + i) for i in range(1001)]
    sizes = tuple((x, 8) for x in letters)
    chain = plan(tuple(x + y for x, y in pairwise(letters)), "", sizes)
    assert len(chain) == 1000
    assert all(len(set("".join(step.inputs))) == 2 for step in chain)


def test_a_plan_leaves_a_hub_for_last() -> None:
    inputs = tuple("h" + chr(0x100 + i) for i in range(500))
    sizes = tuple((x, 2) for x in dict.fromkeys("".join(inputs)))
    steps = plan(inputs, "", sizes)
    assert len(steps) == 500
    assert len(steps[-1].operands) == 500  # 499 messages and the last factor


@pytest.mark.parametrize(
    ("equation", "shapes", "text"),
    [
        ("ab,bc", [(2, 3), (3, 4)], "does not say what comes out"),
        ("aa->", [(2, 2)], "repeats a letter"),
        ("ab->aa", [(2, 2)], "repeats a letter"),
        ("ab->c", [(2, 2)], "'c' is in the result"),
        ("ab,b->", [(2, 2)], "has 2 inputs, but there are 1"),
        ("ab->", [(2,)], r"shape \(2,\) cannot have the dims 'ab'"),
        ("ab,b->", [(2, 3), (4,)], "dim 'b' is both 3 and 4 long"),
    ],
)
def test_equations_that_do_not_fit_are_refused(
    equation: str, shapes: list[tuple[int, ...]], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        contract(equation, *map(torch.zeros, shapes))
    with pytest.raises(ValueError, match=text):
        contract_expression(equation, *shapes)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="backend 'math' is neither"):
        contract("a->", torch.zeros(2), backend="math")


def test_intermediates_are_shared_where_opt_einsum_shares_them() -> None:
    x, y = torch.rand(2, 3), torch.rand(3)
    with opt_einsum.shared_intermediates():
        assert contract("ab,b->a", x, y) is contract("ab,b->a", x, y)
    assert contract("ab,b->a", x, y) is not contract("ab,b->a", x, y)


# The pass back


def results(tensors: list[Tensor]) -> list[Any]:
    return [x._pyro_backward_result for x in tensors]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["map", "sample"])
@pytest.mark.parametrize("through", [contract, opt_einsum.contract])
def test_values_are_chosen_through_any_contraction(name: str, through: Any) -> None:
    torch.manual_seed(0)
    x = named(torch.randn(2, 3).double(), "ab")
    y = named(torch.randn(3, 4).double(), "bc")
    z = named(torch.randn(4).double(), "c")
    # All but one assignment are as good as impossible, so that a sample is a maximum too.
    operands = [named(1e3 * operand, operand._pyro_dims) for operand in (x, y, z)]  # type: ignore[attr-defined]
    table = operands[0][:, :, None] + operands[1] + operands[2]
    best = torch.unravel_index(table.argmax(), table.shape)
    for operand in operands:
        require_backward(operand)
    through("ab,bc,c->", *operands, backend=PATH + name)._pyro_backward()
    known = dict(zip("abc", map(int, best), strict=True))
    for value, dims in zip(results(operands), ["ab", "bc", "c"], strict=True):
        assert dict(zip(value._pyro_sample_dims, value.tolist(), strict=True)) == {
            letter: known[letter] for letter in dims
        }


def test_what_the_result_keeps_is_a_batch_of_choices() -> None:
    x, y = torch.randn(2, 3).double(), torch.randn(3, 4).double()
    require_backward(x)
    require_backward(y)
    contract("ab,bc->a", x, y, backend=PATH + "map")._pyro_backward()  # type: ignore[attr-defined]
    table = x[:, :, None] + y
    best = torch.stack(torch.unravel_index(table.flatten(1).argmax(1), (3, 4)))
    first, second = results([x, y])
    assert (first._pyro_dims, first._pyro_sample_dims) == (" a", "b")
    assert_close(first[0], best[0])
    order = ["bc".index(letter) for letter in second._pyro_sample_dims]
    assert_close(second, best[order])


def test_marginals_are_exact_through_impossible_values() -> None:
    x, y, z = torch.randn(2, 3).double(), torch.randn(3, 4).double(), torch.randn(4).double()
    x[1] = y[:, 2] = z[3] = -torch.inf
    for operand in (x, y, z):
        require_backward(operand)
    contract("ab,bc,c->", x, y, z, backend=PATH + "marginal")._pyro_backward()  # type: ignore[attr-defined]
    table = (x[:, :, None] + y + z).exp()
    actual = [result.exp() for result in results([x, y, z])]
    assert_close(actual, [table.sum(2), table.sum(0), table.sum((0, 1))])


def test_drawing_the_impossible_is_refused() -> None:
    x = torch.full((3,), -torch.inf)
    require_backward(x)
    total = contract("x->", x, backend=PATH + "sample")
    with pytest.raises(ValueError, match="every outcome has probability zero"):
        total._pyro_backward()  # type: ignore[attr-defined]


def test_a_transpose_passes_on() -> None:
    x = named(torch.randn(2, 3), "ab")
    require_backward(x)
    contract("ba->", transpose(x, (1, 0)), backend=PATH + "map")._pyro_backward()  # type: ignore[attr-defined]
    (value,) = results([x])
    position = {letter: int(value[i]) for i, letter in enumerate(value._pyro_sample_dims)}
    assert x[position["a"], position["b"]] == x.max()


def test_nothing_is_recorded_where_nobody_asks() -> None:
    assert not hasattr(contract("a->", torch.zeros(2), backend=PATH + "map"), "_pyro_backward")


def test_a_marked_tensor_is_a_leaf_and_asks_itself() -> None:
    x = torch.zeros(2)
    require_backward(x)
    backward: Backward = x._pyro_backward  # type: ignore[attr-defined]
    assert backward.is_leaf and not Backward.is_leaf
    backward()
    assert results([x]) == [None]


def test_positions_unflatten_to_assignments() -> None:
    flat = torch.arange(24).reshape(4, 6)
    sample = unflatten(flat, "ij", "abc", (2, 3, 4))
    assert (sample._pyro_dims, sample._pyro_sample_dims) == (" ij", "abc")  # type: ignore[attr-defined]
    assert_close(sample, torch.stack(torch.unravel_index(flat, (2, 3, 4))))
    with pytest.raises(ValueError, match="dims '' of the lengths"):
        unflatten(flat, "ij", "", ())


def test_assignments_are_joined_and_cut_to_what_concerns_an_operand() -> None:
    one = unflatten(torch.tensor([1, 0]), "i", "a", (2,))
    other = unflatten(torch.tensor([2, 1]), "j", "b", (3,))
    operands = [named(torch.zeros(2, 2, 3), "iab"), named(torch.zeros(2), "a")]
    operands += [named(torch.zeros(4), "c"), named(torch.zeros(2), "a")]
    for operand in operands[:3]:
        require_backward(operand)
    messages = [message for _, message in einsum_backward_sample(operands, one, other)]
    assert len(messages) == 3 and messages[2] is None
    both, first = messages[:2]
    assert both is not None and first is not None
    assert (both._pyro_dims, both._pyro_sample_dims) == (" ij", "ab")  # type: ignore[attr-defined]
    assert_close(both, [[[1, 1], [0, 0]], [[2, 1], [2, 1]]])
    assert_close(first, both[:1])
    assert [m for _, m in einsum_backward_sample(operands, None, None)] == [None] * 3


def test_looking_up_keeps_the_batch_and_what_is_not_assigned() -> None:
    table = named(torch.randn(2, 3, 4), "iab")
    sample = unflatten(torch.tensor([[2, 0], [1, 1]]), "ji", "a", (3,))
    entries = look_up(table, sample)
    assert entries._pyro_dims == "jib"  # type: ignore[attr-defined]
    for j in range(2):
        for i in range(2):
            assert_close(entries[j, i], table[i, int(sample[0, j, i])])
    assert look_up(table, None) is table
    assert look_up(table, unflatten(torch.tensor(1), "", "z", (3,))) is table
