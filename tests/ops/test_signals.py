"""Transforms and convolutions against SciPy and NumPy, periods against their definition."""

import numpy as np
import pytest
import scipy.fft
import torch

from pyro.ops.signals import (
    as_complex,
    convolve,
    dct,
    haar_transform,
    idct,
    inverse_haar_transform,
    next_fast_len,
    periodic_cumsum,
    periodic_features,
    periodic_repeat,
)
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


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 8, 13])
def test_the_haar_transform_is_a_rotation(size: int) -> None:
    eye = torch.eye(size, dtype=torch.float64)
    matrix = haar_transform(eye)
    assert_close(matrix @ matrix.T, eye)
    assert_close(inverse_haar_transform(matrix), eye)
    x = torch.randn(3, 2, size, requires_grad=True, dtype=torch.float64)
    assert_close(inverse_haar_transform(haar_transform(x)), x)
    assert torch.autograd.gradcheck(haar_transform, [x])
    assert torch.autograd.gradcheck(inverse_haar_transform, [x])


def test_haar_coefficients_go_from_coarse_to_fine() -> None:
    a = 0.5**0.5
    expected = [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5], [a, -a, 0, 0], [0, 0, a, -a]]
    assert_close(haar_transform(torch.eye(4, dtype=torch.float64)).T, expected)
    assert_close(haar_transform(torch.tensor([1.0, 3.0, 7.0])), [4 * a, -2 * a, 7.0])


def test_next_fast_len_is_the_next_product_of_2_3_and_5() -> None:
    smooth = sorted(2**i * 3**j * 5**k for i in range(13) for j in range(9) for k in range(6))
    for size in range(1, 3000):
        assert next_fast_len(size) == next(x for x in smooth if x >= size)
    with pytest.raises(ValueError, match="given 0, expected a length of at least 1"):
        next_fast_len(0)


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_convolution_is_numpys(m: int, n: int, mode: str) -> None:
    signal = torch.randn(2, 1, m, dtype=torch.float64)
    kernel = torch.randn(3, n, dtype=torch.float64)
    actual = convolve(signal, kernel, mode)
    for i in range(2):
        for j in range(3):
            expected = np.convolve(signal[i, 0].numpy(), kernel[j].numpy(), mode)
            assert_close(actual[i, j], torch.from_numpy(expected))


def test_convolution_has_gradients_and_keeps_the_dtype() -> None:
    x, y = (torch.randn(2, n, dtype=torch.float64, requires_grad=True) for n in (5, 3))
    assert torch.autograd.gradcheck(convolve, [x, y])
    assert convolve(torch.ones(3), torch.ones(2)).dtype == torch.float32


def test_convolution_refuses_other_modes_and_empty_sequences() -> None:
    with pytest.raises(ValueError, match="mode is 'round', expected one of: full, valid, same"):
        convolve(torch.ones(2), torch.ones(2), "round")
    with pytest.raises(ValueError, match="empty sequence"):
        convolve(torch.ones(0), torch.ones(2))


@pytest.mark.parametrize("dim", [0, 1, -1, -2])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 8])
def test_periodic_repeat(size: int, dim: int) -> None:
    x = torch.randn(3, 4)
    actual = periodic_repeat(x, size, dim)
    assert actual.size(dim) == size
    for t in range(size):
        assert actual.select(dim, t).equal(x.select(dim, t % x.size(dim)))


@pytest.mark.parametrize("dim", [0, 1, -1, -2])
@pytest.mark.parametrize("period", [1, 2, 3, 4, 5])
def test_periodic_cumsum(period: int, dim: int) -> None:
    x = torch.randn(4, 7, dtype=torch.float64)
    actual = periodic_cumsum(x, period, dim)
    assert actual.shape == x.shape
    for t in range(x.size(dim)):
        terms = [x.select(dim, s) for s in range(t, -1, -period)]
        assert_close(actual.select(dim, t), torch.stack(terms).sum(0))


def test_periods_are_checked() -> None:
    with pytest.raises(ValueError, match="period of size 0 was to be repeated up to size 3"):
        periodic_repeat(torch.ones(0), 3, 0)
    with pytest.raises(ValueError, match="size is -1"):
        periodic_repeat(torch.ones(2), -1, 0)
    with pytest.raises(ValueError, match="period is 0, expected at least 1"):
        periodic_cumsum(torch.ones(2), 0, 0)


@pytest.mark.parametrize(
    ("duration", "longest", "shortest", "count"),
    [(8, None, None, 3), (7, None, None, 3), (10, 5, None, 2), (10, 20, 3, 6), (6, 4.5, None, 2)]
    + [(2, None, None, 0), (3, None, None, 1), (8, None, 4, 1), (0, 4, 2, 1)],
)
def test_periodic_features(
    duration: int, longest: float | None, shortest: float | None, count: int
) -> None:
    actual = periodic_features(duration, longest, shortest, dtype=torch.float64)
    assert actual.shape == (duration, 2 * count)
    t, k = np.meshgrid(np.arange(duration), np.arange(1, count + 1), indexing="ij")
    angle = 2 * np.pi * k * t / (longest or duration)
    expected = np.concatenate([np.cos(angle), np.cos(angle + np.pi / 2)], -1)
    assert_close(actual, torch.from_numpy(expected))


def test_periodic_features_stay_exact_over_long_times() -> None:
    features = periodic_features(1_000_008, 7.0, dtype=torch.float32)
    assert_close(features[-7:], features[:7].roll(-(1_000_001 % 7), 0))


@pytest.mark.parametrize("periods", [(4, 5), (8, 1.5), (1, 1)])
def test_periodic_features_refuse_periods_out_of_order(periods: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected 2 <= min_period <= max_period"):
        periodic_features(8, *periods)


def test_as_complex() -> None:
    x = torch.randn(2, 3, dtype=torch.float64).T.requires_grad_()
    assert as_complex(x).equal(torch.complex(x[..., 0], x[..., 1]))
    assert torch.autograd.gradcheck(as_complex, [x])
    with pytest.raises(ValueError, match=r"shape \(3,\), expected a last dimension of size 2"):
        as_complex(torch.ones(3))
