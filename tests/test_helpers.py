"""The helpers must themselves be able to fail."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import (
    assert_close,
    assert_fits_cdf,
    assert_fits_probabilities,
    assert_mean,
    rounding_tolerance,
)


def test_tolerance_follows_the_coarser_dtype() -> None:
    one = torch.ones(2, dtype=torch.double)
    assert_close(one + 1e-12, one)
    assert_close((one + 1e-6).float(), one)
    with pytest.raises(AssertionError, match="not close"):
        assert_close(one + 1e-10, one)
    assert rounding_tolerance(torch.long) == 0


def test_numbers_stand_for_tensors() -> None:
    assert_close(torch.tensor([1.0, 2.0]), [1.0, 2.0])
    assert_close(1.5, torch.tensor(1.5))
    assert_close(2, 2)
    with pytest.raises(AssertionError, match="not close"):
        assert_close(torch.tensor(1.0), 1.1)
    with pytest.raises(AssertionError, match="not equal"):
        assert_close(torch.tensor([1, 2]), [1, 3])


def test_shapes_and_structures_must_agree() -> None:
    with pytest.raises(AssertionError, match="shape"):
        assert_close(torch.ones(1), torch.tensor(1.0))
    with pytest.raises(AssertionError, match="keys"):
        assert_close({"a": 1.0}, {"b": 1.0})
    with pytest.raises(AssertionError, match="1 items, expected 2"):
        assert_close([1.0], [1.0, 2.0])
    assert_close({"a": torch.zeros(2)}, {"a": [0.0, 0.0]})


def test_sample_checks_accept_the_law_and_refuse_a_neighbour() -> None:
    draws = torch.randn(10_000)
    standard = torch.distributions.Normal(0.0, 1.0)
    assert_mean(draws, 0.0, 1.0)
    assert_mean(draws, 0.0)
    assert_fits_cdf(draws, standard.cdf)
    with pytest.raises(AssertionError, match="standard errors off"):
        assert_mean(draws + 0.1, 0.0, 1.0)
    with pytest.raises(AssertionError, match="Kolmogorov"):
        assert_fits_cdf(draws * 1.1, standard.cdf)


def test_discrete_check_accepts_the_law_and_refuses_a_neighbour() -> None:
    law = torch.tensor([0.5, 0.3, 0.2, 0.0])
    draws = torch.multinomial(law, 10_000, replacement=True)
    assert_fits_probabilities(draws, law)
    with pytest.raises(AssertionError, match="chi-square"):
        assert_fits_probabilities(draws, torch.tensor([0.4, 0.4, 0.2, 0.0]))
    with pytest.raises(AssertionError, match="probability zero"):
        assert_fits_probabilities(draws, torch.tensor([0.5, 0.0, 0.5, 0.0]))
    with pytest.raises(AssertionError, match="outside"):
        assert_fits_probabilities(draws + 9, law)


@given(st.floats(-1e3, 1e3))
def test_property_tests_run_beside_the_clean_slate(value: float) -> None:
    assert_close(torch.tensor(value), value)
