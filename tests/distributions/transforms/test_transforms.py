"""Maps between sets, one by one."""

import math
import pickle
from typing import Any

import pytest
import torch

from pyro.distributions import constraints, transforms
from tests.helpers import assert_close

OURS = [
    transforms.CholeskyTransform,
    transforms.CorrLCholeskyTransform,
    transforms.CorrMatrixCholeskyTransform,
    transforms.Normalize,
    transforms.OrderedTransform,
    transforms.PositiveOrderedTransform,
    transforms.SoftplusLowerCholeskyTransform,
    transforms.UnitLowerCholeskyTransform,
]


def test_every_transform_of_torch_is_offered() -> None:
    offered = set(transforms.__all__)
    assert set(torch.distributions.transforms.__all__) - offered == set()
    assert {"biject_to", "transform_to"} <= offered


@pytest.mark.parametrize("transform", OURS)
def test_equality_and_copies(transform: Any) -> None:
    assert transform() == transform()
    assert transform() != transforms.ExpTransform()
    assert pickle.loads(pickle.dumps(transform())) == transform()
    assert transform().with_cache(1) == transform()


def test_ordered_transforms_differ() -> None:
    assert transforms.OrderedTransform() != transforms.PositiveOrderedTransform()
    assert transforms.CholeskyTransform() != transforms.CorrMatrixCholeskyTransform()
    assert transforms.Normalize(2) != transforms.Normalize(1)


def test_ordered_is_what_its_formula_says() -> None:
    x = torch.tensor([[0.5, 0.0, math.log(2.0)]])
    assert_close(transforms.OrderedTransform()(x), [[0.5, 1.5, 3.5]])
    expected = torch.tensor([[0.5, 1.5, 3.5]]).exp()
    assert_close(transforms.PositiveOrderedTransform()(x), expected)


def test_cholesky_determinant_over_symmetric_matrices() -> None:
    factor = torch.tensor([[1.2, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.5, 0.2, 1.3]], dtype=torch.float64)
    lower = torch.ones(3, 3).tril().bool()

    def square(entries: torch.Tensor) -> torch.Tensor:
        root = torch.zeros(3, 3, dtype=torch.float64).masked_scatter(lower, entries)
        return (root @ root.mT)[lower]

    jacobian = torch.autograd.functional.jacobian(square, factor[lower])
    transform = transforms.CholeskyTransform()
    matrix = factor @ factor.mT
    assert_close(transform(matrix), factor)
    expected = -torch.linalg.slogdet(jacobian).logabsdet
    assert_close(transform.log_abs_det_jacobian(matrix, factor), expected)


def test_one_way_maps_forget_what_they_say() -> None:
    x = torch.randn(2, 3, 3)
    for transform in (
        transforms.SoftplusLowerCholeskyTransform(),
        transforms.UnitLowerCholeskyTransform(),
    ):
        y = transform(x)
        assert transform.codomain.check(y).all()
        assert_close(transform(transform.inv(y)), y, rtol=1e-5)
        assert_close(y.tril(-1), x.tril(-1))
    y = transforms.SoftplusLowerCholeskyTransform()(x)
    diagonal = x.diagonal(dim1=-2, dim2=-1)
    assert_close(y.diagonal(dim1=-2, dim2=-1), torch.nn.functional.softplus(diagonal))


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_normalize(p: float) -> None:
    x = torch.randn(4, 3)
    transform = transforms.Normalize(p)
    assert_close(torch.linalg.vector_norm(transform(x), p, dim=-1), torch.ones(4))
    assert transform.with_cache(1).p == p
    assert transform.codomain is constraints.sphere


def test_normalize_refuses_what_is_no_norm() -> None:
    with pytest.raises(ValueError, match="order of a norm, at least 1, not 0.5"):
        transforms.Normalize(0.5)
