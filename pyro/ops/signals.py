"""Sequences and their waves: transforms, convolution, periods."""

import math
from typing import Any

import torch
from torch import Tensor


def dct(x: Tensor, dim: int = -1) -> Tensor:
    r"""Compute the orthonormal discrete cosine transform of type II along a dimension.

    .. math:: y_k = s_k \sum_{i=0}^{n-1} x_i \cos\frac{\pi (2 i + 1) k}{2 n},
        \quad s_0 = \sqrt{1/n}, \quad s_k = \sqrt{2/n}.

    The inverse of :func:`idct`. Takes one fast Fourier transform of size :math:`n`, after
    Makhoul (1980), "A fast cosine transform in one and two dimensions", IEEE Transactions on
    Acoustics, Speech, and Signal Processing 28 (1).

    :param x: a real tensor of at least one dimension.
    :param dim: the dimension to transform.

    >>> dct(torch.ones(4))
    tensor([2., 0., 0., 0.])
    """
    x = x.movedim(dim, -1)
    size = x.size(-1)
    evens_then_odds = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    spectrum: Tensor = torch.fft.fft(evens_then_odds) * _quarter_wave(size, -1.0, x)
    return (spectrum.real * _scales(size, x)).movedim(-1, dim)


def idct(x: Tensor, dim: int = -1) -> Tensor:
    """Compute the inverse of :func:`dct`, the orthonormal transform of type III.

    :param x: a real tensor of at least one dimension.
    :param dim: the dimension to transform.

    >>> idct(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    tensor([1., 1., 1., 1.])
    """
    x = x.movedim(dim, -1)
    size = x.size(-1)
    real = x / _scales(size, x)
    imaginary = torch.cat([torch.zeros_like(real[..., :1]), -real[..., 1:].flip(-1)], -1)
    spectrum = torch.complex(real, imaginary) * _quarter_wave(size, 1.0, x)
    evens_then_odds = torch.fft.ifft(spectrum).real
    half = (size + 1) // 2
    y = torch.empty_like(evens_then_odds)
    y[..., ::2] = evens_then_odds[..., :half]
    y[..., 1::2] = evens_then_odds[..., half:].flip(-1)
    return y.movedim(-1, dim)


def haar_transform(x: Tensor) -> Tensor:
    r"""Compute the orthonormal Haar wavelet transform along the last dimension.

    Neighbours are replaced by their sums and differences over :math:`\sqrt 2`, and then the sums
    are transformed alike. The result begins with the coarsest coefficients. An element without a
    neighbour, last in a sequence of odd length, stays what it is. After Haar (1910), "Zur Theorie
    der orthogonalen Funktionensysteme", Mathematische Annalen 69.

    :param x: of any length along the last dimension.

    >>> haar_transform(torch.ones(4)).round()
    tensor([2., 0., 0., 0.])
    """
    paired = x.size(-1) // 2 * 2
    if not paired:
        return x
    one, other = x[..., :paired:2], x[..., 1:paired:2]
    sums = haar_transform((one + other) * math.sqrt(0.5))
    return torch.cat([sums, (one - other) * math.sqrt(0.5), x[..., paired:]], -1)


def inverse_haar_transform(x: Tensor) -> Tensor:
    """Compute the inverse of :func:`haar_transform`.

    :param x: of any length along the last dimension.

    >>> inverse_haar_transform(torch.tensor([2.0, 0.0, 0.0, 0.0])).round()
    tensor([1., 1., 1., 1.])
    """
    half = x.size(-1) // 2
    if not half:
        return x
    sums = inverse_haar_transform(x[..., :half])
    differences = x[..., half : 2 * half]
    pairs = torch.stack([sums + differences, sums - differences], -1) * math.sqrt(0.5)
    return torch.cat([pairs.flatten(-2), x[..., 2 * half :]], -1)


