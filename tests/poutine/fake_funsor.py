"""A funsor for finite sums: tables whose dimensions have names, and no more than ``collapse`` asks.

Stands in for the package ``funsor`` where that is not installed. A table adds and is indexed by
names; sums run over its dimensions one by one.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import pytest
import torch


class _Bint:
    def __getitem__(self, size: int) -> int:
        return size


Bint = _Bint()
Real = "real"


class Funsor:
    inputs: OrderedDict[str, Any]


class Tensor(Funsor):
    """A table; ``inputs`` names its dimensions, from the left."""

    def __init__(self, data: torch.Tensor, inputs: Mapping[str, int] | None = None) -> None:
        self.data = data
        self.inputs = OrderedDict(inputs or {})

    def __getitem__(self, index: Variable) -> Tensor:
        return Tensor(self.data[: index.size], {index.name: index.size})

    def __add__(self, other: Tensor) -> Tensor:
        inputs = {**self.inputs, **other.inputs}
        return Tensor(self.aligned(inputs) + other.aligned(inputs), inputs)

    def __mul__(self, other: Tensor) -> Tensor:
        inputs = {**self.inputs, **other.inputs}
        return Tensor(self.aligned(inputs) * other.aligned(inputs), inputs)

    def aligned(self, names: Iterable[str]) -> torch.Tensor:
        own = list(self.inputs)
        data = self.data.permute([own.index(name) for name in names if name in own])
        return data.reshape([self.inputs.get(name, 1) for name in names])

    def summed(self, name: str, log: bool) -> Tensor:
        dim = list(self.inputs).index(name)
        data = self.data.logsumexp(dim) if log else self.data.sum(dim)
        return Tensor(data, {other: n for other, n in self.inputs.items() if other != name})


class Variable(Tensor):
    """The numbers from 0 on, along a dimension of its own name."""

    def __init__(self, name: str, size: int) -> None:
        if not isinstance(size, int):
            raise NotImplementedError("only finite supports")
        super().__init__(torch.arange(float(size)), {name: size})
        self.name, self.size = name, size


class Law(Funsor):
    """A law whose parameters are tables."""

    def __init__(self, cls: Any, parameters: Mapping[str, Tensor]) -> None:
        self.cls, self.parameters = cls, parameters
        size = {"Bernoulli": 2}.get(cls.__name__, Real)
        names = {name: n for table in parameters.values() for name, n in table.inputs.items()}
        self.inputs = OrderedDict({**names, "value": size})

    def __call__(self, value: Tensor) -> Tensor:
        names = {name: n for name, n in self.inputs.items() if name != "value"} | value.inputs
        parameters = {key: table.aligned(names) for key, table in self.parameters.items()}
        scores = type.__call__(self.cls, **parameters).log_prob(value.aligned(names))
        return Tensor(scores.expand(tuple(names.values())), names)


class CoerceDistributionToFunsor:
    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __call__(self, cls: Any, args: Any, kwargs: Any) -> Any:
        named = {**dict(zip(getattr(cls, "arg_constraints", ()), args, strict=False)), **kwargs}
        if not any(isinstance(value, Funsor) for value in named.values()):
            return None
        return Law(cls, {key: to_funsor(value, Real, {}) for key, value in named.items()})


def to_funsor(value: Any, output: Any, dim_to_name: Mapping[int, str]) -> Any:
    if isinstance(value, Funsor):
        return value
    if hasattr(value, "arg_constraints"):
        parameters = {"probs": value.probs}
        tables = {k: to_funsor(v, Real, dim_to_name) for k, v in parameters.items()}
        return Law(type(value), tables)
    data = torch.as_tensor(value)
    names = [dim_to_name[dim - data.dim()] for dim in range(data.dim())]
    return Tensor(data, dict(zip(names, data.shape, strict=True)))


def to_data(table: Tensor, name_to_dim: Mapping[str, int]) -> torch.Tensor:
    names = sorted(name_to_dim, key=name_to_dim.__getitem__)
    return table.aligned(names)


def sum_product(
    sum_op: Any, prod_op: Any, factors: list[Tensor], eliminate: frozenset[str], plates: Any
) -> Tensor:
    assert (sum_op, prod_op) == (logaddexp, add)
    plates_of = [plates & set(factor.inputs) for factor in factors]
    homes: dict[str, Any] = {}
    for factor, around in zip(factors, plates_of, strict=True):
        for name in (eliminate - plates) & set(factor.inputs):
            homes[name] = homes.get(name, around) & around
    total = Tensor(torch.zeros(()))
    for home in sorted(set(plates_of), key=len, reverse=True):
        inside = [f for f, around in zip(factors, plates_of, strict=True) if around == home]
        here = reduce(Tensor.__add__, inside)
        if not home:
            here = here + total
        for name in [name for name, where in homes.items() if where == home]:
            here = here.summed(name, log=True)
        for plate in home:
            here = here.summed(plate, log=False)
        total = here if not home else total + here
    return total


logaddexp, add = "logaddexp", "add"


def install(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Puts this in the place of the package, for the length of a test."""
    ops = types.SimpleNamespace(logaddexp=logaddexp, add=add)
    shared = {"Funsor": Funsor, "Variable": Variable, "Contraction": Law, "Delta": Law}
    shared |= {"CoerceDistributionToFunsor": CoerceDistributionToFunsor}
    shared |= {"sum_product": sum_product}
    top = types.ModuleType("funsor")
    top.__dict__.update(
        Bint=Bint,
        Real=Real,
        Tensor=Tensor,
        Funsor=Funsor,
        Variable=Variable,
        ops=ops,
        to_funsor=to_funsor,
        to_data=to_data,
        set_backend=lambda name: None,
    )
    monkeypatch.setitem(sys.modules, "funsor", top)
    for name in ("cnf", "delta", "terms", "distribution", "sum_product"):
        module = types.ModuleType(f"funsor.{name}")
        module.__dict__.update(shared)
        monkeypatch.setitem(sys.modules, f"funsor.{name}", module)
    return top
