"""Packed tensors: squeezed, with a letter for each dimension."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.ops import packed
from tests.helpers import assert_close

DIMS = {-1: "a", -2: "b", -3: "c"}


def pack(*shape: int, dims: dict[int, str] | None = None) -> Any:
    numbers = torch.arange(1.0, 1 + math.prod(shape)).reshape(shape)
    return packed.pack(numbers, DIMS if dims is None else dims)


def test_packing_squeezes_and_names() -> None:
    value = pack(4, 1, 3)
    assert (tuple(value.shape), value._pyro_dims) == ((4, 3), "ca")
    assert_close(value, torch.arange(1.0, 13.0).reshape(4, 3))


@pytest.mark.parametrize("value", [1.5, True, None])
def test_what_is_no_tensor_packs_to_itself(value: Any) -> None:
    assert packed.pack(value, {}) is value
    assert packed.unpack(value, {}) is value


def test_packing_leaves_its_argument_alone() -> None:
    for value in (torch.tensor(1.0), torch.zeros(2)):
        assert packed.pack(value, DIMS) is not value
        assert not hasattr(value, "_pyro_dims")


def test_a_dim_without_a_letter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) .* dims \[-2, -1\], .* only \[-1\]"):
        packed.pack(torch.zeros(2, 2), {-1: "a"})


def test_two_dims_with_one_letter_are_refused() -> None:
    with pytest.raises(ValueError, match="share a letter"):
        packed.pack(torch.zeros(2, 2), {-1: "a", -2: "a"})


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (2, 1, 3), (2, 3, 4)])
def test_unpacking_undoes_packing(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    assert_close(
        packed.unpack(packed.pack(value, DIMS), {letter: dim for dim, letter in DIMS.items()}),
        value,
    )


def test_unpacking_reorders() -> None:
    value = pack(2, 3)
    assert_close(packed.unpack(value, {"a": -3, "b": -1}), value.T.unsqueeze(-2))
    with pytest.raises(KeyError, match="b"):
        packed.unpack(value, {"a": -1})


def test_broadcasting_orders_and_expands() -> None:
    one, other = pack(2, 3), pack(4, 1, 3)
    for value in packed.broadcast_all(one, other):
        assert (tuple(value.shape), value._pyro_dims) == ((3, 2, 4), "abc")  # type: ignore[attr-defined]
    first, second = packed.broadcast_all(one, other, dims="cba")
    assert_close(first, one.expand(4, 2, 3))
    assert_close(second, other.unsqueeze(1).expand(4, 2, 3))
    assert one._pyro_dims == "ba" and other._pyro_dims == "ca"


def test_broadcasting_to_given_sizes() -> None:
    (value,) = packed.broadcast_all(pack(3), dims="da", sizes={"d": 5})
    assert_close(value, pack(3).expand(5, 3))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dims": "ab"}, "dims 'ca' cannot be brought to dims 'ab'"),
        ({"dims": "abcd"}, "how long dim 'd' is"),
        ({"sizes": {"a": 4}}, "dim 'a' is both 4 and 3"),
    ],
)
def test_broadcasting_refuses(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        packed.broadcast_all(pack(2, 3), pack(4, 1, 3), **options)
    with pytest.raises(TypeError, match="takes dims and sizes, got shape"):
        packed.broadcast_all(pack(2), shape=3)


@pytest.mark.parametrize(
    ("index_dims", "shape", "expected"),
    [({-1: "b"}, (2,), "b"), ({-1: "d"}, (4,), "bd"), ({-1: "d", -2: "b"}, (2, 4), "bd")],
)
def test_gather_is_a_look_up(index_dims: dict[int, str], shape: Any, expected: str) -> None:
    value = pack(2, 3)
    index = packed.pack(torch.randint(3, shape), index_dims)
    found: Any = packed.gather(value, index, "a")
    assert found._pyro_dims == expected
    rows = torch.arange(2).reshape(-1, *(1,) * (len(expected) - 1))
    assert_close(found, value[rows, index] if "b" in index._pyro_dims else value[:, index])  # type: ignore[attr-defined]


@pytest.mark.parametrize("dim", ["z", "b"])
def test_gather_refuses_a_dim_that_is_not_the_values_own(dim: str) -> None:
    with pytest.raises(ValueError, match=f"cannot look up along dim '{dim}'"):
        packed.gather(pack(2, 3), packed.pack(torch.tensor([0, 1]), {-1: "b"}), dim)


def einsum(*values: Any) -> Tensor:
    inputs = ",".join(value._pyro_dims for value in values)
    dims = "".join(dict.fromkeys(inputs.replace(",", "")))
    return torch.einsum(f"{inputs}->{dims}", *values)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 1, 3)), ((3,), (2, 1)), ((2, 3), ()), ((), (3,))])
def test_products_are_outer_over_letters(shapes: Any) -> None:
    one, other = (pack(*shape) for shape in shapes)
    before = one._pyro_dims, other._pyro_dims
    product = packed.mul(one, other)
    assert_close(product, einsum(one, other))
    assert product._pyro_dims == "".join(dict.fromkeys("".join(before)))
    assert (one._pyro_dims, other._pyro_dims) == before


def test_numbers_are_packed_tensors() -> None:
    value = pack(2, 3)
    for result in (packed.mul(2.0, value), packed.mul(value, 2.0)):
        assert_close(result, 2.0 * value)
        assert result._pyro_dims == "ba"
    assert packed.mul(2.0, 3.0) == 6.0
    assert packed.neg(2.0) == -2.0 and packed.exp(0.0) == 1.0


@pytest.mark.parametrize(("ours", "theirs"), [(packed.neg, torch.neg), (packed.exp, torch.exp)])
def test_functions_keep_the_letters(ours: Callable[..., Any], theirs: Any) -> None:
    value = pack(2, 3)
    assert_close(ours(value), theirs(value))
    assert ours(value)._pyro_dims == "ba"


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="dim 'a' is both 3 and 2 long"):
        packed.mul(pack(3), pack(2))


SCALES = [1.0, 2.0, torch.tensor(3.0), torch.tensor([[[2.0]], [[5.0]]])]
MASKS = [None, True, False, torch.tensor([True, False, True]), torch.tensor([[True], [False]])]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", [(2, 3), (3,), ()])
def test_scale_and_mask_is_what_it_is_unpacked(scale: Any, mask: Any, shape: Any) -> None:
    value = torch.randn(shape)
    packs = [packed.pack(x, DIMS) for x in (value, scale, mask)]
    scaled = packed.unpack(packed.scale_and_mask(*packs), {"a": -1, "b": -2, "c": -3})
    expected = torch.where(torch.as_tensor(True if mask is None else mask), value * scale, 0.0)
    assert_close(*torch.broadcast_tensors(scaled, expected))


def test_scale_and_mask_of_numbers() -> None:
    assert packed.scale_and_mask(3.0, 2.0) == 6.0
    mask = packed.pack(torch.tensor([True, False]), DIMS)
    assert_close(packed.scale_and_mask(3.0, 2.0, mask), [6.0, 0.0])
    value = pack(2)
    assert packed.scale_and_mask(value) is value


def test_equations_are_spelled_in_the_operands_letters() -> None:
    matrix, other = pack(2, 3, dims={-1: "Ā", -2: "x"}), pack(3, 4, dims={-2: "Ā", -1: "q"})
    assert packed.rename_equation("ab,bc->ca", matrix, other) == "xĀ,Āq->qx"
    with pytest.raises(ValueError, match="does not fit operands with dims xĀ, Āq"):
        packed.rename_equation("ab,b->a", matrix, other)
