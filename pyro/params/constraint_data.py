"""Constraints as data: a name and arguments, so that a file of parameters holds no code."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

_known: dict[str, Constraint | type[Constraint]] = {}
_pickled_as: dict[str, type[Constraint]] = {}


def register_constraint(
    name: str, constraint: Constraint | type[Constraint], pickled_as: str | None = None
) -> None:
    """Make a constraint known to the files that parameters are saved in.

    An instance is written as its name alone. A class is written as its name and the attributes
    that bear the names of its constructor's parameters, and is built again from these.

    :param name: what the files call it.
    :param constraint: a constraint without arguments, or the class of those that have some.
    :param pickled_as: the dotted path under which files of other origin pickled the class, where
        it differs from the path that the class has here.
    :raises ValueError: where the name already stands for another constraint.
    :raises TypeError: where ``constraint`` is no constraint.

    >>> class _Even(Constraint):
    ...     is_discrete = True
    ...     def check(self, value: torch.Tensor) -> torch.Tensor:
    ...         return value % 2 == 0
    >>> register_constraint("doctest_even", _Even)
    >>> describe_constraint(_Even())
    {'constraint': 'doctest_even', 'arguments': {}}
    """
    cls = constraint if isinstance(constraint, type) else type(constraint)
    if not issubclass(cls, Constraint):
        raise TypeError(f"Cannot register {name!r}: {constraint!r} is no constraint.")
    if _known.get(name, constraint) is not constraint:
        raise ValueError(f"A constraint named {name!r} is registered already: {_known[name]!r}.")
    _known[name] = constraint
    _pickled_as[pickled_as or f"{cls.__module__}.{cls.__qualname__}"] = cls


def picklable_constraints() -> list[tuple[type[Constraint], str]]:
    """List the constraint classes that a file may name, each with its dotted path.

    >>> paths = [path for _, path in picklable_constraints()]
    >>> "torch.distributions.constraints._Simplex" in paths
    True
    """
    return [(cls, path) for path, cls in _pickled_as.items()]


def describe_constraint(constraint: Constraint) -> dict[str, Any]:
    """Write a constraint as a name and arguments.

    :param constraint: a constraint that is registered.
    :returns: plain data: numbers, strings, tensors, lists and dictionaries.
    :raises ValueError: where the constraint, or one inside it, is not registered.

    >>> describe_constraint(constraints.interval(0.0, 2.0))
    {'constraint': 'interval', 'arguments': {'lower_bound': 0.0, 'upper_bound': 2.0}}
    """
    for name, known in _known.items():
        if isinstance(known, Constraint) and _is_same(constraint, known):
            return {"constraint": name, "arguments": {}}
    for name, known in _known.items():
        if known is type(constraint):
            return {"constraint": name, "arguments": _arguments_of(constraint)}
    raise ValueError(
        f"{constraint!r} is not a constraint that a file can name. Register its class with "
        "pyro.params.constraint_data.register_constraint."
    )


def build_constraint(data: object) -> Constraint:
    """Build the constraint that :func:`describe_constraint` wrote down.

    :param data: a description.
    :raises ValueError: where the description is malformed or names an unknown constraint.

    >>> build_constraint({"constraint": "greater_than", "arguments": {"lower_bound": 1.0}})
    GreaterThan(lower_bound=1.0)
    """
    name, arguments = _parts_of(data)
    known = _known.get(name)
    if known is None:
        raise ValueError(f"constraint {name!r} is unknown")
    if isinstance(known, Constraint):
        return known
    built = {key: _from_data(value) for key, value in arguments.items()}
    try:
        return known(**built)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"constraint {name!r} has wrong arguments") from error


def _parts_of(data: object) -> tuple[str, Mapping[str, Any]]:
    match data:
        case {"constraint": str(name), "arguments": Mapping() as arguments}:
            return name, arguments
    raise ValueError(f"{data!r} does not describe a constraint")


def _is_same(one: Constraint, other: Constraint) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or vars(one).keys() != vars(other).keys():
        return False
    pairs = ((value, vars(other)[name]) for name, value in vars(one).items())
    return all(a is b or (isinstance(a, int | float) and bool(a == b)) for a, b in pairs)


def _arguments_of(constraint: Constraint) -> dict[str, Any]:
    names = inspect.signature(type(constraint)).parameters
    try:
        return {name: _to_data(getattr(constraint, name)) for name in names}
    except AttributeError as error:
        raise ValueError(f"a {type(constraint).__name__} lacks an argument: {error}") from error


def _to_data(value: object) -> Any:
    if isinstance(value, Constraint):
        return describe_constraint(value)
    if isinstance(value, list | tuple):
        return [_to_data(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.detach()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a constraint's argument {value!r} cannot be written as data")


def _from_data(value: object) -> Any:
    if isinstance(value, Mapping):
        return build_constraint(value)
    if isinstance(value, list):
        return [_from_data(item) for item in value]
    return value


_OF_TORCH = (
    "real real_vector positive nonnegative unit_interval simplex lower_triangular lower_cholesky "
    "corr_cholesky square symmetric positive_semidefinite positive_definite boolean one_hot "
    "nonnegative_integer positive_integer greater_than greater_than_eq less_than interval "
    "half_open_interval integer_interval multinomial independent cat stack"
)
for _name in _OF_TORCH.split():
    register_constraint(_name, getattr(constraints, _name))
for _name, _class in (
    ("integer_greater_than", type(constraints.positive_integer)),
    ("integer_less_than", constraints._IntegerLessThan),
    ("mixture_same_family", constraints.MixtureSameFamilyConstraint),
):
    register_constraint(_name, _class)
