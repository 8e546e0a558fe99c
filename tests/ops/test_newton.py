"""Newton's method for many small problems at once."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pyro.ops.newton import newton_step, newton_step_1d, newton_step_2d, newton_step_3d
from tests.helpers import assert_close

BY_SIZE: dict[int, Callable[..., tuple[Tensor, Tensor]]] = {
    1: newton_step_1d,
    2: newton_step_2d,
    3: newton_step_3d,
    5: newton_step,
}


def _problems(size: int, shift: float = 0.0, count: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients, Hessians and starting points; the Hessians' eigenvalues are about ``shift``."""
    generator = torch.Generator().manual_seed(size)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    root = randn(count, size, size)
    hessian = (root + root.mT) / 2 + shift * torch.eye(size, dtype=torch.float64)
    return randn(count, size), hessian, randn(count, size).requires_grad_()


def _quadratic(slope: Tensor, hessian: Tensor, x: Tensor, x0: Tensor) -> Tensor:
    """A model with the given slope and Hessian at ``x0``, summed over problems."""
    d = x - x0.detach()
    return (slope * d).sum() + 0.5 * (d * (hessian @ d[..., None])[..., 0]).sum()


@pytest.mark.parametrize("size", BY_SIZE)
@pytest.mark.parametrize("shift", [0.0, 10.0, -10.0])
def test_a_step_leads_to_the_stationary_point(size: int, shift: float) -> None:
    slope, hessian, x = _problems(size, shift)
    mode, cov = BY_SIZE[size](_quadratic(slope, hessian, x, x), x)
    inverse = torch.linalg.inv(hessian)
    assert_close(mode.detach(), x.detach() - (inverse @ slope[..., None])[..., 0], rtol=1e-9)
    assert_close(cov.detach(), inverse, rtol=1e-9)


@pytest.mark.parametrize("size", BY_SIZE)
@pytest.mark.parametrize("shift", [0.0, 10.0, -10.0])
@pytest.mark.parametrize("radius", [1e-3, 0.1, 1.0, 100.0])
def test_a_step_is_the_best_within_the_radius(size: int, shift: float, radius: float) -> None:
    """The conditions that are necessary and sufficient for the minimum over a ball."""
    slope, hessian, x = _problems(size, shift)
    mode, cov = BY_SIZE[size](_quadratic(slope, hessian, x, x), x, radius)
    step, shifted = (mode - x).detach(), torch.linalg.inv(cov.detach())
    identity = torch.eye(size, dtype=torch.float64)
    multiplier = ((shifted - hessian) * identity).sum((-1, -2)) / size
    scale = 1e-9 * (hessian.norm(dim=(-1, -2)) + slope.norm(dim=-1) / radius)
    assert bool((step.norm(dim=-1) <= radius * (1 + 1e-9)).all())
    assert bool((multiplier >= -scale).all())
    residual = (shifted - hessian - multiplier[:, None, None] * identity).norm(dim=(-1, -2))
    assert bool((residual <= scale).all())
    assert bool((torch.linalg.eigvalsh(shifted)[:, 0] > 0).all())
    stationary = (shifted @ step[..., None])[..., 0] + slope
    assert bool((stationary.norm(dim=-1) <= 1e-9 * slope.norm(dim=-1)).all())
    slack = radius - step.norm(dim=-1)
    assert bool((multiplier * slack <= scale * radius).all())


@pytest.mark.parametrize("radius", [None, 0.1, 100.0])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_step_can_be_differentiated(size: int, radius: float | None) -> None:
    slope, hessian, x = _problems(size, 4.0, count=3)

    def step(slope: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
        return newton_step(_quadratic(slope, (hessian + hessian.mT) / 2, x, x), x, radius)

    inputs = [slope.requires_grad_(), hessian.requires_grad_()]
    assert torch.autograd.gradcheck(step, inputs)


def test_steps_converge_quadratically_to_the_minimum() -> None:
    x = torch.tensor([[1.5, -1.0], [0.5, 2.0]], dtype=torch.float64, requires_grad=True)
    errors = []
    for _ in range(6):
        mode, _ = newton_step((x.exp() - x).sum(), x, 1.0)
        x = mode.detach().requires_grad_()
        errors.append(float(mode.abs().max().detach()))
    assert errors[-1] < 1e-10
    assert all(after <= before**2 for before, after in zip(errors[-4:-1], errors[-3:], strict=True))


def test_the_last_step_alone_has_the_derivative_of_the_minimum() -> None:
    target = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    for _ in range(8):
        mode, _ = newton_step((x.exp() - target * x).sum(), x)
        x = mode.detach().requires_grad_()
    assert_close(mode.detach(), target.log().detach())
    slope = torch.autograd.functional.jacobian(torch.log, target.detach()).diagonal()
    assert_close(torch.autograd.grad(mode.sum(), [target])[0], slope)


def test_a_saddle_without_slope_stays_where_it_is() -> None:
    x = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    mode, cov = newton_step((x[:, 0] ** 2 - x[:, 1] ** 2).sum(), x, 0.5)
    assert_close(mode.detach(), torch.zeros(3, 2, dtype=torch.float64))
    assert bool((torch.linalg.eigvalsh(cov.detach()) > 0).all())


def test_a_linear_loss_goes_downhill_to_the_edge() -> None:
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    mode, _ = newton_step((x * torch.tensor([3.0, 4.0])).sum(), x, 0.5)
    assert_close(mode.detach(), torch.tensor([-0.3, -0.4], dtype=torch.float64))


def test_single_precision_is_enough() -> None:
    x = torch.tensor([[5.0, -5.0, 1.0]], requires_grad=True)
    mode, cov = newton_step((x - 1.0).square().sum(), x, 2.0)
    step = (mode - x).detach()
    assert_close(step, 2.0 * (1.0 - x.detach()) / (1.0 - x.detach()).norm())
    assert cov.dtype == torch.float32


class TestRefusals:
    def test_a_loss_that_is_no_scalar(self) -> None:
        x = torch.zeros(2, requires_grad=True)
        with pytest.raises(ValueError, match=r"loss has shape \(2,\), expected a scalar"):
            newton_step(x**2, x)

    def test_a_variable_without_dimensions(self) -> None:
        x = torch.zeros((), requires_grad=True)
        with pytest.raises(ValueError, match="variables are a scalar, expected a shape of at lea"):
            newton_step(x**2, x)

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_a_wrong_size(self, size: int) -> None:
        x = torch.zeros(7, 4, requires_grad=True)
        with pytest.raises(ValueError, match=rf"\(7, 4\), expected a last dimension of {size}"):
            BY_SIZE[size]((x**2).sum(), x)

    @pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
    def test_a_radius_that_is_not_positive(self, radius: float) -> None:
        x = torch.zeros(2, requires_grad=True)
        with pytest.raises(ValueError, match=f"trust radius is {radius}, expected a positive"):
            newton_step((x**2).sum(), x, radius)

    def test_a_singular_hessian(self) -> None:
        x = torch.zeros(2, requires_grad=True)
        with pytest.raises(ValueError, match="Hessian is singular. Pass a trust_radius"):
            newton_step((x.sum() - 1.0) ** 2, x)
