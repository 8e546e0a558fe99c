"""Batches of look-ups."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.ops.indexing import Index, Vindex, index, vindex
from tests.helpers import assert_close

TABLE = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
ALL = slice(None)


def numbers(*shape: int, below: int) -> Tensor:
    return torch.randint(below, shape)


def by_hand(tensor: Tensor, args: tuple[Any, ...]) -> Tensor:
    """Looks up one entry after the other, as the formula has it."""
    parts = list(args)
    ellipsis = parts[:1] == [...]
    parts = parts[1:] if ellipsis else parts
    lead = tensor.dim() - len(parts) if ellipsis else 0
    parts += [ALL] * (tensor.dim() - lead - len(parts))
    fancy = [i for i, part in enumerate(parts) if not isinstance(part, slice)]
    sliced = [i for i, part in enumerate(parts) if isinstance(part, slice)]
    indices = [torch.as_tensor(parts[i]) for i in fancy]
    batch = torch.broadcast_shapes(tensor.shape[:lead], *(i.shape for i in indices))
    indices = [i.expand(batch) for i in indices]
    ranges = [range(tensor.shape[lead + i])[parts[i]] for i in sliced]
    rows = []
    for place in product(*map(range, batch)):
        for event in product(*ranges):
            position: dict[int, int] = dict(zip(sliced, event, strict=True))
            position |= {i: int(part[place]) for i, part in zip(fancy, indices, strict=True)}
            own = place[len(place) - lead :] if lead else ()
            own = tuple(x if n > 1 else 0 for x, n in zip(own, tensor.shape[:lead], strict=True))
            rows.append(tensor[own + tuple(position[i] for i in range(len(parts)))])
    return torch.stack(rows).reshape(*batch, *map(len, ranges))


@pytest.mark.parametrize(
    "args",
    [
        (..., numbers(4, below=5)),
        (..., numbers(7, 1, 3, 4, below=5)),
        (..., numbers(7, 1, 1, 1, below=5)),
        (..., numbers(2, 1, below=4), ALL),
        (..., numbers(7, 1, 1, below=4), numbers(3, below=5)),
        (..., numbers(2, below=3), ALL, numbers(6, 1, below=5)),
        (..., numbers(3, below=4) - 4, 1),
        (..., numbers(2, 3, below=4), slice(1, 4)),
        (..., numbers(2, below=3), slice(None, None, 2), numbers(2, below=5)),
        (..., numbers(5, below=2), ALL, ALL, ALL),
        (numbers(6, below=2),),
        (numbers(6, 1, below=2), numbers(3, below=3)),
        (ALL, numbers(6, 1, below=3), ALL, numbers(7, below=5)),
        (ALL, ALL, numbers(6, below=4)),
        (1, ALL, numbers(6, 2, below=4), [0, 3]),
        (numbers(6, below=2), slice(0, 2)),
        (torch.tensor(1), numbers(6, 2, below=3).byte()),
    ],
)
def test_all_indices_broadcast_with_each_other_and_the_left(args: tuple[Any, ...]) -> None:
    assert_close(vindex(TABLE, args), by_hand(TABLE, args))
    assert_close(Vindex(TABLE)[args], by_hand(TABLE, args))


def test_sizes_of_one_on_the_left_broadcast() -> None:
    args = (..., numbers(6, 4, below=5))
    assert_close(vindex(TABLE[:1, :1, :], args), by_hand(TABLE[:1, :1, :], args))


@pytest.mark.parametrize(
    "args",
    [0, (0, 1), ..., (..., ALL), (..., -1), (..., torch.tensor(1)), (), (ALL, 1), [0, 1]]
    + [None, slice(1, 3), (..., [0, 1]), (slice(1, 3), ...)],
)
def test_without_a_tensor_with_dims_it_is_as_usual(args: Any) -> None:
    assert_close(vindex(TABLE, args), TABLE[args])
    assert_close(index(TABLE, args), TABLE[args])
    assert_close(Index(TABLE)[args], TABLE[args])


def test_an_index_in_plain_brackets_is_as_usual() -> None:
    rows = numbers(6, below=5)
    assert Index(TABLE)[..., rows].shape == (2, 3, 4, 6)
    assert Vindex({"a": 1})["a"] == 1


def test_gradients_flow_to_the_entries_that_were_looked_up() -> None:
    table = torch.zeros(2, 3, requires_grad=True)
    vindex(table, (..., torch.tensor([2, 0]))).sum().backward()
    assert_close(table.grad, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("args", "kind", "text"),
    [
        ((numbers(2, below=2), ...), NotImplementedError, "Ellipsis in the first place only"),
        ((..., numbers(2, below=2), ...), NotImplementedError, "Ellipsis in the first place only"),
        ((..., torch.tensor([5])), IndexError, "out of bounds"),
        ((..., torch.ones(4)), IndexError, "integers and slices together, got torch.float32"),
        ((..., torch.ones(4) > 0), IndexError, "got torch.bool"),
        ((None, numbers(2, below=2)), IndexError, "got None"),
        ((..., numbers(3, below=2)), IndexError, "could not be broadcast"),
        ((numbers(1, below=1),) * 5, IndexError, "too many indices"),
    ],
)
def test_what_cannot_be_an_index_is_refused(args: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        vindex(TABLE, args)
