"""Shapes, sums over blocks of dimensions, look-ups."""

from typing import Any

import pytest
import torch

from pyro.ops import shapes
from tests.helpers import assert_close


@pytest.mark.parametrize(
    "given", [[], [()], [(2, 1), (3,)], [(1,), (4, 1, 3), (2, 3)], [(0,), (1,)], [(2, 3), (2, 3)]]
)
def test_broadcast_shape_is_torchs(given: list[tuple[int, ...]]) -> None:
    assert shapes.broadcast_shape(*given) == tuple(torch.broadcast_shapes(*given))
    assert type(shapes.broadcast_shape(*map(torch.Size, given))) is tuple


@pytest.mark.parametrize("given", [[(2,), (3,)], [(2, 2), (1,), (3, 1)], [(0,), (2,)]])
def test_shapes_that_do_not_broadcast(given: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="shape mismatch: .* do not broadcast"):
        shapes.broadcast_shape(*given)


def test_strict_broadcasting_only_adds_dimensions() -> None:
    assert shapes.broadcast_shape((2, 1), (), (1,), strict=True) == (2, 1)
    for given in ([(2, 1), (3,)], [(1,), (3,)], [(3,), (1,)]):
        with pytest.raises(ValueError, match="without stretching"):
            shapes.broadcast_shape(*given, strict=True)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (2, 3), (1, 2, 3), (4, 2, 3)])
@pytest.mark.parametrize("target", [(), (3,), (2, 3), (2, 1), (4, 2, 3)])
def test_expands_to_is_torchs(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    try:
        torch.zeros(shape).expand(target)
    except RuntimeError:
        assert not shapes.expands_to(shape, target)
    else:
        assert shapes.expands_to(shape, target)


@pytest.mark.parametrize("count", [0, 1, 2, 3, -1, -2, -3])
def test_sums_over_blocks(count: int) -> None:
    value = torch.randn(2, 3, 4)
    summed = count if count >= 0 else 3 + count
    assert_close(
        shapes.sum_rightmost(value, count), value.flatten(3 - summed).sum(-1) if summed else value
    )
    assert_close(
        shapes.sum_leftmost(value, count), value.flatten(0, summed - 1).sum(0) if summed else value
    )


def test_sums_of_numbers() -> None:
    assert shapes.sum_rightmost(0.5, 2) == 0.5
    assert shapes.sum_leftmost(0.5, 2) == 0.5


@pytest.mark.parametrize(
    "value, index, dim",
    [
        ((2, 3), (1,), -1),
        ((3,), (2, 1), -1),
        ((2, 3), (4, 1, 1), -1),
        ((4, 2, 3), (1, 3), 1),
        ((5,), (7,), 0),
    ],
)
def test_gather(value: Any, index: Any, dim: int) -> None:
    tensor = torch.randn(value)
    limit = tensor.size(dim if dim < 0 or len(value) >= len(index) else dim - len(index))
    where = torch.randint(limit, index)
    result = shapes.gather(tensor, where, dim)
    rank = max(len(value), len(index))
    axis = dim % rank
    moved = tensor[(None,) * (rank - len(value))].movedim(axis, -1)
    wanted = where[(None,) * (rank - len(index))].movedim(axis, -1)
    batch = torch.broadcast_shapes(moved.shape[:-1], wanted.shape[:-1])
    expected = moved.expand(*batch, -1).gather(-1, wanted.expand(*batch, -1)).movedim(-1, axis)
    assert_close(result, expected)


def test_likenesses() -> None:
    double = torch.zeros(2, dtype=torch.float64)
    assert_close(shapes.eye_like(double, 2, 3), torch.eye(2, 3, dtype=torch.float64))
    assert shapes.eye_like(double, 2).dtype == torch.float64
    assert shapes.scalar_like(double, 3.0).dtype == torch.float64
    assert shapes.scalar_like(double, 3.0).shape == ()
    value = torch.tensor([[0.0, 1000.0], [-1000.0, -1000.0]])
    assert_close(shapes.logsumexp(value, -1), torch.logsumexp(value, -1))
    assert shapes.logsumexp(value, 0, keepdim=True).shape == (1, 2)
