"""Student's t law of vectors, beyond the contract."""

import pytest
import torch

import pyro.distributions as dist
from tests.helpers import assert_close

DOUBLE = torch.float64


@pytest.mark.parametrize("df", [0.7, 3.0, 50.0])
def test_in_one_dimension_it_is_the_univariate_law(df: float) -> None:
    law = dist.MultivariateStudentT(df, torch.zeros(1).double(), torch.eye(1).double() * 2)
    x = torch.linspace(-5, 5, 11, dtype=DOUBLE)
    expected = dist.StudentT(torch.tensor(df, dtype=DOUBLE), 0.0, 2.0).log_prob(x)
    assert_close(law.log_prob(x[:, None]), expected)


def test_moments_are_where_they_exist() -> None:
    df = torch.tensor([0.5, 1.0, 1.5, 2.0, 4.0])
    law = dist.MultivariateStudentT(df, torch.ones(1), 3 * torch.eye(1))
    nan, inf = float("nan"), float("inf")
    assert_close(law.mean[:, 0], [nan, nan, 1.0, 1.0, 1.0])
    assert_close(law.variance[:, 0], [nan, nan, inf, inf, 18.0])


def test_matrices_have_the_batch_shape() -> None:
    factor = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    law = dist.MultivariateStudentT(torch.ones(3), torch.zeros(2), factor).expand([4, 3])
    for matrix, expected in [
        (law.scale_tril, factor),
        (law.covariance_matrix, factor @ factor.T),
        (law.precision_matrix, (factor @ factor.T).inverse()),
    ]:
        assert_close(matrix, expected.expand(4, 3, 2, 2))


def test_a_scale_must_fit_the_median() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3\) and 'loc' \(2,\), expected \(..., size"):
        dist.MultivariateStudentT(1.0, torch.zeros(2), torch.eye(3))
