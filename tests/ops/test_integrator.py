"""The leapfrog: its order, its symmetries, and potentials that fail."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from pyro.ops import integrator
from pyro.ops.integrator import potential_grad, register_exception_handler, velocity_verlet
from tests.helpers import assert_close

Point = dict[str, Tensor]
MASS = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
INVERSE_MASS = MASS.inverse()


@pytest.fixture(autouse=True)
def handlers_put_back() -> Iterator[None]:
    before = dict(integrator._EXCEPTION_HANDLERS)
    yield
    integrator._EXCEPTION_HANDLERS.clear()
    integrator._EXCEPTION_HANDLERS.update(before)


def potential(z: Point) -> Tensor:
    return z["x"].pow(4).sum() / 4 + z["x"].prod() * z["y"].cos()


def kinetic_grad(r: Point) -> Point:
    return {"x": INVERSE_MASS @ r["x"], "y": 3 * r["y"]}


def energy(z: Point, r: Point) -> Tensor:
    kinetic = r["x"] @ INVERSE_MASS @ r["x"] / 2 + 1.5 * r["y"].square()
    return potential(z) + kinetic


def start() -> tuple[Point, Point]:
    z = {"x": torch.tensor([1.0, -0.7]).double(), "y": torch.tensor(0.3).double()}
    r = {"x": torch.tensor([0.2, 0.4]).double(), "y": torch.tensor(-0.6).double()}
    return z, r


def test_gradients_are_those_of_autograd() -> None:
    z, _ = start()
    gradient, value = potential_grad(potential, z)
    assert_close(value, potential(z))
    x, y = z["x"], z["y"]
    assert_close(gradient, {"x": x.pow(3) + x.flip(0) * y.cos(), "y": -x.prod() * y.sin()})
    assert not value.requires_grad and not any(x.requires_grad for x in z.values())
    with torch.no_grad():
        assert_close(potential_grad(potential, z)[0], gradient)


def test_what_the_potential_leaves_out_has_gradient_zero() -> None:
    z, _ = start()
    gradient, _ = potential_grad(lambda z: z["x"].sum(), z)
    assert_close(gradient, {"x": [1.0, 1.0], "y": 0.0})
    with pytest.raises(ValueError, match="does not depend on any of x, y, so it has no gradient"):
        potential_grad(lambda z: z["x"].detach().sum(), z)
    assert potential_grad(lambda z: torch.tensor(2.0), {}) == ({}, torch.tensor(2.0))


def test_steps_follow_the_formulas() -> None:
    z, r = start()
    step = 0.1
    half = {k: r[k] - step / 2 * g for k, g in potential_grad(potential, z)[0].items()}
    z_1 = {k: z[k] + step * v for k, v in kinetic_grad(half).items()}
    gradient, value = potential_grad(potential, z_1)
    r_1 = {k: half[k] - step / 2 * g for k, g in gradient.items()}
    actual = velocity_verlet(z, r, potential, kinetic_grad, step)
    assert_close(actual, (z_1, r_1, gradient, value))
    known = velocity_verlet(
        z, r, potential, kinetic_grad, step, z_grads=potential_grad(potential, z)[0]
    )
    assert_close(known, actual)
    twice = velocity_verlet(z_1, r_1, potential, kinetic_grad, step)
    assert_close(velocity_verlet(z, r, potential, kinetic_grad, step, num_steps=2), twice)


def test_a_known_gradient_saves_a_call() -> None:
    calls = []

    def counted(z: Point) -> Tensor:
        calls.append(1)
        return potential(z)

    z, r = start()
    _, _, gradient, _ = velocity_verlet(z, r, counted, kinetic_grad, 0.1, 3)
    assert len(calls) == 4
    velocity_verlet(z, r, counted, kinetic_grad, 0.1, 3, gradient)
    assert len(calls) == 7


def test_no_steps_stay_where_they_are() -> None:
    z, r = start()
    gradient, value = potential_grad(potential, z)
    assert_close(velocity_verlet(z, r, potential, kinetic_grad, 0.1, 0), (z, r, gradient, value))
    with pytest.raises(ValueError, match="num_steps is -1, expected 0 or more"):
        velocity_verlet(z, r, potential, kinetic_grad, 0.1, -1)


def test_a_trajectory_runs_backwards() -> None:
    z, r = start()
    there = velocity_verlet(z, r, potential, kinetic_grad, 0.1, 20)
    back = velocity_verlet(there[0], there[1], potential, kinetic_grad, -0.1, 20)
    assert_close(back[:2], (z, r))


def test_volumes_are_kept() -> None:
    def flow(flat: Tensor) -> Tensor:
        z, r = {"x": flat[:2], "y": flat[2]}, {"x": flat[3:5], "y": flat[5]}
        z, r, _, _ = velocity_verlet(z, r, potential, kinetic_grad, 0.3, 3)
        return torch.cat([z["x"], z["y"][None], r["x"], r["y"][None]])

    z, r = start()
    flat = torch.cat([z["x"], z["y"][None], r["x"], r["y"][None]])
    h = 1e-4 * torch.eye(6, dtype=torch.float64)
    columns = [(flow(flat + step) - flow(flat - step)) / 2e-4 for step in h]
    # Central differences are off by about the square of the step.
    assert_close(torch.linalg.det(torch.stack(columns)), 1.0, atol=1e-6)


def test_the_error_is_of_second_order() -> None:
    z, r = start()
    exact = energy(z, r)
    errors = []
    for steps in (20, 40, 80, 160):
        end = velocity_verlet(z, r, potential, kinetic_grad, 1.0 / steps, steps)
        errors.append((energy(end[0], end[1]) - exact).abs().item())
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert abs(orders[-1] - 2) < abs(orders[0] - 2) and abs(orders[-1] - 2) < 0.05


def test_a_harmonic_oscillator_turns() -> None:
    steps = 1000
    z, r = {"x": torch.tensor(1.0).double()}, {"x": torch.tensor(0.0).double()}
    step = 1.0 / steps
    end = velocity_verlet(z, r, lambda z: z["x"] ** 2 / 2, lambda r: r, step, steps)
    # The leapfrog turns by the angle acos(1 - step ** 2 / 2) exactly.
    angle = steps * math.acos(1 - step**2 / 2)
    assert_close(end[0]["x"], math.cos(angle), atol=1e-9)
    assert_close(end[0]["x"], math.cos(1.0), atol=step**2)


SINGULAR: list[Callable[[Point], Tensor]] = [
    lambda z: torch.linalg.cholesky(-z["y"] * torch.eye(2)).sum(),
    lambda z: torch.linalg.solve(z["y"] * torch.zeros(2, 2), torch.ones(2, 1)).sum(),
    lambda z: torch.linalg.inv(z["y"] * torch.zeros(2, 2)).sum(),
]


@pytest.mark.parametrize("broken", SINGULAR)
def test_a_singular_matrix_is_out_of_bounds(broken: Callable[[Point], Tensor]) -> None:
    z = {"x": torch.ones(2), "y": torch.tensor(2.0)}
    gradient, value = potential_grad(broken, z)
    assert_close(gradient, {"x": torch.zeros(2), "y": 0.0})
    assert value.isnan() and value.shape == ()
    end = velocity_verlet(z, gradient, broken, lambda r: r, 0.1, 2)
    assert end[3].isnan() and not end[0]["x"].requires_grad


def test_exceptions_are_passed_on_unless_a_handler_takes_them() -> None:
    def broken(z: Point) -> Tensor:
        raise ValueError("out of the support")

    z, _ = start()
    with pytest.raises(ValueError, match="out of the support"):
        potential_grad(broken, z)
    register_exception_handler("support", lambda error: "support" in str(error))
    assert potential_grad(broken, z)[1].isnan()
    with pytest.warns(UserWarning, match="named 'support' already; the new one replaces it"):
        register_exception_handler("support", lambda error: False)
    with pytest.raises(ValueError, match="out of the support"):
        potential_grad(broken, z)
    register_exception_handler("support", lambda error: True, warn_on_overwrite=False)
    assert potential_grad(broken, z)[1].isnan()
    assert list(integrator._EXCEPTION_HANDLERS) == ["torch_singular", "support"]
