import copy
import pickle
from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch

import pyro.distributions as dist
from pyro.ops.provenance import (
    ProvenanceTensor,
    detach_provenance,
    extract_provenance,
    get_provenance,
    plain_afterwards,
    track_provenance,
)
from tests.helpers import assert_close

A, B = frozenset({"a"}), frozenset({"b"})
AB = A | B


def tracked(name: str, *shape: int) -> torch.Tensor:
    return track_provenance(torch.rand(shape), frozenset({name}))


class Pair(NamedTuple):
    left: object
    right: object


@pytest.mark.parametrize(
    "compute",
    [
        lambda a, b: a + b,
        lambda a, b: 2 / a * 0 + b.sin(),
        lambda a, b: torch.stack([a, b]),
        lambda a, b: torch.cat([a, torch.zeros(3), b]),
        lambda a, b: torch.where(a > 0, b, 0.0),
        lambda a, b: torch.einsum("i,i->", a, b),
        lambda a, b: a[b.argmax()],
        lambda a, b: torch.zeros(3)[(a > b).long()],
        lambda a, b: torch.nn.functional.linear(a, b.expand(2, 3)),
        lambda a, b: torch.max(torch.stack([a, b]), 0),
        lambda a, b: (a * b).unbind(0),
        lambda a, b: torch.outer(a, b).T.data,
        lambda a, b: dist.Normal(a, b.exp()).log_prob(torch.zeros(3)),
        lambda a, b: dist.Normal(a, b.exp()).to_event(1).expand([2])(),
        lambda a, b: dist.Bernoulli(logits=a + b).sample(),
        lambda a, b: torch.distributions.LogNormal(a, b.exp()).rsample(),
        lambda a, b: torch.distributions.transform_to(dist.constraints.positive)(a) + b,
    ],
)
def test_what_is_computed_from_two_knows_both(compute) -> None:
    assert get_provenance(compute(tracked("a", 3), tracked("b", 3))) == AB
    assert get_provenance(compute(tracked("a", 3), torch.rand(3))) == A
    assert get_provenance(compute(torch.rand(3), torch.rand(3))) == frozenset()


def test_numbers_and_shapes_are_plain_values() -> None:
    a = tracked("a", 2)
    assert type(a[0].item()) is float
    assert type(bool(a[0] > 2)) is bool
    assert a.tolist() == detach_provenance(a).tolist()
    assert type(a.shape) is torch.Size
    assert a.shape == (2,)
    assert (a.dim(), a.dtype, len(a)) == (1, torch.float32, 2)


@pytest.mark.parametrize(
    "write",
    [
        lambda x, a: x.add_(a),
        lambda x, a: x.__setitem__(0, a[0]),
        lambda x, a: x.__imul__(a),
        lambda x, a: torch.exp(a, out=x),
        lambda x, a: x.copy_(a),
        lambda x, a: torch._foreach_add_([x], [a]),
    ],
)
def test_a_write_in_place_is_remembered(write) -> None:
    plain, known = torch.zeros(2), tracked("b", 2)
    with plain_afterwards():
        write(plain, tracked("a", 2))
        write(known, tracked("a", 2))
        assert get_provenance(plain + 1) == A
        assert get_provenance(known) == AB
    assert type(plain) is torch.Tensor
    assert vars(plain) == {}
    assert get_provenance(known) == AB


def test_an_in_place_operation_returns_the_tensor_itself() -> None:
    a = tracked("a", 2)
    assert a.add_(1) is a
    assert a.requires_grad_() is a
    assert a.requires_grad


def test_a_write_of_what_is_plain_changes_no_class() -> None:
    x = torch.zeros(2)
    x[0] = 1.0
    assert type(x) is torch.Tensor
    parameter = torch.nn.Parameter(torch.zeros(2))
    with torch.no_grad(), plain_afterwards():
        parameter.add_(tracked("a", 2))
        assert get_provenance(parameter) == A
    assert type(parameter) is torch.nn.Parameter


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: (x, 1),
        lambda x: [x, "text"],
        lambda x: {"k": x, "n": None},
        lambda x: OrderedDict(k=x),
        lambda x: Pair(1, x),
        lambda x: ([{"k": (x,)}], 2.0),
        lambda x: {x, 1},
        lambda x: frozenset([x]),
    ],
)
def test_containers_are_seen_through_and_keep_their_type(wrap) -> None:
    holder = wrap(torch.ones(2))
    twice = track_provenance(track_provenance(holder, A), B)
    assert type(twice) is type(holder)
    assert get_provenance(twice) == AB
    plain, provenance = extract_provenance(twice)
    assert type(plain) is type(holder)
    assert provenance == AB
    assert get_provenance(plain) == frozenset()
    assert get_provenance(holder) == frozenset()


@pytest.mark.parametrize("value", [2.0, "text", None, (1, 2), {"k": 1}, torch.Size([2])])
def test_what_holds_no_tensor_is_returned_itself(value) -> None:
    assert track_provenance(value, A) is value
    assert extract_provenance(value) == (value, frozenset())
    assert detach_provenance(value) is value


def test_nothing_to_track_gives_the_tensor_itself() -> None:
    x = torch.ones(2)
    assert ProvenanceTensor(x) is x
    assert ProvenanceTensor(x, frozenset()) is x
    assert type(ProvenanceTensor(x, {"a"})) is ProvenanceTensor
    assert detach_provenance(x) is x


def test_gradients_and_attributes_come_through() -> None:
    leaf = torch.tensor(3.0, requires_grad=True)
    leaf.unconstrained = "kept"  # type: ignore[attr-defined]
    known = track_provenance(leaf, A)
    assert known.unconstrained == "kept"
    (grad,) = torch.autograd.grad(known**2, leaf)
    assert_close(grad, 6.0)
    (known * 2).backward()
    assert_close(leaf.grad, 2.0)
    assert vars(detach_provenance(known)) == {"unconstrained": "kept"}


def test_memory_is_shared() -> None:
    x = torch.zeros(2)
    track_provenance(x, A).add_(1)
    assert_close(x, [1.0, 1.0])


def test_copies_pickles_and_hashes() -> None:
    a = tracked("a", 2)
    pair = copy.deepcopy([a, a])
    assert pair[0] is pair[1] and pair[0] is not a
    assert get_provenance(pair[0]) == A
    read = pickle.loads(pickle.dumps(a))
    assert get_provenance(read) == A
    assert_close(detach_provenance(read), detach_provenance(a))
    assert {a: 1}[a] == 1
    assert repr(track_provenance(torch.tensor(1.0), AB)) == (
        "ProvenanceTensor(tensor(1.), provenance={'a', 'b'})"
    )


def test_other_types_can_be_registered() -> None:
    class Shell:
        def __init__(self, inner: torch.Tensor) -> None:
            self.inner = inner

    @track_provenance.register
    def _track(x: Shell, provenance: frozenset) -> Shell:
        return Shell(track_provenance(x.inner, provenance))

    @extract_provenance.register
    def _extract(x: Shell) -> tuple[Shell, frozenset]:
        inner, provenance = extract_provenance(x.inner)
        return Shell(inner), provenance

    known = track_provenance([Shell(torch.ones(1))], A)
    assert get_provenance(known) == A
    assert get_provenance(detach_provenance(known)) == frozenset()
