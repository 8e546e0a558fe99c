"""How the operands of one einsum step line up by broadcasting.

A step multiplies all its operands and sums some dimensions out at once. Its operands are viewed in
one common order of dimensions, that of the operand with the most, so that most need no view at all.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from pyro._foundation.jit import ignore_jit_warnings


def shape_of(tensor: Tensor) -> Sequence[int]:
    """Return the shape of a tensor as plain integers, which a tracer would make tensors of.

    :param tensor: a tensor.

    >>> import torch
    >>> shape_of(torch.zeros(2, 3))
    torch.Size([2, 3])
    """
    if not torch._C._get_tracing_state():
        return tensor.shape
    with ignore_jit_warnings():
        return tuple(int(size) for size in tensor.shape)


class Layout(NamedTuple):
    """An einsum step, laid out.

    :param inputs: the letters of each operand.
    :param output: the letters of the result.
    :param order: all letters, in the common order.
    :param views: for each operand the permutation, or None, and the dims to unsqueeze.
    :param summed: the positions to sum out, counted from the right.
    :param final: the permutation of the result, or None.
    """

    inputs: tuple[str, ...]
    output: str
    order: str
    views: tuple[tuple[tuple[int, ...] | None, tuple[int, ...]], ...]
    summed: tuple[int, ...]
    final: tuple[int, ...] | None


@lru_cache(maxsize=2**12)
def split(equation: str) -> tuple[tuple[str, ...], str]:
    """Take an equation apart.

    :param equation: such as ``"ab,bc->ac"``; any characters but these may be letters.
    :return: the letters of each operand, and those of the result.
    :raises ValueError: where there is no arrow, an operand repeats a letter, or the result repeats
        one or has one that no operand has.

    >>> split("ab,bc->ac")
    (('ab', 'bc'), 'ac')
    """
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = tuple(left.split(","))
    if not arrow:
        raise ValueError(f"the equation {equation!r} does not say what comes out; end it in '->…'.")
    for dims in (*inputs, output):
        if len(set(dims)) != len(dims):
            raise ValueError(f"{dims!r} in the equation {equation!r} repeats a letter.")
    unknown = set(output).difference(*inputs)
    if unknown:
        raise ValueError(f"{min(unknown)!r} is in the result of {equation!r} but in no operand.")
    return inputs, output


def split_many(equation: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take an equation with several results apart.

    :param equation: such as ``"ab,bc->ac,b,"``.
    :return: the letters of each operand, and those of each result.
    :raises ValueError: as :func:`split` raises it.

    >>> split_many("ab,bc->ac,b,")
    (('ab', 'bc'), ('ac', 'b', ''))
    """
    left, arrow, right = equation.partition("->")
    pairs = [split(f"{left}{arrow}{output}") for output in right.split(",")]
    return pairs[0][0], tuple(output for _, output in pairs)


def common_order(inputs: Iterable[str]) -> str:
    """Return all letters in the order in which the fewest operands have to be moved.

    :param inputs: the letters of each operand.

    >>> common_order(["a", "cb", "b"])
    'acb'
    """
    widest = ""
    for dims in inputs:
        if len(dims) >= len(widest):
            widest = dims
    others = dict.fromkeys(letter for dims in inputs for letter in dims if letter not in widest)
    return "".join(others) + widest


@lru_cache(maxsize=2**16)
def layout_of(equation: str) -> Layout:
    """Lay out a step; found once for each equation.

    :param equation: such as ``"ab,bc->ac"``.
    :raises ValueError: where it is not a valid equation.

    >>> layout_of("a,ab->b").summed
    (-2,)
    """
    inputs, output = split(equation)
    order = common_order(inputs)
    rank = len(order)
    summed = tuple(i - rank for i, letter in enumerate(order) if letter not in output)
    kept = "".join(letter for letter in order if letter in output)
    final = None if kept == output else tuple(map(kept.index, output))
    return Layout(inputs, output, order, tuple(_view(x, order) for x in inputs), summed, final)


def _view(dims: str, order: str) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    own = [letter for letter in order if letter in dims]
    permutation = tuple(map(dims.index, own))
    missing, left = [], len(own)
    for distance, letter in enumerate(reversed(order), 1):
        if left == 0:
            break
        if letter in dims:
            left -= 1
        else:
            missing.append(-distance)
    return (None if permutation == tuple(range(len(dims))) else permutation), tuple(missing)


def viewed(operand: Tensor, view: tuple[tuple[int, ...] | None, tuple[int, ...]]) -> Tensor:
    """View an operand in the common order; dims to the left of all its own are left out.

    :param operand: the operand.
    :param view: its entry in :attr:`Layout.views`.

    >>> import torch
    >>> viewed(torch.zeros(2), (None, (-1,))).shape
    torch.Size([2, 1])
    """
    permutation, missing = view
    if permutation is not None:
        operand = operand.permute(permutation)
    for dim in missing:
        operand = operand.unsqueeze(dim)
    return operand


def combine(
    layout: Layout, operands: Sequence[Tensor], multiply: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Multiply all operands into one tensor whose dims are in the common order.

    :param layout: how they line up.
    :param operands: the operands.
    :param multiply: the product of the semiring: :func:`torch.add` for logarithms.

    >>> import torch
    >>> combine(layout_of("a,b->ab"), [torch.ones(2), torch.ones(3)], torch.add).shape
    torch.Size([2, 3])
    """
    views = layout.views
    result = viewed(operands[0], views[0])
    for i in range(1, len(operands)):
        result = multiply(result, viewed(operands[i], views[i]))
    return result


def finish(layout: Layout, result: Tensor) -> Tensor:
    """Bring the dims that are left into the order of the equation.

    :param layout: the layout of the step.
    :param result: what is left of the product after the sum.

    >>> import torch
    >>> finish(layout_of("ab->ba"), torch.zeros(2, 3)).shape
    torch.Size([3, 2])
    """
    return result if layout.final is None else result.permute(layout.final)


def clique_size(layout: Layout, operands: Sequence[Tensor]) -> int:
    """Return how many elements the product of all operands has.

    :param layout: how they line up.
    :param operands: the operands.

    >>> import torch
    >>> clique_size(layout_of("a,b->"), [torch.ones(2), torch.ones(3)])
    6
    """
    sizes: dict[str, int] = {}
    for dims, operand in zip(layout.inputs, operands, strict=True):
        sizes.update(zip(dims, shape_of(operand), strict=True))
    return prod(sizes.values())


def matmul_equation(inputs: Sequence[str], output: str) -> str:
    """Spell a step with the 52 letters that :func:`torch.einsum` knows.

    :param inputs: the letters of each operand.
    :param output: the letters of the result.
    :raises ValueError: where there are more than 52 letters.

    >>> matmul_equation(["αβ", "βγ"], "αγ")
    'ab,bc->ac'
    """
    letters = dict.fromkeys("".join(inputs))
    if len(letters) > len(_ALPHABET):
        raise ValueError(f"one step has {len(letters)} dims, more than torch can multiply.")
    spelled = {ord(letter): _ALPHABET[i] for i, letter in enumerate(letters)}
    return f"{','.join(inputs)}->{output}".translate(spelled)


_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
