"""Newton's method for many small problems at once."""

import torch
from torch import Tensor

# Newton's method squares the error each time, from within a factor of sqrt(size) of the root.
_ITERATIONS = 10


def newton_step(
    loss: Tensor, x: Tensor, trust_radius: float | None = None
) -> tuple[Tensor, Tensor]:
    r"""Take a step of Newton's method in each of a batch of small problems.

    With the gradient :math:`g` and the Hessian :math:`H` of ``loss`` at :math:`x`, the step goes
    to the stationary point of the quadratic model,

    .. math:: x' = x - H^{-1} g,

    which is its minimum where :math:`H` is positive definite. With a trust radius :math:`r` it
    goes to the model's minimum within reach,

    .. math:: x' = x + \arg\min_{\|d\| \le r} g^\top d + \tfrac{1}{2} d^\top H d
        = x - (H + \lambda I)^{-1} g,

    where :math:`\lambda \ge 0` is the smallest number that makes :math:`H + \lambda I` positive
    definite and the step no longer than :math:`r`; this needs no convexity.

    The result is differentiable as often as the Hessian is; once, where the radius binds. In an
    optimisation loop it should be detached, lest each step differentiate through all those before
    it. Detaching all
    steps but the last loses nothing: near the minimum the error squares from step to step, so that
    the last step alone has the derivative of the minimum with respect to what the loss depends on
    (Christianson, 1994, "Reverse accumulation and attractive fixed points", Optimization Methods
    and Software 3). On trust regions see Conn, Gould and Toint (2000), "Trust-region methods".

    :param loss: a scalar, twice differentiable in ``x``: the sum of one loss for each problem.
    :param x: the variables of each problem, of shape ``batch_shape + (size,)``.
    :param trust_radius: the largest length of a step, positive.
    :returns: the new variables, and :math:`(H + \lambda I)^{-1}` of shape
        ``batch_shape + (size, size)``. If the loss is a negative log density, these are the mode
        and covariance of its Laplace approximation.
    :raises ValueError: where a shape or the radius is wrong, or a Hessian is singular and there is
        no radius.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> mode, cov = newton_step((x - 3.0).pow(2).sum(), x)
    >>> mode.tolist(), cov.tolist()
    ([3.0, 3.0], [[0.5, 0.0], [0.0, 0.5]])
    """
    if loss.shape != ():
        raise ValueError(f"The loss has shape {tuple(loss.shape)}, expected a scalar.")
    if x.dim() < 1:
        raise ValueError("The variables are a scalar, expected a shape of at least one dimension.")
    if trust_radius is not None and not trust_radius > 0:
        raise ValueError(f"The trust radius is {trust_radius}, expected a positive number.")
    gradient, hessian = _derivatives(loss, x)
    if trust_radius is not None:
        shift = _shift_into_region(gradient, hessian, trust_radius)
        hessian = hessian + shift[..., None, None] * _identity(hessian)
    inverse, info = torch.linalg.inv_ex(hessian)
    if bool(info.any()):
        raise ValueError("The Hessian is singular. Pass a trust_radius to step regardless.")
    return x - _times(inverse, gradient), inverse


def newton_step_1d(
    loss: Tensor, x: Tensor, trust_radius: float | None = None
) -> tuple[Tensor, Tensor]:
    """Take :func:`newton_step` in problems of one variable.

    :param loss: a scalar, the sum of one loss for each problem.
    :param x: the variables, of shape ``batch_shape + (1,)``.
    :param trust_radius: the largest length of a step.
    :returns: the new variables and the inverse Hessian of each problem.
    :raises ValueError: where the last dimension of ``x`` is not 1.
    """
    return _newton_step_of_size(1, loss, x, trust_radius)


def newton_step_2d(
    loss: Tensor, x: Tensor, trust_radius: float | None = None
) -> tuple[Tensor, Tensor]:
    """Take :func:`newton_step` in problems of two variables.

    :param loss: a scalar, the sum of one loss for each problem.
    :param x: the variables, of shape ``batch_shape + (2,)``.
    :param trust_radius: the largest length of a step.
    :returns: the new variables and the inverse Hessian of each problem.
    :raises ValueError: where the last dimension of ``x`` is not 2.
    """
    return _newton_step_of_size(2, loss, x, trust_radius)


