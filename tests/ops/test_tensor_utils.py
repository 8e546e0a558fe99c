"""Tensor functions that torch lacks."""

import numpy as np
import pytest
import scipy.fft
import torch

from pyro.ops.tensor_utils import dct, idct
from tests.helpers import assert_close

SIZES = [1, 2, 3, 4, 5, 8, 31, 100]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_cosine_transforms_are_scipys(size: int, dtype: torch.dtype) -> None:
    x = torch.randn(3, size, dtype=dtype)
    assert_close(dct(x), torch.from_numpy(scipy.fft.dct(x.numpy(), norm="ortho")))
    assert_close(idct(x), torch.from_numpy(scipy.fft.idct(x.numpy(), norm="ortho")))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_cosine_transforms_go_along_any_dimension(dim: int) -> None:
    x = torch.randn(4, 5, 6, dtype=torch.float64)
    assert_close(dct(x, dim), torch.from_numpy(scipy.fft.dct(x.numpy(), axis=dim, norm="ortho")))
    assert_close(idct(dct(x, dim), dim), x)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cosine_transforms_have_gradients(size: int) -> None:
    x = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dct, [x])
    assert torch.autograd.gradcheck(idct, [x])


@pytest.mark.parametrize("size", SIZES)
def test_the_cosine_transform_is_a_rotation(size: int) -> None:
    matrix = dct(torch.eye(size, dtype=torch.float64))
    assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))
    k, i = np.meshgrid(np.arange(size), np.arange(size))
    cosines = np.cos(np.pi * (2 * i + 1) * k / (2 * size)) * np.where(k == 0, 1.0, np.sqrt(2.0))
    assert_close(matrix, torch.from_numpy(cosines / np.sqrt(size)))
