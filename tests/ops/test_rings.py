"""Semirings on packed tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyro.ops.packed import broadcast_all, dims_of, named
from pyro.ops.rings import LinearRing, LogRing, MapRing, MarginalRing, Ring, SampleRing
from tests.helpers import assert_close

RINGS = [LinearRing, LogRing, MapRing, SampleRing, MarginalRing]
rings = pytest.mark.parametrize("make", RINGS)


def term(*shape: int, dims: str) -> Tensor:
    return named(torch.rand(shape).double() + 0.1, dims)


def into(make: type[Ring], numbers: Tensor) -> Tensor:
    return numbers if make is LinearRing else named(numbers.log(), dims_of(numbers))


def out_of(make: type[Ring], value: Tensor) -> Tensor:
    return value if make is LinearRing else value.exp()


@rings
def test_a_sumproduct_is_a_sum_of_products(make: type[Ring]) -> None:
    x, y = term(2, 3, dims="ix"), term(3, 4, dims="xy")
    result = make().sumproduct([into(make, x), into(make, y)], {"x"})
    table = x.unsqueeze(-1) * y
    expected = table.amax(1) if make is MapRing else table.sum(1)
    assert dims_of(result) == "iy"
    assert_close(out_of(make, result), expected)


@rings
def test_a_product_runs_over_the_elements_of_plates(make: type[Ring]) -> None:
    x, y = term(2, 3, 4, dims="ijx"), term(4, dims="x")
    ring = make(dim_to_size={"i": 2})
    product = ring.product(into(make, x), frozenset("ij"))
    assert dims_of(product) == "x"
    assert_close(out_of(make, product), x.prod(0).prod(0))
    # one factor for all elements counts as often as there are any
    assert_close(out_of(make, ring.product(into(make, y), frozenset("i"))), y**2)
    assert_close(out_of(make, ring.product(into(make, y), frozenset("?"))), y)


@rings
def test_a_factor_is_its_message_times_what_stays(make: type[Ring]) -> None:
    x = term(2, 3, 4, dims="ixy")
    ring = make()
    message, local = ring.global_local(into(make, x), "x", frozenset("i"))
    summed = x.amax(1) if make is MapRing else x.sum(1)
    assert (dims_of(message), sorted(dims_of(local))) == ("y", ["i", "x", "y"])
    assert_close(out_of(make, message), summed.prod(0))
    local, expected = broadcast_all(local, named(x / summed.unsqueeze(1), "ixy"))
    assert_close(out_of(make, local), expected)


@pytest.mark.parametrize("make", [LinearRing, LogRing])
def test_zero_over_zero_is_zero(make: type[Ring]) -> None:
    x = term(2, 3, dims="ix")
    x[0] = 0
    x.requires_grad_()
    message, local = make().global_local(into(make, named(x, "ix")), "x", "i")
    local = out_of(make, local)
    assert message.exp().item() == (1.0 if make is LinearRing else 0.0)
    assert_close(local[0], torch.zeros(3))
    assert_close(local[1], x[1] / x[1].sum())


def test_the_inverse_of_zero_has_no_infinite_gradient() -> None:
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(LinearRing().inv(named(x[...], "x")).sum(), x)
    assert_close(gradient, [0.0, -0.25])


@rings
def test_broadcasting_needs_the_size(make: type[Ring]) -> None:
    x = term(3, dims="x")
    wide = make(dim_to_size={"i": 2}).broadcast(x, frozenset("i"))
    assert (dims_of(wide), tuple(wide.shape)) == ("ix", (2, 3))
    assert make().broadcast(x, "x") is x
    with pytest.raises(ValueError, match="the size of plate 'i' is unknown"):
        make().broadcast(x, frozenset("i"))


@rings
def test_a_cache_computes_once(make: type[Ring]) -> None:
    x, y = into(make, term(2, 3, dims="ix")), into(make, term(3, dims="x"))
    ring, other = make(cache := {}), make(cache)
    assert ring.sumproduct([x, y], "x") is other.sumproduct([y, x], "x")
    assert ring.product(x, "i") is other.product(x, "i")
    assert ring.inv(x) is other.inv(x)
    assert make().inv(x) is not ring.inv(x)
    assert make({}).product(x, "i") is not ring.product(x, "i")


@rings
def test_nothing_cannot_be_multiplied(make: type[Ring]) -> None:
    with pytest.raises(ValueError, match="no factors"):
        make().sumproduct([], "")
