"""Gaussians: from laws, integrated over what two share, and along chains."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro.ops.affine_normal import AffineNormal
from pyro.ops.form_chains import as_chain, chain_product, pair_up
from pyro.ops.gaussian_form import LOG_TAU, Gaussian, standard_normal
from pyro.ops.information_form import join, pull_back
from pyro.ops.matrices import matvecmul

__all__ = [
    "AffineNormal",
    "Gaussian",
    "gaussian_tensordot",
    "matrix_and_gaussian_to_gaussian",
    "matrix_and_mvn_to_gaussian",
    "mvn_to_gaussian",
    "sequential_gaussian_filter_sample",
    "sequential_gaussian_tensordot",
]

_Factor = Gaussian | AffineNormal


def mvn_to_gaussian(mvn: Distribution) -> Gaussian:
    """Return the density of a multivariate normal law.

    :param mvn: a ``MultivariateNormal`` or ``LowRankMultivariateNormal``, or a ``Normal`` made to
        be the law of vectors with ``.to_event(1)``.
    :raises TypeError: for another law.

    >>> law = MultivariateNormal(torch.zeros(2), torch.eye(2))
    >>> mvn_to_gaussian(law).log_density(torch.zeros(2))
    tensor(-1.8379)
    """
    diagonal = _as_diagonal(mvn)
    if diagonal is not None:
        loc, precision = diagonal.loc, torch.diag_embed(diagonal.scale.pow(-2))
        log_det = diagonal.scale.log().sum(-1)
    elif isinstance(mvn, MultivariateNormal | LowRankMultivariateNormal):
        loc, precision = mvn.loc, mvn.precision_matrix
        log_det = mvn.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    else:
        raise TypeError(
            f"Expected a multivariate normal law or Normal(...).to_event(1), got {mvn}."
        )
    info_vec = matvecmul(precision, loc)
    quadratic = (info_vec * loc).sum(-1) / 2
    return Gaussian(-quadratic - log_det - loc.size(-1) * LOG_TAU / 2, info_vec, precision)


def matrix_and_mvn_to_gaussian(matrix: Tensor, mvn: Distribution) -> _Factor:
    r"""Return the density of :math:`y=x^\top A+z` given :math:`x`, where :math:`z` follows a law.

    :param matrix: the matrix :math:`A`, of shape ``(..., x_dim, y_dim)``.
    :param mvn: the law of :math:`z`, as for :func:`mvn_to_gaussian`.
    :return: a function of :math:`(x, y)`; an :class:`AffineNormal` where the noise is independent.
    """
    diagonal = _as_diagonal(mvn)
    if diagonal is not None:
        return AffineNormal(matrix, diagonal.loc, diagonal.scale)
    return matrix_and_gaussian_to_gaussian(matrix, mvn_to_gaussian(mvn))


def matrix_and_gaussian_to_gaussian(matrix: Tensor, y_gaussian: Gaussian) -> Gaussian:
    r"""Return the function :math:`f(y-x^\top A)` of :math:`(x, y)`.

    :param matrix: the matrix :math:`A`, of shape ``(..., x_dim, y_dim)``.
    :param y_gaussian: the function :math:`f`.
    """
    info_vec, precision = pull_back(matrix, y_gaussian.info_vec, y_gaussian.precision)
    return Gaussian(y_gaussian.log_normalizer, info_vec, precision)


def gaussian_tensordot(x: _Factor, y: _Factor, dims: int = 0) -> Gaussian:
    r"""Multiply two Gaussians and integrate over the variables that they share.

    .. math:: h(a, c) = \int f(a, b)\,g(b, c)\,db

    :param x: the function :math:`f`; the shared variables are its last.
    :param y: the function :math:`g`; they are its first.
    :param dims: how many are shared.
    :raises ValueError: where one of the two has fewer variables.
    """
    return join(x, y, dims).marginalize(right=dims)


def sequential_gaussian_tensordot(gaussian: _Factor) -> Gaussian:
    r"""Integrate over the inner variables of a chain.

    .. math:: h(x_0, x_T) = \int \prod_{t=1}^T f_t(x_{t-1}, x_t)\;dx_1\cdots dx_{T-1}

    Neighbours are joined in pairs, then pairs of pairs, so it takes :math:`\log_2 T` steps one
    after the other (Särkkä and García-Fernández, 2019, arXiv:1905.13002).

    :param gaussian: functions of ``2 * dim`` variables; time is the last dimension of the batch.
    :raises ValueError: where there is no time, or the number of variables is odd.
    """
    _, steps = _chain_sizes(gaussian)
    if not steps:
        raise ValueError("A chain of length 0 has no product; there must be a step.")
    return chain_product(_expanded(gaussian))


def sequential_gaussian_filter_sample(
    init: Gaussian,
    trans: _Factor,
    sample_shape: Sequence[int] = (),
    noise: Tensor | None = None,
) -> Tensor:
    r"""Draw the states of a chain jointly, differentiably.

    .. math:: p(x_0, \dots, x_T) \propto f_0(x_0) \prod_{t=1}^T f_t(x_{t-1}, x_t)

    Every other state is integrated out, the states that are left are drawn, as they are a shorter
    chain, and then those between, each given its two neighbours. This takes
    :math:`2\log_2 T` steps one after the other. On parallel smoothing see Särkkä and
    García-Fernández (2019), arXiv:1905.13002.

    :param init: the function :math:`f_0` of ``dim`` variables.
    :param trans: functions of ``2 * dim`` variables; time is the last dimension of the batch.
    :param sample_shape: the shape of independent draws.
    :param noise: standard normal numbers, of the shape of the result; zeros give the mode.
    :return: of shape ``sample_shape + batch_shape + (T + 1, dim)``, the first state included.
    :raises ValueError: where numbers of variables or the shape of the noise do not fit.
    """
    size, steps = _chain_sizes(trans)
    if init.dim() != size:
        raise ValueError(
            f"init has {init.dim()} variables and trans {2 * size}, expected twice as many."
        )
    batch_shape = torch.broadcast_shapes(init.batch_shape, trans.batch_shape[:-1])
    shape = torch.Size(sample_shape) + batch_shape + (steps + 1, size)
    return _draw_path(init, _expanded(trans), standard_normal(shape, noise, init.info_vec))


def _as_diagonal(mvn: Distribution) -> Normal | None:
    if isinstance(mvn, Independent) and mvn.reinterpreted_batch_ndims == 1:
        return mvn.base_dist if isinstance(mvn.base_dist, Normal) else None
    return None


def _expanded(factor: _Factor) -> Gaussian:
    return as_chain(factor.to_gaussian() if isinstance(factor, AffineNormal) else factor)


def _chain_sizes(gaussian: _Factor) -> tuple[int, int]:
    if not gaussian.batch_shape:
        raise ValueError("The functions of a chain need a batch dimension, that of time.")
    if gaussian.dim() % 2:
        raise ValueError(
            f"The functions of a chain have {gaussian.dim()} variables, expected an even number: "
            "those of one state, then those of the next."
        )
    return gaussian.dim() // 2, gaussian.batch_shape[-1]


def _draw_path(init: Gaussian, chain: Gaussian, noise: Tensor) -> Tensor:
    size, steps = init.dim(), chain.batch_shape[-1]
    if steps == 0:
        return init._place(noise[..., 0, :])[..., None, :]
    if steps == 1:
        ends = init.event_pad(right=size) + chain[..., 0]
        drawn: Tensor = ends._place(noise.flatten(-2)).unflatten(-1, (2, size))
        return drawn
    middle, halved = pair_up(chain)
    half = steps // 2
    outer = torch.cat([noise[..., : 2 * half : 2, :], noise[..., 2 * half :, :]], -2)
    path = _draw_path(init, halved, outer)
    starts, stops = path[..., :half, :], path[..., 1 : half + 1, :]
    middles = middle.place(torch.cat([starts, stops], -1), noise[..., 1 : 2 * half : 2, :])
    woven = torch.stack([starts, middles], -2).flatten(-3, -2)
    return torch.cat([woven, path[..., half:, :]], -2)
