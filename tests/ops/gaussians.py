"""Random Gaussians in several dtypes and batch shapes, and their moments by dense algebra."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyro.ops.affine_normal import AffineNormal
from pyro.ops.gaussian_form import Gaussian

DOUBLE = torch.float64


def random_gaussian(*batch: int, dim: int, dtype: torch.dtype = DOUBLE) -> Gaussian:
    root = torch.randn(*batch, dim, dim + 1, dtype=dtype)
    precision = root @ root.mT / (dim + 1) + 0.3 * torch.eye(dim, dtype=dtype)
    c, u = torch.randn(batch, dtype=dtype), torch.randn(*batch, dim, dtype=dtype)
    return Gaussian(c, u, precision)


def random_affine(*batch: int, x_dim: int, y_dim: int, dtype: torch.dtype = DOUBLE) -> AffineNormal:
    matrix, loc = torch.randn(*batch, x_dim, y_dim, dtype=dtype), torch.randn(*batch, y_dim)
    return AffineNormal(matrix, loc.to(dtype), torch.rand(*batch, y_dim, dtype=dtype) + 0.4)


def mean_of(gaussian: Gaussian) -> Tensor:
    return torch.linalg.solve(gaussian.precision, gaussian.info_vec)


def log_integral(gaussian: Gaussian) -> Tensor:
    """The integral over everything, by an inverse and a determinant."""
    exponent = (gaussian.info_vec * mean_of(gaussian)).sum(-1) / 2
    volume = gaussian.dim() * math.log(2 * math.pi) - torch.logdet(gaussian.precision)
    return gaussian.log_normalizer + exponent + volume / 2


def chain_joint(init: Gaussian, trans: Gaussian) -> Gaussian:
    """The joint Gaussian of all states in a chain, without any shortcut."""
    size, steps = init.dim(), trans.batch_shape[-1]
    joint = init.event_pad(right=size * steps)
    for t in range(steps):
        joint = joint + trans[..., t].event_pad(size * t, size * (steps - 1 - t))
    return joint


def quadrature(low: float, high: float, count: int) -> tuple[Tensor, Tensor]:
    """Points and weights of the trapezoid rule."""
    points = torch.linspace(low, high, count, dtype=DOUBLE)
    return points, torch.full_like(points, (high - low) / (count - 1)).log()


def shapes_of(*tensors: Tensor) -> Sequence[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tensors]
