"""The state of a param store: as a dictionary, and in a file that holds no code."""

import os
from collections.abc import Mapping
from typing import Any, TypedDict

from torch import Tensor
from torch.distributions.constraints import Constraint

from pyro._foundation.errors import site_error
from pyro.params.constraint_data import (
    build_constraint,
    describe_constraint,
    picklable_constraints,
)
from pyro.params.slot import Slot, new_leaf, slot_around
from pyro.params.state_file import MapLocation, read_state_file, write_state_file, wrong_file


class StateDict(TypedDict):
    """A param store as a dictionary: unconstrained leaves and constraints, by name."""

    params: dict[str, Tensor]
    constraints: dict[str, Constraint]


def state_of_slots(slots: Mapping[str, Slot]) -> StateDict:
    """Give the leaves and constraints of slots; the leaves are no copies.

    :param slots: slots by name.
    """
    return {
        "params": {name: slot.leaf for name, slot in slots.items()},
        "constraints": {name: slot.constraint for name, slot in slots.items()},
    }


def slots_of_state(state: object) -> dict[str, Slot]:
    """Make slots of the leaves and constraints of a state.

    :param state: a state; a leaf that requires a gradient is taken as it is, any other tensor is
        copied.
    :raises TypeError: where the state is of the wrong type.
    :raises ValueError: where it lacks a constraint.
    """
    leaves, constraints = _parts_of(state)
    slots = {}
    for name, leaf in leaves.items():
        if name not in constraints:
            raise site_error(name, "the state has no constraint for the parameter")
        if isinstance(leaf, Tensor) and not leaf.requires_grad:
            leaf = new_leaf(name, leaf)
        slots[name] = slot_around(name, leaf, constraints[name])
    return slots


def save_state(state: StateDict, filename: str | os.PathLike[str]) -> None:
    """Write a state as tensors and plain data.

    :param state: leaves and constraints by name.
    :param filename: the file; it is written whole or left as it was.
    :raises ValueError: where a constraint is not one that a file can name.
    """
    described = {}
    for name, constraint in state["constraints"].items():
        try:
            described[name] = describe_constraint(constraint)
        except ValueError as error:
            raise site_error(name, str(error).rstrip(".")) from error
    leaves = {name: leaf.detach() for name, leaf in state["params"].items()}
    write_state_file({"params": leaves, "constraints": described}, filename)


def load_slots(
    filename: str | os.PathLike[str], map_location: MapLocation = None
) -> dict[str, Slot]:
    """Read slots from a file, running no code that it might hold.

    :param filename: a file that :func:`save_state` wrote, or one in which a released Pyro pickled
        tensors and constraints that are registered.
    :param map_location: where the tensors go, as for :func:`torch.load`.
    :raises ValueError: where the file is damaged, foreign, or names other code.
    """
    what = "a param store"
    data = read_state_file(filename, what, map_location, picklable_constraints())
    try:
        leaves, descriptions = _parts_of(data)
        built = {name: _built(name, each) for name, each in descriptions.items()}
        return slots_of_state({"params": leaves, "constraints": built})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise wrong_file(filename, what, str(error)) from error


def _parts_of(state: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a dictionary, got a {type(state).__name__}")
    for key in StateDict.__annotations__:
        if not isinstance(state.get(key), Mapping):
            raise TypeError(f"a state holds a dictionary under the key {key!r}")
    return state["params"], state["constraints"]


def _built(name: str, constraint: object) -> Constraint:
    # A released Pyro pickles the constraint itself. Describing it checks what the file put in it.
    try:
        if isinstance(constraint, Constraint):
            constraint = describe_constraint(constraint)
        return build_constraint(constraint)
    except ValueError as error:
        raise site_error(name, str(error).rstrip(".")) from error
