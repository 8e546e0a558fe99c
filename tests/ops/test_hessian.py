"""Second derivatives in closed form."""

import pytest
import torch

from pyro.ops.hessian import hessian
from tests.helpers import assert_close


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_quadratic_form(size: int) -> None:
    matrix, x = torch.randn(size, size, dtype=torch.float64), leaf(size)
    assert_close(hessian(x @ matrix @ x / 2, x), (matrix + matrix.T) / 2)


def test_several_tensors_are_counted_one_after_the_other() -> None:
    x, y, z = leaf(2), leaf(1, 2), leaf()

    def value(flat: torch.Tensor) -> torch.Tensor:
        return flat[:2].pow(3).sum() * flat[2:4].exp().sum() + flat[4].sin() * flat[0]

    flat = torch.cat([x, y[0], z[None]])
    expected = torch.autograd.functional.hessian(value, flat.detach())
    assert_close(hessian(value(flat), [x, y, z]), expected)


def test_what_does_not_bend_has_zeros() -> None:
    x, y, z = leaf(2), leaf(1), leaf(1)
    assert_close(hessian(x.sum(), x), torch.zeros(2, 2))
    assert_close(
        hessian(x.sum() + y.square().sum(), [x, y, z]), torch.diag(torch.tensor([0, 0, 2.0, 0]))
    )
    assert_close(hessian(x.detach().sum(), x), torch.zeros(2, 2))
    assert hessian(x.pow(3).sum(), x).dtype == torch.float64


def test_only_scalars_have_one() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(2,\), expected a scalar"):
        hessian(leaf(2), leaf(2))
