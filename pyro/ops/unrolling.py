"""Plated sums of products the plain way: one copy of everything for each element of a plate."""

from collections.abc import Iterator, Mapping
from itertools import count, product
from typing import Any

import torch
from torch import Tensor

from pyro.ops.einsum.expressions import sizes_of, sum_product
from pyro.ops.einsum.layout import shape_of, split_many
from pyro.ops.plated_elimination import ordinals_of

Place = Mapping[str, int]


def naive_ubersum(equation: str, *operands: Tensor, **kwargs: Any) -> tuple[Tensor, ...]:
    """Do what :func:`pyro.ops.contract.einsum` does, by unrolling all plates.

    The cost is exponential in the sizes of the plates where these are nested or crossed; this is
    for tests, and for graphs that cannot be contracted plate by plate.

    :param equation: inputs and outputs, both separated by commas.
    :param operands: the factors.
    :param kwargs: ``plates``, or ``batch_dims`` under its former name, the letters of the plates;
        ``backend``, ``"torch"`` if left out, or the path of a module with a function ``einsum``.
    :raises ValueError: where equation and operands do not fit each other, or an output keeps a
        variable without its plates.

    >>> naive_ubersum("ix->,ix", torch.ones(2, 3), plates="i")
    (tensor(9.), tensor([[3., 3., 3.], [3., 3., 3.]]))
    """
    plates = kwargs.pop("plates", kwargs.pop("batch_dims", ""))
    backend = kwargs.pop("backend", "torch")
    for ignored in ("cache", "modulo_total"):
        kwargs.pop(ignored, None)
    if kwargs:
        raise TypeError(f"naive_ubersum() takes plates and backend, got {', '.join(kwargs)}.")
    inputs, outputs = split_many(equation)
    sizes = sizes_of(inputs, [shape_of(operand) for operand in operands])
    structure = tuple((frozenset(plates).intersection(dims), (dims,)) for dims in inputs)
    ordinals = ordinals_of(structure, set(sizes).difference(plates))
    copies = _Copies({x: "".join(sorted(ordinal)) for x, ordinal in ordinals.items()})
    unrolled_inputs, unrolled_operands = [], []
    for dims, operand in zip(inputs, operands, strict=True):
        for place in _places(dims, plates, sizes):
            unrolled_inputs.append(copies.of(dims, place))
            unrolled_operands.append(operand[tuple(place.get(x, slice(None)) for x in dims)])
    results = []
    for output in outputs:
        for x in output:
            if missing := set(copies.plates.get(x, "")).difference(output):
                raise ValueError(f"cannot keep variable {x!r} without its plate {min(missing)!r}.")
        parts = [
            sum_product(
                tuple(unrolled_inputs), copies.of(output, place), unrolled_operands, backend
            )
            for place in _places(output, plates, sizes)
        ]
        batch = [sizes[x] for x in output if x in plates]
        stacked = torch.stack(parts).reshape(batch + list(parts[0].shape))
        stood = [x for x in output if x in plates] + [x for x in output if x not in plates]
        results.append(stacked.permute([stood.index(x) for x in output]))
    return tuple(results)


def _places(dims: str, plates: str, sizes: Mapping[str, int]) -> Iterator[Place]:
    """Run through all elements of the plates among some dims."""
    inside = [x for x in dims if x in plates]
    for numbers in product(*(range(sizes[x]) for x in inside)):
        yield dict(zip(inside, numbers, strict=True))


class _Copies:
    """A letter for each copy of each variable."""

    def __init__(self, plates: Mapping[str, str]) -> None:
        self.plates = plates
        self.letters: dict[tuple[Any, ...], str] = {}
        self.fresh = count(0x4E00)  # the first of a long run of letters

    def of(self, dims: str, place: Place) -> str:
        return "".join(self.letter(x, place) for x in dims if x in self.plates)

    def letter(self, variable: str, place: Place) -> str:
        key = variable, *(place[plate] for plate in self.plates[variable])
        if key not in self.letters:
            self.letters[key] = chr(next(self.fresh))
        return self.letters[key]
