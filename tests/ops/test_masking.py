"""Scaling and masking of log densities."""

import pytest
import torch

from pyro.ops.masking import is_identically_one, is_identically_zero, scale_and_mask
from tests.helpers import assert_close

NAN = float("nan")


def test_what_is_known_without_looking() -> None:
    assert is_identically_zero(0) and is_identically_zero(0.0) and is_identically_zero(False)
    assert is_identically_one(1) and is_identically_one(1.0) and is_identically_one(True)
    assert not is_identically_zero(torch.zeros(())) and not is_identically_one(torch.ones(()))
    assert not is_identically_zero(None) and not is_identically_one("1")


@pytest.mark.parametrize("scale", [1.0, 2.0, torch.tensor(2.0), torch.tensor([2.0, 3.0])])
@pytest.mark.parametrize("mask", [None, True, False, torch.tensor([True, False])])
def test_scale_and_mask(scale: torch.Tensor | float, mask: torch.Tensor | bool | None) -> None:
    value = torch.tensor([[1.0, 5.0], [2.0, 7.0]])
    kept = torch.as_tensor(True if mask is None else mask)
    assert_close(scale_and_mask(value, scale, mask), value * scale * kept)


def test_what_is_masked_out_may_be_anything() -> None:
    value = torch.tensor([NAN, -float("inf"), 1.0])
    assert_close(scale_and_mask(value, 2.0, torch.tensor([False, False, True])), [0.0, 0.0, 2.0])
    assert_close(scale_and_mask(value, 2.0, False), torch.zeros(3))


def test_numbers() -> None:
    assert scale_and_mask(0.0, 2.0, torch.tensor([True])) == 0
    assert scale_and_mask(3.0, 2.0, True) == 6
    assert scale_and_mask(3.0, 2.0, False) == 0
    assert scale_and_mask(3.0) == 3
