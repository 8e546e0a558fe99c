"""The pass back through a contraction, which asks how the result came about.

A contraction of tensors of which some were marked by :func:`require_backward` records what led to
its result. Calling ``result._pyro_backward()`` then passes messages from the result to the marked
tensors, and leaves in each ``_pyro_backward_result`` what the backend computes:

- ``torch_map``: the values of the variables in the most probable joint assignment;
- ``torch_sample``: their values in one exact draw from the joint distribution;
- ``torch_marginal``: logarithms of marginals, which sum to the result.

Variables are drawn in the order opposite to that in which they were summed out, each given those
that are known by then, as in forward filtering, backward sampling.

An assignment is an integer tensor whose first dimension runs over the variables, of which
``_pyro_sample_dims`` has the letters; the others are a batch, and ``_pyro_dims`` names them after a
blank. It is None where there is nothing to say.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pyro.ops.packed import aligned, dims_of, named

SAMPLE_SYMBOL = " "  # stands for the dim of an assignment that runs over its variables

Message = Tensor | None


class Backward(ABC):
    """What led to one result, and how a message about it translates to its operands."""

    is_leaf = False

    def __call__(self) -> None:
        """Pass messages from here to all marked tensors."""
        pending: list[tuple[Backward, Message]] = [(self, None)]
        while pending:
            backward, message = pending.pop()
            pending.extend(backward.process(message))

    @abstractmethod
    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        """Translate a message about the result to those about its operands.

        :param message: an assignment or a log marginal; None at the result that was asked about.
        """


class _Leaf(Backward):
    is_leaf = True

    def __init__(self, target: Tensor) -> None:
        self.target = weakref.ref(target)  # which owns this

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        target = self.target()
        if target is not None:
            target._pyro_backward_result = message  # type: ignore[attr-defined]
        return ()


def require_backward(tensor: Tensor) -> None:
    """Mark a tensor, so that a pass back leaves its result there.

    :param tensor: a tensor, which should be packed.

    >>> from pyro.ops.einsum.torch_map import einsum
    >>> x = named(torch.tensor([0.0, 2.0, 1.0]), "x")
    >>> require_backward(x)
    >>> einsum("x->", x)._pyro_backward()
    >>> x._pyro_backward_result, x._pyro_backward_result._pyro_sample_dims
    (tensor([1]), 'x')
    """
    tensor._pyro_backward = _Leaf(tensor)  # type: ignore[attr-defined]


def backward_of(tensor: Tensor) -> Backward | None:
    """Return what led to a tensor, or None where nothing was recorded.

    :param tensor: any tensor.

    >>> backward_of(torch.zeros(())) is None
    True
    """
    return getattr(tensor, "_pyro_backward", None)


def record(result: Tensor, operands: Iterable[Tensor], backward: Callable[[], Backward]) -> Tensor:
    """Attach to a result what led to it, where one of its operands asks for that.

    :param result: a new tensor.
    :param operands: what it was computed from.
    :param backward: makes the record.

    >>> backward_of(record(torch.zeros(()), [torch.zeros(())], lambda: None)) is None
    True
    """
    if any(backward_of(operand) is not None for operand in operands):
        result._pyro_backward = backward()  # type: ignore[attr-defined]
    return result


class _Same(Backward):
    """A view that renames nothing; messages go by letters, so they fit as they are."""

    def __init__(self, operand: Tensor) -> None:
        self.operand = operand

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        backward = backward_of(self.operand)
        return () if backward is None else ((backward, message),)


def transpose(a: Tensor, axes: Sequence[int]) -> Tensor:
    """Permute the dims of a tensor, and record it.

    :param a: a tensor.
    :param axes: the old position of each dim of the result.

    >>> transpose(named(torch.zeros(2, 3), "ab"), (1, 0))._pyro_dims
    'ba'
    """
    result = a.permute(tuple(axes))
    if hasattr(a, "_pyro_dims"):
        named(result, "".join(dims_of(a)[axis] for axis in axes))
    return record(result, [a], lambda: _Same(a))


def lettered(operand: Tensor, dims: str) -> Tensor:
    """Return a tensor under given letters, without renaming what others may hold.

    :param operand: any tensor; one that has these letters comes back as it is.
    :param dims: a letter for each of its dims.

    >>> lettered(torch.zeros(2), "a")._pyro_dims
    'a'
    """
    if getattr(operand, "_pyro_dims", None) == dims:
        return operand
    return record(named(operand[...], dims), [operand], lambda: _Same(operand))


def expand(term: Tensor, dims: str, sizes: Sequence[int]) -> Tensor:
    """Put new dims to the left of a packed tensor, and record it.

    :param term: a packed tensor.
    :param dims: their letters.
    :param sizes: their lengths.

    >>> expand(named(torch.zeros(2), "a"), "b", [3])._pyro_dims
    'ba'
    """
    result = named(term.expand([*sizes, *term.shape]), dims + dims_of(term))
    return record(result, [term], lambda: _Same(term))


def unflatten(
    flat_sample: Tensor, output_dims: str, contract_dims: str, contract_shape: Sequence[int]
) -> Tensor:
    """Turn positions in a block of flattened dims into an assignment.

    :param flat_sample: positions, of any shape.
    :param output_dims: the letters of that shape.
    :param contract_dims: the letters of the flattened dims; at least one.
    :param contract_shape: their lengths.
    :raises ValueError: where letters and lengths do not match.

    >>> unflatten(torch.tensor([0, 5]), "i", "ab", (2, 3))
    tensor([[0, 1], [0, 2]])
    """
    if not contract_dims or len(contract_dims) != len(contract_shape):
        raise ValueError(f"there are dims {contract_dims!r} of the lengths {contract_shape}.")
    rows = []
    for size in reversed(contract_shape[1:]):
        rows.append(flat_sample % size)
        flat_sample = flat_sample.div(size, rounding_mode="floor")
    rows.append(flat_sample)
    stacked = flat_sample.unsqueeze(0) if len(rows) == 1 else torch.stack(rows[::-1])
    return _assignment(stacked, contract_dims, output_dims)


def _assignment(rows: Tensor, sample_dims: str, batch_dims: str) -> Tensor:
    rows._pyro_sample_dims = sample_dims  # type: ignore[attr-defined]
    return named(rows, SAMPLE_SYMBOL + batch_dims)


def _sample_dims(sample: Tensor) -> str:
    dims: str = sample._pyro_sample_dims  # type: ignore[attr-defined]
    return dims


def einsum_backward_sample(
    operands: Iterable[Tensor], sample1: Message, sample2: Message
) -> Iterable[tuple[Backward, Message]]:
    """Join two assignments, and tell each operand that asks what concerns it.

    :param operands: packed tensors.
    :param sample1: an assignment, or None.
    :param sample2: an assignment of other variables, or None.
    :return: pairs of the record of an operand and the assignment of its own variables.

    >>> x = named(torch.zeros(2), "x")
    >>> require_backward(x)
    >>> known = unflatten(torch.tensor(5), "", "xy", (2, 3))
    >>> [message for _, message in einsum_backward_sample([x], known, None)]
    [tensor([1])]
    """
    joint = _joined(sample1, sample2)
    for operand in operands:
        backward = backward_of(operand)
        if backward is not None:
            yield backward, None if joint is None else _cut(joint, dims_of(operand))


def _joined(one: Message, other: Message) -> Message:
    if one is None or other is None:
        return other if one is None else one
    batch = "".join(dict.fromkeys(dims_of(one)[1:] + dims_of(other)[1:]))
    dims = SAMPLE_SYMBOL + batch
    one_rows, other_rows = aligned(one, dims), aligned(other, dims)
    shape = [max(sizes) for sizes in zip(one_rows.shape[1:], other_rows.shape[1:], strict=True)]
    rows = torch.cat([x.expand(-1, *shape) for x in (one_rows, other_rows)])
    return _assignment(rows, _sample_dims(one) + _sample_dims(other), batch)


def _cut(sample: Tensor, dims: str) -> Message:
    known = _sample_dims(sample)
    rows = [i for i, letter in enumerate(known) if letter in dims]
    if len(rows) == len(known):
        return sample
    if not rows:
        return None
    return _assignment(sample[rows], "".join(known[i] for i in rows), dims_of(sample)[1:])


def look_up(value: Tensor, sample: Message) -> Tensor:
    """Return the entries of a packed tensor at an assignment.

    :param value: a packed tensor.
    :param sample: an assignment, or None. What it knows about other variables is ignored.
    :return: a packed tensor with the batch dims of the assignment, and the dims of ``value`` that
        it does not assign.

    >>> table = named(torch.tensor([[1., 2.], [3., 4.]]), "ab")
    >>> look_up(table, unflatten(torch.tensor([1, 0]), "i", "b", (2,)))._pyro_dims
    'ia'
    """
    own = dims_of(value)
    if sample is None or not set(own) & set(_sample_dims(sample)):
        return value
    plan, output = _look_up_plan(own, _sample_dims(sample), dims_of(sample)[1:])
    index: list[Any] = []
    for dim, (row, missing) in enumerate(plan):
        if row is None:
            entries = torch.arange(value.shape[dim], device=value.device)
            entries = entries.reshape([-1] + [1] * missing)
        else:
            entries = sample[row]
            entries = entries.reshape([*entries.shape, *[1] * missing])
        index.append(entries)
    return named(value[tuple(index)], output)


@lru_cache(maxsize=2**16)
def _look_up_plan(
    own: str, known: str, batch: str
) -> tuple[tuple[tuple[int | None, int], ...], str]:
    """Return the row that assigns each dim, how many dims follow, and the dims of the result."""
    free = "".join(letter for letter in own if letter not in known and letter not in batch)
    output = batch + free
    plan: list[tuple[int | None, int]] = []
    for letter in own:
        if letter in known:
            plan.append((known.index(letter), len(free)))
        else:
            plan.append((None, len(output) - 1 - output.index(letter)))
    return tuple(plan), output
