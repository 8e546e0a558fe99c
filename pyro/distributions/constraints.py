"""The sets in which parameters and values live: torch's constraints and more.

A constraint says with :meth:`check` which values belong to it. ``transform_to`` and ``biject_to``
of :mod:`pyro.distributions.transforms` give a map from unconstrained numbers into it.

>>> positive_ordered_vector.check(torch.tensor([[0.5, 2.0], [2.0, 0.5]]))
tensor([ True, False])
"""

import torch
from torch.distributions.constraints import (
    Constraint,
    MixtureSameFamilyConstraint,
    boolean,
    cat,
    corr_cholesky,
    dependent,
    dependent_property,
    greater_than,
    greater_than_eq,
    half_open_interval,
    independent,
    integer_interval,
    interval,
    is_dependent,
    less_than,
    lower_cholesky,
    lower_triangular,
    multinomial,
    nonnegative,
    nonnegative_integer,
    one_hot,
    positive,
    positive_definite,
    positive_integer,
    positive_semidefinite,
    real,
    real_vector,
    simplex,
    square,
    stack,
    symmetric,
    unit_interval,
)

from pyro.params.constraint_data import register_constraint

_TOLERANCE = 1e-6  # what torch grants a symmetric matrix


class _Integer(Constraint):
    """Whole numbers, negative ones too."""

    is_discrete = True

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return torch.remainder(value, 1) == 0


class _Sphere(Constraint):
    """Vectors of length 1, up to the rounding of their dtype."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        tolerance = 10.0 * torch.finfo(value.dtype).eps * value.size(-1) ** 0.5
        inside: torch.Tensor = (torch.linalg.vector_norm(value, dim=-1) - 1).abs() < tolerance
        return inside


class _CorrMatrix(Constraint):
    """Symmetric positive definite matrices with ones on the diagonal."""

    event_dim = 2

    def check(self, value: torch.Tensor) -> torch.Tensor:
        departure = (value.diagonal(dim1=-2, dim2=-1) - 1).abs().amax(-1)
        asymmetry = (value - value.mT).abs().flatten(-2).amax(-1)
        # torch's own check of a batch stops at the first matrix that is not symmetric
        definite: torch.Tensor = torch.linalg.cholesky_ex(value).info == 0
        return definite & (departure < _TOLERANCE) & (asymmetry < _TOLERANCE)


class _OrderedVector(Constraint):
    """Vectors whose entries strictly increase."""

    event_dim = 1

    def check(self, value: torch.Tensor) -> torch.Tensor:
        if value.size(-1) == 1:
            return (value == value).squeeze(-1)  # False for a NaN
        return (value[..., 1:] > value[..., :-1]).all(-1)


class _PositiveOrderedVector(_OrderedVector):
    """Vectors of positive entries that strictly increase."""

    def check(self, value: torch.Tensor) -> torch.Tensor:
        return (value[..., 0] > 0) & super().check(value)


class _UnitLowerCholesky(Constraint):
    """Lower triangular square matrices with ones on the diagonal."""

    event_dim = 2

    def check(self, value: torch.Tensor) -> torch.Tensor:
        triangular = (value == value.tril()).flatten(-2).all(-1)
        return triangular & (value.diagonal(dim1=-2, dim2=-1) == 1).all(-1)


class _SoftplusPositive(type(positive)):  # type: ignore[misc]
    """Positive numbers, reached by softplus rather than by the exponential function."""

    def __init__(self) -> None:
        super().__init__(lower_bound=0.0)


class _SoftplusLowerCholesky(type(lower_cholesky)):  # type: ignore[misc]
    """Lower triangular matrices with a positive diagonal, which softplus reaches."""


integer = _Integer()
sphere = _Sphere()
corr_matrix = _CorrMatrix()
ordered_vector = _OrderedVector()
positive_ordered_vector = _PositiveOrderedVector()
unit_lower_cholesky = _UnitLowerCholesky()
softplus_positive = _SoftplusPositive()
softplus_lower_cholesky = _SoftplusLowerCholesky()
corr_cholesky_constraint = corr_cholesky  # its name before torch had it

# So that files of parameters can name them.
register_constraint("integer", integer)
register_constraint("sphere", sphere)
register_constraint("corr_matrix", corr_matrix)
register_constraint("ordered_vector", ordered_vector)
register_constraint("positive_ordered_vector", positive_ordered_vector)
register_constraint("unit_lower_cholesky", unit_lower_cholesky)
register_constraint("softplus_positive", softplus_positive)
register_constraint("softplus_lower_cholesky", softplus_lower_cholesky)

__all__ = [
    "Constraint",
    "MixtureSameFamilyConstraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "corr_cholesky_constraint",
    "corr_matrix",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "ordered_vector",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_ordered_vector",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "softplus_lower_cholesky",
    "softplus_positive",
    "sphere",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
    "unit_lower_cholesky",
]