def next_fast_len(size: int) -> int:
    """Return the smallest length of at least ``size`` that has no prime factor above 5.

    Fast Fourier transforms of such lengths are fast.

    :param size: at least 1.
    :raises ValueError: where it is less.

    >>> next_fast_len(7), next_fast_len(1021)
    (8, 1024)
    """
    if size < 1:
        raise ValueError(f"next_fast_len was given {size}, expected a length of at least 1.")
    best = 1 << (size - 1).bit_length()
    fives = 1
    while fives < best:
        odd = fives
        while odd < best:
            twos = -(-size // odd) - 1  # the power of 2 above this brings odd to size or more
            best = min(best, odd << twos.bit_length())
            odd *= 3
        fives *= 5
    return best


def convolve(signal: Tensor, kernel: Tensor, mode: str = "full") -> Tensor:
    r"""Convolve sequences along the last dimension, :math:`z_k=\sum_i x_i\,y_{k-i}`.

    Takes fast Fourier transforms, so the cost is :math:`n\log n` in the total length.

    :param signal: real, of shape ``(..., m)``.
    :param kernel: real, of shape ``(..., n)``; the other dimensions broadcast.
    :param mode: ``"full"`` returns all ``m + n - 1`` terms; ``"valid"`` those in which the shorter
        sequence lies within the longer; ``"same"`` as many as the longer has, from the middle.
    :raises ValueError: where a sequence is empty or the mode is another.

    >>> convolve(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0]), mode="valid").round()
    tensor([3., 5.])
    """
    shorter, longer = sorted([signal.size(-1), kernel.size(-1)])
    if shorter < 1:
        raise ValueError("convolve was given an empty sequence.")
    full = shorter + longer - 1
    windows = {
        "full": slice(0, full),
        "valid": slice(shorter - 1, longer),
        "same": slice((shorter - 1) // 2, (shorter - 1) // 2 + longer),
    }
    if mode not in windows:
        raise ValueError(f"mode is {mode!r}, expected one of: {', '.join(windows)}.")
    size = next_fast_len(full)
    product = torch.fft.rfft(signal, size) * torch.fft.rfft(kernel, size)
    result: Tensor = torch.fft.irfft(product, size)
    return result[..., windows[mode]]


def periodic_repeat(tensor: Tensor, size: int, dim: int) -> Tensor:
    """Repeat a tensor along a dimension until it has a given size.

    :param tensor: one period.
    :param size: the size to have; the last period may be cut short.
    :param dim: the dimension to repeat along.
    :raises ValueError: where there is nothing to repeat.

    >>> periodic_repeat(torch.tensor([1, 2, 3]), 7, dim=0)
    tensor([1, 2, 3, 1, 2, 3, 1])
    """
    period = tensor.size(dim)
    if period < 1 and size > 0:
        raise ValueError(f"A period of size 0 was to be repeated up to size {size}.")
    if size < 0:
        raise ValueError(f"size is {size}, expected 0 or more.")
    times = torch.arange(size, device=tensor.device)
    return tensor.index_select(dim, times % period if size else times)


def periodic_cumsum(tensor: Tensor, period: int, dim: int) -> Tensor:
    """Sum up along a dimension, each phase of a period on its own.

    :param tensor: the terms.
    :param period: how many steps lie between a term and the one that it is added to.
    :param dim: the dimension of time.
    :raises ValueError: where the period is less than 1.

    >>> periodic_cumsum(torch.tensor([1, 2, 3, 4, 5, 6, 7]), 3, dim=0)
    tensor([ 1,  2,  3,  5,  7,  9, 12])
    """
    if period < 1:
        raise ValueError(f"period is {period}, expected at least 1.")
    by_time = tensor.movedim(dim, 0)
    size = len(by_time)
    missing = by_time.new_zeros((-size % period, *by_time.shape[1:]))
    by_phase = torch.cat([by_time, missing]).unflatten(0, (-1, period))
    sums: Tensor = by_phase.cumsum(0).flatten(0, 1)[:size]
    return sums.movedim(0, dim)


def periodic_features(
    duration: int,
    max_period: float | None = None,
    min_period: float | None = None,
    **options: Any,
) -> Tensor:
    r"""Return cosines and sines of time, for linear models of a seasonal series.

    The frequencies are the multiples :math:`k/P` of that of the longest period :math:`P` which lie
    below that of the shortest:

    .. math:: \cos(2\pi k t/P), \quad -\sin(2\pi k t/P), \qquad t = 0, 1, \dots

    :param duration: the number of times.
    :param max_period: the longest period :math:`P`; the duration where left out.
    :param min_period: the shortest, which is left out itself; 2 where not given, the shortest that
        can be told apart.
    :param options: ``dtype`` and ``device`` of the result.
    :return: of shape ``(duration, count)``: all cosines by frequency, then all sines.
    :raises ValueError: unless ``2 <= min_period <= max_period``.

    >>> periodic_features(4).round().int()
    tensor([[ 1,  0],
            [ 0, -1],
            [-1,  0],
            [ 0,  1]], dtype=torch.int32)
    """
    longest = duration if max_period is None else max_period
    shortest = 2 if min_period is None else min_period
    if not 2 <= shortest <= longest:
        raise ValueError(
            f"The periods go from {shortest} to {longest}, expected 2 <= min_period <= max_period."
        )
    time = torch.arange(float(duration), **options)
    frequency = torch.arange(1.0, math.ceil(longest / shortest), **options)
    turns = (time[:, None] * frequency).remainder(longest) / longest
    angle = 2 * math.pi * turns
    return torch.cat([angle.cos(), -angle.sin()], -1)


def as_complex(x: Tensor) -> Tensor:
    """View pairs of real numbers as complex ones; the inverse of :func:`torch.view_as_real`.

    :param x: of shape ``(..., 2)``, real and imaginary parts.
    :raises ValueError: where the last dimension is not of size 2.

    >>> as_complex(torch.tensor([1.0, 2.0]))
    tensor(1.+2.j)
    """
    if x.shape[-1:] != (2,):
        raise ValueError(f"x has shape {tuple(x.shape)}, expected a last dimension of size 2.")
    pairs: Tensor = torch.view_as_complex(x.contiguous())
    return pairs


def _quarter_wave(size: int, sign: float, like: Tensor) -> Tensor:
    angle = torch.arange(size, dtype=like.dtype, device=like.device) * (math.pi / (2 * size))
    return torch.polar(torch.ones_like(angle), sign * angle)


def _scales(size: int, like: Tensor) -> Tensor:
    scales = torch.full((size,), math.sqrt(2 / size), dtype=like.dtype, device=like.device)
    scales[0] = math.sqrt(1 / size)
    return scales
