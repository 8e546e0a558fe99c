"""Tensor functions that torch lacks."""

import math

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


def _quarter_wave(size: int, sign: float, like: Tensor) -> Tensor:
    angle = torch.arange(size, dtype=like.dtype, device=like.device) * (math.pi / (2 * size))
    return torch.polar(torch.ones_like(angle), sign * angle)


def _scales(size: int, like: Tensor) -> Tensor:
    scales = torch.full((size,), math.sqrt(2 / size), dtype=like.dtype, device=like.device)
    scales[0] = math.sqrt(1 / size)
    return scales
