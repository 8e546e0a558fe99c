"""Inverses of increasing functions."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from pyro.ops.monotone import solve_in_order, solve_increasing, solve_plus_tanh
from tests.helpers import assert_close


def doubles(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.double)


def cubic(x: Tensor) -> tuple[Tensor, Tensor]:
    return x**3, 3 * x**2


def step(x: Tensor) -> tuple[Tensor, Tensor]:
    """Almost flat, but for a steep rise around 5."""
    rise = torch.sigmoid(1e3 * (x - 5))
    return rise + 1e-9 * x, 1e3 * rise * (1 - rise) + 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_to_rounding(dtype: torch.dtype) -> None:
    roots = torch.tensor([-1e4, -2.0, -1e-3, 1e-3, 0.7, 40.0], dtype=dtype)
    found = solve_increasing(lambda x: (x**3 + x, 3 * x**2 + 1), roots**3 + roots, roots * 0)
    assert_close(found, roots)


def test_where_newton_fails_it_bisects() -> None:
    found = solve_increasing(step, doubles(0.25, 0.5), doubles(0.0, -30.0))
    assert_close(step(found)[0], doubles(0.25, 0.5))
    # No slope at the start, where Newton's step is infinite.
    assert_close(solve_increasing(cubic, doubles(8.0), doubles(0.0)), doubles(2.0))


def test_far_and_small_values_side_by_side() -> None:
    sinh = lambda x: (x.sinh(), x.cosh())  # noqa: E731
    targets = doubles(-1e200, -1e-200, 0.0, 3.0, 1e300)
    assert_close(solve_increasing(sinh, targets, torch.zeros(5).double()), targets.asinh())


def test_what_is_not_reached() -> None:
    with pytest.raises(ValueError, match="does not reach 2; it has no inverse there"):
        solve_increasing(lambda x: (x.tanh(), 1 - x.tanh() ** 2), doubles(0.5, 2.0), doubles(0, 0))


def test_nan_has_no_root() -> None:
    assert solve_increasing(cubic, doubles(math.nan), doubles(0.0)).isnan().all()


def test_gradients_are_those_of_the_implicit_function() -> None:
    def root(scale: Tensor, target: Tensor) -> Tensor:
        return solve_increasing(
            lambda x: (scale * x + x**3, scale + 3 * x**2), target, torch.zeros_like(target)
        )

    assert gradcheck(
        root, (doubles(0.5, 2.0).requires_grad_(), doubles(-3.0, 1.0).requires_grad_())
    )


@pytest.mark.parametrize("slope", [-0.999, -0.3, 0.0, 2.0, 50.0])
def test_plus_tanh(slope: float) -> None:
    heights = doubles(-90.0, -1.0, 0.0, 1e-6, 3.0)
    m = doubles(slope)
    assert_close(solve_plus_tanh(m, heights + m * heights.tanh()), heights, rtol=1e-9, atol=1e-9)
    assert gradcheck(solve_plus_tanh, (m.requires_grad_(), doubles(-2.0, 0.4).requires_grad_()))


def test_entries_are_found_in_order() -> None:
    y = doubles(1.0, 5.0, 2.0)
    seen = []

    def entry(i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((i, x.tolist()))
        return y[i] + x.sum(), -y[i]

    found, known = solve_in_order(torch.tensor([2, 0, 1]), y, entry)
    assert seen == [(2, [0, 0, 0]), (0, [0, 0, 2]), (1, [3, 0, 2])]
    assert_close(found, doubles(3.0, 10.0, 2.0))
    assert_close(known, -y)
