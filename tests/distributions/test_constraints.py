"""Sets: what belongs to them, and the maps into them."""

import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro.distributions import constraints
from pyro.distributions.checking import belongs, quick_test
from pyro.distributions.feasible import feasible_point
from pyro.distributions.transforms import biject_to, transform_to
from tests.helpers import assert_close

INSIDE_AND_OUTSIDE = [
    (constraints.integer, [-2.0, 0.0, 3.0], [0.5, math.nan]),
    (constraints.softplus_positive, [0.1, 7.0], [0.0, -1.0, math.nan]),
    (constraints.sphere, [[0.6, 0.8], [-1.0, 0.0]], [[0.6, 0.7], [0.0, 0.0], [math.nan, 1.0]]),
    (
        constraints.ordered_vector,
        [[-1.0, 0.0, 2.0]],
        [[0.0, 0.0, 1.0], [2.0, 1.0, 3.0], [math.nan, 0.0, 1.0]],
    ),
    (
        constraints.positive_ordered_vector,
        [[0.1, 0.5, 2.0]],
        [[-1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [1.0, 0.5, 2.0]],
    ),
    (constraints.ordered_vector, [[2.0]], [[math.nan]]),
    (constraints.positive_ordered_vector, [[2.0]], [[0.0], [-1.0]]),
    (
        constraints.corr_matrix,
        [[[1.0, 0.5], [0.5, 1.0]]],
        [
            [[1.0, 0.5], [0.4, 1.0]],
            [[1.0, 1.5], [1.5, 1.0]],
            [[1.0, 0.5], [0.5, 0.9]],
        ],
    ),
    (
        constraints.unit_lower_cholesky,
        [[[1.0, 0.0], [-3.0, 1.0]]],
        [[[1.0, 0.5], [0.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [math.nan, 1.0]]],
    ),
    (
        constraints.softplus_lower_cholesky,
        [[[2.0, 0.0], [-3.0, 1.0]]],
        [[[1.0, 0.5], [0.0, 1.0]], [[-2.0, 0.0], [0.0, 1.0]]],
    ),
]

# Those of torch, with numbers, vectors or matrices inside of them, and outside.
EYE = [[1.0, 0.0], [0.0, 1.0]]
OF_TORCH: dict[str, tuple[Any, Any, Any]] = {
    "boolean": (constraints.boolean, [0.0, 1.0], [0.5, 2.0]),
    "corr_cholesky": (constraints.corr_cholesky, [EYE, [[1, 0], [0.6, 0.8]]], [[[1, 0], [1, 1.0]]]),
    "greater_than": (constraints.greater_than(1.5), [1.6, 9.0], [1.5, -1.0, math.nan]),
    "greater_than_eq": (constraints.greater_than_eq(1.5), [1.5, 9.0], [1.4, math.nan]),
    "half_open_interval": (constraints.half_open_interval(-1, 2), [-1.0, 1.9], [2.0, -1.1]),
    "integer_interval": (constraints.integer_interval(0, 3), [0.0, 3.0], [-1.0, 0.5, 4.0]),
    "interval": (constraints.interval(-1, 2), [-1.0, 2.0], [2.1, -1.1, math.nan]),
    "less_than": (constraints.less_than(1.5), [1.4, -9.0], [1.5, math.nan]),
    "lower_cholesky": (
        constraints.lower_cholesky,
        [EYE],
        [[[1.0, 0.5], [0, 1]], [[1, 0], [0, -1]]],
    ),
    "lower_triangular": (
        constraints.lower_triangular,
        [[[-1.0, 0.0], [2, 0]]],
        [[[1.0, 1], [0, 1]]],
    ),
    "multinomial": (constraints.multinomial(3), [[1.0, 2.0], [0, 3]], [[-1.0, 4.0]]),
    "nonnegative": (constraints.nonnegative, [0.0, 1.0], [-0.1, math.nan]),
    "nonnegative_integer": (constraints.nonnegative_integer, [0.0, 7.0], [-1.0, 0.5]),
    "one_hot": (constraints.one_hot, EYE, [[0.5, 0.5], [1.0, 1.0]]),
    "positive": (constraints.positive, [0.1, 1.0], [0.0, -1.0, math.nan]),
    "positive_definite": (constraints.positive_definite, [EYE], [[[1.0, 2], [2, 1]]]),
    "positive_integer": (constraints.positive_integer, [1.0, 7.0], [0.0, 0.5]),
    "positive_semidefinite": (constraints.positive_semidefinite, [EYE], [[[1.0, 2], [2, 1]]]),
    "real": (constraints.real, [-1.0, 2.0], [math.nan]),
    "real_vector": (constraints.real_vector, [[-1.0, 2.0]], [[0.0, math.nan]]),
    "simplex": (constraints.simplex, [[0.4, 0.6], [0.0, 1.0]], [[0.5, 0.6], [1.5, -0.5]]),
    "square": (constraints.square, [EYE], [[[1.0, 0.0]]]),
    "symmetric": (constraints.symmetric, [[[1.0, 2.0], [2, -1]]], [[[1.0, 2.0], [-2, 1]]]),
    "unit_interval": (constraints.unit_interval, [0.0, 1.0], [-0.1, 1.1]),
}

EVERY_SET = {name: getattr(constraints, name) for name in constraints.__all__}
EVENT_SHAPES = {1: (3,), 2: (3, 3)}
MAPPED = {
    "corr_cholesky": (4, 4),
    "corr_matrix": (4, 4),
    "greater_than": (),
    "greater_than_eq": (),
    "half_open_interval": (),
    "interval": (),
    "less_than": (),
    "lower_cholesky": (3, 3),
    "nonnegative": (),
    "ordered_vector": (3,),
    "positive": (),
    "positive_definite": (3, 3),
    "positive_ordered_vector": (3,),
    "positive_semidefinite": (3, 3),
    "real": (),
    "real_vector": (3,),
    "simplex": (3,),
    "softplus_lower_cholesky": (3, 3),
    "softplus_positive": (),
    "sphere": (3,),
    "unit_interval": (),
    "unit_lower_cholesky": (3, 3),
}


def instance(name: str) -> Any:
    constraint = EVERY_SET[name]
    if isinstance(constraint, constraints.Constraint):
        return constraint
    arguments = {"interval": (-1.0, 2.0), "half_open_interval": (-1.0, 2.0)}
    return constraint(*arguments.get(name, (1.5,)))


@pytest.mark.parametrize("constraint, inside, outside", INSIDE_AND_OUTSIDE, ids=str)
def test_check(constraint: Any, inside: Any, outside: Any) -> None:
    for values, expected in ((inside, True), (outside, False)):
        for dtype in (torch.float32, torch.float64):
            tensor = torch.tensor(values, dtype=dtype)
            result = constraint.check(tensor)
            assert result.shape == tensor.shape[: tensor.dim() - constraint.event_dim]
            assert (result == expected).all(), (tensor, result)


@pytest.mark.parametrize("constraint, inside, outside", INSIDE_AND_OUTSIDE, ids=str)
def test_a_set_pickles_by_what_it_is(constraint: Any, inside: Any, outside: Any) -> None:
    copy = pickle.loads(pickle.dumps(constraint))
    assert type(copy) is type(constraint)
    assert str(copy) == str(constraint)
    assert constraint.is_discrete is (constraint is constraints.integer)


@pytest.mark.parametrize("constraint, inside, outside", OF_TORCH.values(), ids=list(OF_TORCH))
def test_check_of_sets_of_torch(constraint: Any, inside: Any, outside: Any) -> None:
    assert constraint.check(torch.tensor(inside, dtype=torch.double)).all()
    assert not constraint.check(torch.tensor(outside, dtype=torch.double)).any()


def test_every_set_has_a_row() -> None:
    ours = {
        name
        for name, each in EVERY_SET.items()
        if any(each is row[0] for row in INSIDE_AND_OUTSIDE)
    }
    # Ways of making sets of others, and questions about them.
    makers = {"cat", "independent", "stack", "MixtureSameFamilyConstraint"}
    dependent = {"Constraint", "dependent", "dependent_property", "is_dependent"}
    synonyms = {"corr_cholesky_constraint"}
    assert set(EVERY_SET) - ours - set(OF_TORCH) - makers - dependent - synonyms == set()


def test_every_set_that_can_be_mapped_to_is_mapped_to() -> None:
    kinds = {type(instance(name)) for name in MAPPED}
    rows = [row[0] for row in (*INSIDE_AND_OUTSIDE, *OF_TORCH.values())]
    mapped = {type(each) for each in rows if type(each) in transform_to._registry}
    assert mapped - kinds == set()


def test_every_set_of_torch_is_offered() -> None:
    assert set(torch.distributions.constraints.__all__) - set(constraints.__all__) == set()


@pytest.mark.parametrize("name", MAPPED)
@pytest.mark.parametrize("registry", [transform_to, biject_to], ids=["transform_to", "biject_to"])
def test_maps_go_into_the_set_and_back(name: str, registry: Any) -> None:
    constraint = instance(name)
    try:
        transform = registry(constraint)
    except NotImplementedError:
        assert registry is biject_to, f"nothing maps to {name}"
        return
    for batch in ((), (2,)):
        torch.manual_seed(2)
        start = torch.randn(batch + transform.inverse_shape(torch.Size(MAPPED[name])))
        value = transform(start)
        assert constraint.check(value).all()
        assert constraint.check(value).shape == batch
        assert value.shape == transform.forward_shape(start.shape)
        assert transform.inverse_shape(value.shape) == start.shape
        assert transform.codomain.check(value).all()
        assert transform.codomain.event_dim == constraint.event_dim
        back = transform.inv(value)
        assert_close(transform(back), value, rtol=1e-4, atol=1e-4)
        if registry is biject_to:
            assert_close(back, start, rtol=1e-3, atol=1e-3)


def free_entries(constraint: Any, value: Tensor) -> Tensor:
    """Return coordinates of a value that determine it and can move independently."""
    if constraint is constraints.simplex:
        return value[:-1]
    if constraint in (constraints.corr_cholesky, constraints.corr_matrix):
        return value[torch.ones_like(value, dtype=torch.bool).tril(-1)]
    return value


@pytest.mark.parametrize("name", MAPPED)
def test_log_determinant(name: str) -> None:
    constraint = instance(name)
    try:
        transform = biject_to(constraint)
    except NotImplementedError:
        return
    shape = transform.inverse_shape(torch.Size(MAPPED[name]))
    start = torch.randn(shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: free_entries(constraint, transform(x)), start
    )
    count = max(1, start.numel())
    expected = torch.linalg.slogdet(jacobian.reshape(count, count)).logabsdet
    assert_close(transform.log_abs_det_jacobian(start, transform(start)), expected, atol=1e-9)


@pytest.mark.parametrize("name", sorted(EVERY_SET))
def test_quick_tests_agree_with_the_sets_own_check(name: str) -> None:
    if name in ("Constraint", "MixtureSameFamilyConstraint", "dependent", "is_dependent"):
        return
    if name in ("cat", "stack", "dependent_property", "independent", "multinomial"):
        return
    bounds = {"integer_interval": (0, 3), "interval": (0.0, 2.0), "half_open_interval": (0.0, 2.0)}
    constraint = EVERY_SET[name]
    if not isinstance(constraint, constraints.Constraint):
        constraint = constraint(*bounds.get(name, (1,)))
    quick = quick_test(constraint)
    if quick is None:
        return
    special = [-math.inf, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, math.inf, math.nan]
    if constraint.event_dim == 0:
        assert quick.admits is not None and quick.contains is not None
        for number in special:
            expected = bool(constraint.check(torch.tensor(number)))
            assert bool(quick.admits(number)) is expected, number
            assert belongs(torch.tensor([number, number]), constraint, quick) is expected, number
            for other in special:
                pair = torch.tensor([number, other])
                expected = bool(constraint.check(pair).all())
                assert belongs(pair, constraint, quick) is expected, pair
    for seed in range(20):
        torch.manual_seed(seed)
        value = torch.randint(-1, 3, (2, *EVENT_SHAPES.get(constraint.event_dim, ()))).float()
        if constraint.event_dim:
            assert belongs(value, constraint, quick) is bool(constraint.check(value).all()), value
    inside = {
        "simplex": torch.tensor([[0.2, 0.8], [1.0, 0.0]]),
        "one_hot": torch.eye(3),
        "lower_cholesky": torch.tensor([[1.0, 0.0], [-2.0, 3.0]]),
        "positive_definite": torch.tensor([[1.0, 0.5], [0.5, 3.0]]),
    }
    if name in inside:
        assert quick.contains is not None
        assert quick.contains(inside[name])
        assert not quick.contains(-inside[name])


def test_a_large_simplex_is_not_refused_for_its_rounding() -> None:
    torch.manual_seed(0)
    weights = torch.rand(50, 100_000)
    assert belongs(
        weights / weights.sum(-1, True), constraints.simplex, quick_test(constraints.simplex)
    )


@pytest.mark.parametrize("name", [*MAPPED, "boolean", "nonnegative_integer", "one_hot"])
def test_a_feasible_point_is_feasible(name: str) -> None:
    constraint = instance(name)
    shape = torch.Size(EVENT_SHAPES.get(constraint.event_dim, ()))
    point = feasible_point(constraint, shape)
    assert point is not None
    assert constraint.check(torch.as_tensor(point, dtype=torch.float32).expand(shape)).all()


def test_no_feasible_point_is_made_up() -> None:
    assert feasible_point(constraints.dependent, torch.Size()) is None
    assert feasible_point(constraints.square, torch.Size([2, 2])) is None
