"""One parameter of the store: its unconstrained leaf and the way from there to its value."""

import weakref
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import constraints, transform_to
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import AffineTransform, ComposeTransform, Transform

from pyro._foundation.errors import site_error
from pyro._foundation.validation import is_validation_enabled

InitialValue = Tensor | Callable[[], Tensor]


class LeafReference(weakref.ref[Tensor]):
    """Gives a parameter's unconstrained leaf when called, without keeping it alive.

    A pickled copy has no store to point into and gives None.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[], "LeafReference"], tuple[()]]:
        return _lost_reference, ()

    def __deepcopy__(self, memo: dict[int, object]) -> "LeafReference":
        return self


def _lost_reference() -> LeafReference:
    return LeafReference(torch.empty(0))


class Slot:
    """A parameter's leaf, its constraint, and the transform between leaf and value.

    :param leaf: the unconstrained tensor that optimisers step.
    :param constraint: the set that the value lives on.
    :param transform: from the reals onto that set; None where the value is the leaf.

    >>> slot = slot_from_value("scale", torch.ones(2), constraints.positive)
    >>> slot.value().unconstrained() is slot.leaf
    True
    """

    __slots__ = ("leaf", "constraint", "transform", "reference")

    def __init__(self, leaf: Tensor, constraint: Constraint, transform: Transform | None) -> None:
        self.leaf = leaf
        self.constraint = constraint
        self.transform = transform
        self.reference = LeafReference(leaf)
        if transform is None:
            leaf.unconstrained = self.reference  # type: ignore[attr-defined]

    def value(self) -> Tensor:
        """Compute the constrained value; the leaf itself where there is no constraint."""
        if self.transform is None:
            return self.leaf
        value: Tensor = self.transform(self.leaf)
        value.unconstrained = self.reference  # type: ignore[attr-defined]
        return value


def slot_around(name: str, leaf: Tensor, constraint: Constraint) -> Slot:
    """Make a slot of a tensor that is to be the leaf itself, without a copy.

    :param name: the parameter's name, for errors.
    :param leaf: an unconstrained leaf that requires a gradient.
    :param constraint: the set that the value lives on.
    :raises TypeError: where the leaf is no tensor or the constraint no constraint.
    :raises ValueError: where the tensor is no leaf or requires no gradient.
    :raises NotImplementedError: where no transform leads onto the set.
    """
    if not isinstance(leaf, Tensor):
        raise site_error(name, f"the leaf is {leaf!r}, expected a tensor", kind=TypeError)
    if not (leaf.is_leaf and leaf.requires_grad):
        raise site_error(name, "the tensor is not a leaf that requires a gradient")
    return Slot(leaf, constraint, _transform_onto(name, constraint))


def slot_from_value(
    name: str, initial: InitialValue, constraint: Constraint, event_dim: int | None = None
) -> Slot:
    """Make a slot that has a given constrained value.

    A tensor that is a leaf and requires a gradient already, as a module's parameter does, becomes
    the leaf of an unconstrained parameter; any other is copied.

    :param name: the parameter's name, for errors.
    :param initial: the constrained value, or a function without arguments that gives it.
    :param constraint: the set that the value lives on.
    :param event_dim: how many of the rightmost dimensions belong to one draw.
    :raises TypeError: where an argument is of the wrong type.
    :raises ValueError: where the value breaks the constraint or lacks dimensions.
    :raises NotImplementedError: where no transform leads onto the set.
    """
    transform = _transform_onto(name, constraint)
    value = initial if isinstance(initial, Tensor) else _called(name, initial)
    if event_dim is not None:
        _check_event_dim(name, value, constraint, event_dim)
    if is_validation_enabled():
        _check_constraint(name, value, constraint)
    if transform is None:
        if value.is_leaf and value.requires_grad:
            return Slot(value, constraint, None)
        return Slot(new_leaf(name, value), constraint, None)
    with torch.no_grad():
        return Slot(new_leaf(name, transform.inv(value.detach())), constraint, transform)


def _transform_onto(name: str, constraint: Constraint) -> Transform | None:
    if not isinstance(constraint, Constraint):
        raise site_error(
            name, f"the constraint is {constraint!r}, expected a Constraint", kind=TypeError
        )
    if _is_unconstrained(constraint):
        return None
    try:
        return _without_identities(transform_to(constraint))
    except NotImplementedError as error:
        raise site_error(
            name,
            f"no transform leads from the reals onto {constraint!r}",
            "Choose a constraint that torch.distributions.transform_to knows.",
            NotImplementedError,
        ) from error


def _without_identities(transform: Transform) -> Transform:
    # torch maps onto the positive numbers by exp and then 0 + 1 * x, at thrice the cost of exp.
    if not isinstance(transform, ComposeTransform):
        return transform
    parts = [part for part in transform.parts if not _is_identity(part)]
    return parts[0] if len(parts) == 1 else ComposeTransform(parts)


def _is_identity(transform: Transform) -> bool:
    if not isinstance(transform, AffineTransform):
        return False
    numbers = transform.loc, transform.scale
    return not any(isinstance(x, Tensor) for x in numbers) and numbers == (0, 1)


def _is_unconstrained(constraint: Constraint) -> bool:
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    return type(constraint) is type(constraints.real)


def _called(name: str, initial: object) -> Tensor:
    value = initial() if callable(initial) else initial
    if not isinstance(value, Tensor):
        raise site_error(name, f"the first value is {value!r}, expected a tensor", kind=TypeError)
    return value


def new_leaf(name: str, unconstrained: Tensor) -> Tensor:
    """Copy a tensor into a leaf that requires a gradient.

    :param name: the parameter's name, for errors.
    :param unconstrained: the values; floating point or complex numbers.
    :raises ValueError: where the numbers are of a type that has no gradient.
    """
    if not (unconstrained.is_floating_point() or unconstrained.is_complex()):
        raise site_error(
            name,
            f"the first value is of {unconstrained.dtype}, which has no gradient",
            "Pass floating point numbers, such as value.float().",
        )
    copy = unconstrained.detach().clone(memory_format=torch.contiguous_format)
    return copy.requires_grad_()


def _check_event_dim(name: str, value: Tensor, constraint: Constraint, event_dim: int) -> None:
    if not isinstance(event_dim, int):
        raise site_error(name, f"event_dim is {event_dim!r}, expected an int", kind=TypeError)
    if not constraint.event_dim <= event_dim <= value.dim():
        raise site_error(
            name,
            f"event_dim is {event_dim}, expected at least {constraint.event_dim}, which "
            f"{constraint!r} spans, and at most {value.dim()}, which the value of shape "
            f"{tuple(value.shape)} has",
        )


def _check_constraint(name: str, value: Tensor, constraint: Constraint) -> None:
    try:
        fits = constraint.check(value)
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        raise site_error(
            name,
            f"the first value of shape {tuple(value.shape)} does not fit {constraint!r}: {error}",
        ) from error
    if bool(fits.all()):
        return
    broken = value
    if fits.shape == value.shape[: fits.dim()]:
        broken = value[~fits][0]
    raise site_error(
        name,
        f"the first value breaks the constraint {constraint!r}, for one in {broken.tolist()}",
        "Start from a value inside, or choose another constraint.",
    )