def newton_step_3d(
    loss: Tensor, x: Tensor, trust_radius: float | None = None
) -> tuple[Tensor, Tensor]:
    """Take :func:`newton_step` in problems of three variables.

    :param loss: a scalar, the sum of one loss for each problem.
    :param x: the variables, of shape ``batch_shape + (3,)``.
    :param trust_radius: the largest length of a step.
    :returns: the new variables and the inverse Hessian of each problem.
    :raises ValueError: where the last dimension of ``x`` is not 3.
    """
    return _newton_step_of_size(3, loss, x, trust_radius)


def _newton_step_of_size(
    size: int, loss: Tensor, x: Tensor, trust_radius: float | None
) -> tuple[Tensor, Tensor]:
    if x.shape[-1:] != (size,):
        raise ValueError(
            f"The variables have shape {tuple(x.shape)}, expected a last dimension of {size}."
        )
    return newton_step(loss, x, trust_radius)


def _derivatives(loss: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate once and twice; problems do not interact, so one pass a variable does."""
    (gradient,) = torch.autograd.grad(loss, [x], create_graph=True)
    if not gradient.requires_grad:  # the loss is linear
        return gradient, torch.zeros_like(x)[..., None].expand(*x.shape, x.size(-1))
    rows = [
        torch.autograd.grad(slope.sum(), [x], create_graph=True, materialize_grads=True)[0]
        for slope in gradient.unbind(-1)
    ]
    return gradient, torch.stack(rows, -2)


def _shift_into_region(gradient: Tensor, hessian: Tensor, radius: float) -> Tensor:
    """Find the least shift of each Hessian that brings its step into the region."""
    with torch.no_grad():
        shift, outside = _least_shift(gradient, hessian, radius)
    # At the root of 1 / length - 1 / radius, one more differentiable iteration of Newton's method
    # adds nothing but the root's derivative. Where there is no root, g = 1 only avoids 0 / 0.
    shifted = hessian + shift[..., None, None] * _identity(hessian)
    inverse = torch.linalg.inv(shifted)
    step = _times(inverse, torch.where(outside[..., None], gradient, 1.0))
    length = step.norm(dim=-1)
    slope = (step * _times(inverse, step)).sum(-1) / length.pow(3)
    return shift - torch.where(outside, (1 / length - 1 / radius) / slope.detach(), 0.0)


def _least_shift(gradient: Tensor, hessian: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Find the shifts, and which problems have their step end on the region's surface.

    With eigenvalues v and the gradient's coordinates a along eigenvectors, the step's length is
    that of a / (v + shift). Each coordinate alone bounds the shift from below. From there Newton's
    method on 1 / length, which is concave and nearly linear in the shift, climbs to the root.
    """
    values, vectors = torch.linalg.eigh(hessian)
    along = _times(vectors.mT, gradient)
    bounds = along.abs() / radius - values
    limits = torch.finfo(values.dtype)
    scale = torch.maximum(values.abs(), along.abs() / radius).amax(-1)
    definite = (limits.eps * scale).clamp(min=limits.tiny) - values[..., 0]
    outside = bounds.amax(-1) > definite.clamp(min=0.0)
    outside |= (along / (values + definite.clamp(min=0.0)[..., None])).norm(dim=-1) > radius
    shift = torch.maximum(bounds.amax(-1), definite).clamp(min=0.0)
    for _ in range(_ITERATIONS):
        step = along / (values + shift[..., None])
        length = step.norm(dim=-1)
        curvature = (step.square() / (values + shift[..., None])).sum(-1)
        shift = torch.where(
            outside, shift + length.square() / curvature * (length / radius - 1), shift
        )
    return shift, outside


def _identity(matrices: Tensor) -> Tensor:
    return torch.eye(matrices.size(-1), dtype=matrices.dtype, device=matrices.device)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]
