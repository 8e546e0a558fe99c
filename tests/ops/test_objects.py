"""Copies with other tensors; docstrings; methods that let go."""

import gc
from typing import Any, NamedTuple

import pytest
import torch

import pyro.distributions as dist
from pyro.ops.objects import copy_docs_from, deep_to, detach, map_tensors, weakmethod
from tests.helpers import assert_close


class Pair(NamedTuple):
    left: torch.Tensor
    right: Any


class Holder:
    a: Any
    size: Any
    name: Any
    kind: Any
    none: Any
    myself: Any
    pair: Any

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def test_nested_tensors_are_mapped_once() -> None:
    shared = torch.ones(2, requires_grad=True)
    held = Holder(a=[shared, {"b": shared}], size=torch.Size([2]), name="x", kind=Holder, none=None)
    vars(held).update(myself=held, pair=Pair(shared, (1, shared)))
    copy = detach(held)
    assert copy is not held and copy.myself is copy
    assert isinstance(copy.pair, Pair)
    parts = [copy.a[0], copy.a[1]["b"], copy.pair.left, copy.pair.right[1]]
    assert all(part is parts[0] for part in parts)
    assert not parts[0].requires_grad and shared.requires_grad
    assert (copy.size, copy.name, copy.kind, copy.none) == (torch.Size([2]), "x", Holder, None)


def test_laws_change_dtype_and_lose_gradients() -> None:
    loc = torch.zeros(2, requires_grad=True)
    law = dist.Normal(loc, 1.0).to_event(1).mask(torch.tensor(True))
    single = detach(law)
    assert not single.rsample().requires_grad and law.rsample().requires_grad
    double = deep_to(dist.Gamma(torch.ones(2), torch.ones(2)), torch.float64)
    assert double().dtype == torch.float64
    assert_close(double.log_prob(torch.ones(2, dtype=torch.float64)).float(), [-1.0, -1.0])


def test_subclasses_of_containers_keep_what_they_hold() -> None:
    class Labelled(dict[str, Any]):
        note: Any

    table = Labelled(a=torch.ones(1))
    table.note = torch.ones(1)
    copy = map_tensors(table, torch.neg)
    assert type(copy) is Labelled
    assert_close([copy["a"], copy.note], [torch.tensor([-1.0])] * 2)


class Documented:
    """First paragraph.

    Second paragraph.
    """

    def method(self) -> None:
        """Does it."""

    def other(self) -> None:
        """Does something else."""


@pytest.mark.parametrize("full", [False, True])
def test_docstrings_are_copied(full: bool) -> None:
    @copy_docs_from(Documented, full_text=full)
    class Copy:
        def method(self) -> None:
            pass

        def other(self) -> None:
            """Own words."""

        def third(self) -> None:
            pass

    text = Copy.__doc__ or ""
    assert text.startswith("First paragraph.")
    assert ("Second paragraph" in text) is full
    assert ("See :class:`" in text) is not full
    assert (Copy.method.__doc__ or "").startswith("Does it.")
    assert Copy.other.__doc__ == "Own words."
    assert Copy.third.__doc__ is None


class Counter:
    @weakmethod
    def step(self, by: int = 1) -> int:
        """Steps."""
        return by + 1


def test_a_weak_method_lets_its_object_go() -> None:
    counter = Counter()
    step = counter.step
    assert step(by=2) == 3
    assert step.__doc__ == "Steps."
    del counter
    gc.collect()
    with pytest.raises(ReferenceError, match="Counter.step was taken from is gone"):
        step()
