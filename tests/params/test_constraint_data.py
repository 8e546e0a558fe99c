"""Constraints written as data and built again."""

import re

import pytest
import torch
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from pyro.params.constraint_data import (
    build_constraint,
    describe_constraint,
    picklable_constraints,
    register_constraint,
)

SINGLETONS = [
    constraints.boolean,
    constraints.corr_cholesky,
    constraints.lower_cholesky,
    constraints.lower_triangular,
    constraints.nonnegative,
    constraints.nonnegative_integer,
    constraints.one_hot,
    constraints.positive,
    constraints.positive_definite,
    constraints.positive_integer,
    constraints.positive_semidefinite,
    constraints.real,
    constraints.real_vector,
    constraints.simplex,
    constraints.square,
    constraints.symmetric,
    constraints.unit_interval,
]
WITH_ARGUMENTS = [
    constraints.greater_than(1.5),
    constraints.greater_than(torch.tensor([1.0, 2.0])),
    constraints.greater_than_eq(-1),
    constraints.less_than(3.0),
    constraints.interval(-1.0, torch.tensor([1.0, 2.0])),
    constraints.half_open_interval(0.0, 1.0),
    constraints.integer_interval(0, 5),
    constraints.multinomial(4),
    type(constraints.positive_integer)(3),
    constraints.independent(constraints.independent(constraints.positive, 1), 2),
    constraints.MixtureSameFamilyConstraint(constraints.unit_interval),
    constraints.stack([constraints.positive, constraints.interval(0.0, 2.0)], dim=-1),
    constraints.cat([constraints.simplex, constraints.real_vector], dim=-1, lengths=[3, 2]),
]


class _Odd(Constraint):
    is_discrete = True

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return value % 2 == 1


@pytest.mark.parametrize("constraint", SINGLETONS, ids=repr)
def test_a_constraint_without_arguments_comes_back_as_itself(constraint: Constraint) -> None:
    assert build_constraint(describe_constraint(constraint)) is constraint


@pytest.mark.parametrize("constraint", WITH_ARGUMENTS, ids=repr)
def test_a_constraint_with_arguments_comes_back_with_them(constraint: Constraint) -> None:
    built = build_constraint(describe_constraint(constraint))
    assert type(built) is type(constraint)
    assert repr(built) == repr(constraint)
    assert str(vars(built)) == str(vars(constraint))


def test_a_copy_of_a_singleton_comes_back_as_the_singleton() -> None:
    assert build_constraint(describe_constraint(type(constraints.real)())) is constraints.real
    copy = constraints.greater_than(0.0)
    assert build_constraint(describe_constraint(copy)) is constraints.positive


def test_an_unregistered_constraint_is_refused_at_any_depth() -> None:
    nested = constraints.stack([constraints.real, _Odd()])
    for constraint in (_Odd(), constraints.independent(_Odd(), 1), nested):
        with pytest.raises(ValueError, match="not a constraint that a file can name.*register"):
            describe_constraint(constraint)


def test_a_registered_constraint_can_be_written() -> None:
    odd = _Odd()
    register_constraint("test_odd", odd, "elsewhere._Odd")
    register_constraint("test_odd", odd)
    assert build_constraint(describe_constraint(odd)) is odd
    assert (_Odd, "elsewhere._Odd") in picklable_constraints()


def test_a_name_cannot_stand_for_two_constraints() -> None:
    with pytest.raises(ValueError, match="'real' is registered already: Real()"):
        register_constraint("real", constraints.positive)


def test_only_constraints_can_be_registered() -> None:
    with pytest.raises(TypeError, match="Cannot register 'test_dict'.*no constraint"):
        register_constraint("test_dict", dict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        None,
        "real",
        {},
        {"constraint": "real"},
        {"constraint": 3, "arguments": {}},
        {"constraint": "real", "arguments": []},
    ],
    ids=repr,
)
def test_what_describes_no_constraint_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{data!r} does not describe a constraint")):
        build_constraint(data)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("eval", {}, "constraint 'eval' is unknown"),
        ("greater_than", {}, "'greater_than' has wrong arguments"),
        ("greater_than", {"bound": 1.0}, "'greater_than' has wrong arguments"),
        ("independent", {"base_constraint": 1, "reinterpreted_batch_ndims": 1}, "wrong arguments"),
        ("stack", {"cseq": [{"constraint": "x", "arguments": {}}]}, "constraint 'x' is unknown"),
    ],
)
def test_a_wrong_description_is_refused(
    name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_constraint({"constraint": name, "arguments": arguments})


def test_an_argument_that_is_no_data_is_refused() -> None:
    with pytest.raises(ValueError, match="argument .* cannot be written as data"):
        describe_constraint(constraints.greater_than(object()))
