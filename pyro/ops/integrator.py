"""Hamiltonian dynamics, one leapfrog after the other."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

Point = dict[str, Tensor]
PotentialFn = Callable[[Point], Tensor]

# What to make of an exception that a potential raises, by name: a handler says whether the
# point is to count as one that is out of bounds.
_EXCEPTION_HANDLERS: dict[str, Callable[[Exception], bool]] = {}


def register_exception_handler(
    name: str, handler: Callable[[Exception], bool], warn_on_overwrite: bool = True
) -> None:
    """Let an exception in a potential mean that its point is out of bounds.

    Where a registered handler says yes to an exception, :func:`potential_grad` does not pass it on
    but returns a potential of NaN, at which samplers reject the point, and gradients of zero. One
    handler, ``"torch_singular"``, is there from the start: it says yes to singular matrices.

    :param name: a name for the handler.
    :param handler: given the exception, tells whether to go on.
    :param warn_on_overwrite: whether to warn where the name is taken; the new handler is kept.

    >>> def is_overflow(error):
    ...     return isinstance(error, OverflowError)
    >>> register_exception_handler("overflow", is_overflow)
    >>> del _EXCEPTION_HANDLERS["overflow"]
    """
    if warn_on_overwrite and name in _EXCEPTION_HANDLERS:
        warnings.warn(
            f"There was an exception handler named {name!r} already; the new one replaces it.",
            stacklevel=2,
        )
    _EXCEPTION_HANDLERS[name] = handler


def _is_singular(error: Exception) -> bool:
    return isinstance(error, torch.linalg.LinAlgError) or (
        isinstance(error, RuntimeError) and "singular" in str(error)
    )


register_exception_handler("torch_singular", _is_singular)


def potential_grad(potential_fn: PotentialFn, z: Point) -> tuple[Point, Tensor]:
    """Return the gradient of a potential, and the potential.

    :param potential_fn: takes a dictionary of tensors and returns a scalar.
    :param z: where; these tensors are left as they are.
    :return: the gradient by name, and the potential without a graph; zeros and NaN where an
        exception was raised which a handler takes (:func:`register_exception_handler`).
    :raises ValueError: where the potential depends on none of the tensors.

    >>> potential_grad(lambda z: z["x"] ** 2, {"x": torch.tensor(3.0)})
    ({'x': tensor(6.)}, tensor(9.))
    """
    leaves = {name: value.detach().requires_grad_() for name, value in z.items()}
    try:
        with torch.enable_grad():
            potential = potential_fn(leaves)
        gradients = _gradients(potential, leaves)
    except Exception as error:
        if not any(handler(error) for handler in _EXCEPTION_HANDLERS.values()):
            raise
        flat = {name: torch.zeros_like(value) for name, value in z.items()}
        return flat, next(iter(flat.values()), torch.zeros(())).new_tensor(float("nan"))
    return gradients, potential.detach()


def _gradients(potential: Tensor, leaves: Point) -> Point:
    if not leaves:
        return {}
    if not potential.requires_grad:
        raise ValueError(
            f"The potential does not depend on any of {', '.join(leaves)}, so it has no gradient. "
            "Is it computed from detached values, or under torch.no_grad()?"
        )
    parts = torch.autograd.grad(potential, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, parts, strict=True))


def velocity_verlet(
    z: Point,
    r: Point,
    potential_fn: PotentialFn,
    kinetic_grad: Callable[[Point], Point],
    step_size: float | Tensor,
    num_steps: int = 1,
    z_grads: Point | None = None,
) -> tuple[Point, Point, Point, Tensor]:
    r"""Follow Hamilton's equations by the leapfrog of Störmer and Verlet.

    .. math::
        r_{1/2} = r_0 - \tfrac{\epsilon}{2}\nabla U(z_0), \quad
        z_1 = z_0 + \epsilon\,\nabla K(r_{1/2}), \quad
        r_1 = r_{1/2} - \tfrac{\epsilon}{2}\nabla U(z_1)

    It can be run backwards, keeps volumes, and its energy errors stay bounded: they are of order
    :math:`\epsilon^2` (Leimkuhler and Reich, 2004, "Simulating Hamiltonian dynamics").

    :param z: positions by name.
    :param r: momenta by the same names.
    :param potential_fn: the potential :math:`U`, as for :func:`potential_grad`.
    :param kinetic_grad: the gradient of the kinetic energy :math:`K`, by name: the inverse mass
        matrix times the momenta.
    :param step_size: the time :math:`\epsilon` that a step takes; negative, to go backwards.
    :param num_steps: how many steps, at least 0.
    :param z_grads: the gradient of the potential at ``z``, where it is known; it saves a call.
    :return: positions and momenta afterwards, and the potential's gradient and value there.
    :raises ValueError: where the number of steps is negative.

    >>> z, r, _, _ = velocity_verlet(
    ...     {"x": torch.tensor(0.0)}, {"x": torch.tensor(1.0)},
    ...     lambda z: z["x"] ** 2 / 2, lambda r: r, step_size=0.1, num_steps=10,
    ... )
    >>> z["x"]  # the sine of 1 is 0.8415
    tensor(0.8428)
    """
    if num_steps < 0:
        raise ValueError(f"num_steps is {num_steps}, expected 0 or more.")
    z, r = dict(z), dict(r)
    if z_grads is None or not num_steps:
        z_grads, potential = potential_grad(potential_fn, z)
    for _ in range(num_steps):
        r = _move(r, z_grads, -0.5 * step_size)
        z = _move(z, kinetic_grad(r), step_size)
        z_grads, potential = potential_grad(potential_fn, z)
        r = _move(r, z_grads, -0.5 * step_size)
    return z, r, z_grads, potential


def _move(point: Point, direction: Point, time: float | Tensor) -> Point:
    return {name: value + time * direction[name] for name, value in point.items()}
