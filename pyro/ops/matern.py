r"""Matérn processes of half-integer smoothness, as linear stochastic differential equations.

A process of smoothness :math:`\nu=p+\frac{1}{2}` with standard deviation :math:`\sigma` and length
scale :math:`\ell` has :math:`p` derivatives, and together they are a Markov process: with the rate
:math:`\lambda=\sqrt{2\nu}/\ell` its spectral density is proportional to
:math:`(\lambda^2+\omega^2)^{-(p+1)}`, so that :math:`(\frac{d}{dt}+\lambda)^{p+1}` turns it into
white noise (Hartikainen and Särkkä, 2010, "Kalman filtering and smoothing solutions to temporal
Gaussian process regression models", MLSP).

A state is the value and its derivatives, in that order. All functions work in units in which
:math:`\lambda` and :math:`\sigma` are 1; in others, the derivative of order :math:`i` is
:math:`\sigma\lambda^i` times as large.
"""

import functools
import math

import torch
from torch import Tensor


def transition(order: int, time: Tensor) -> Tensor:
    r"""Return the matrices :math:`e^{Ft}` that carry the expected state forward.

    As :math:`F+I` is nilpotent, they are :math:`e^{-t}` times a polynomial.

    :param order: the number :math:`p` of derivatives.
    :param time: how far, of any shape.
    :return: of shape ``time.shape + (order + 1, order + 1)``; rows are the states after.

    >>> transition(1, torch.tensor(0.0))
    tensor([[1., 0.],
            [0., 1.]])
    """
    terms = time.new_tensor(_transition_terms(order))
    growth = (-time).exp()[..., None] * _powers(time, order + 1)
    matrices: Tensor = torch.tensordot(growth, terms, 1)
    return matrices


def stationary_covariance(order: int, like: Tensor) -> Tensor:
    """Return the covariance of the state at any one time.

    :param order: the number of derivatives.
    :param like: a tensor of the dtype and on the device that it shall have.

    >>> stationary_covariance(2, torch.tensor(0.0))
    tensor([[ 1.0000,  0.0000, -0.3333],
            [ 0.0000,  0.3333,  0.0000],
            [-0.3333,  0.0000,  1.0000]])
    """
    moments = [1.0]  # those of the spectral density, of even degrees
    for k in range(order):
        moments.append(moments[-1] * (k + 0.5) / (order - 0.5 - k))
    size = range(order + 1)
    entries = [
        [0.0 if (i + j) % 2 else (-1.0) ** ((i - j) // 2) * moments[(i + j) // 2] for j in size]
        for i in size
    ]
    return like.new_tensor(entries)


def process_covariance(order: int, time: Tensor) -> Tensor:
    r"""Return the covariance of the state, given what it was some time before.

    It is :math:`\int_0^t v(s)v(s)^\top ds`, where :math:`v(s)` is what is left of a unit of noise
    after a time :math:`s`: polynomials times :math:`e^{-s}`, whose integrals are incomplete gamma
    functions. So it keeps its digits for a short time, where entries are as small as
    :math:`t^{2p+1}` and the difference of two stationary covariances has none.

    :param order: the number of derivatives.
    :param time: how long before, of any shape.
    :return: of shape ``time.shape + (order + 1, order + 1)``.

    >>> process_covariance(0, torch.tensor([0.0, 100.0])).flatten()
    tensor([0., 1.])
    """
    integrals = [
        torch.special.gammainc(time.new_tensor(k + 1.0), 2 * time) for k in range(2 * order + 1)
    ]
    terms = time.new_tensor(_noise_terms(order))
    covariances: Tensor = torch.tensordot(torch.stack(integrals, -1), terms, 1)
    return covariances


def _powers(time: Tensor, count: int) -> Tensor:
    powers = [torch.ones_like(time)]
    for _ in range(count - 1):
        powers.append(powers[-1] * time)
    return torch.stack(powers, -1)


@functools.lru_cache
def _transition_terms(order: int) -> list[list[list[float]]]:
    """The coefficients (F + I)^j / j!, exact."""
    size = order + 1
    nilpotent = torch.diag(torch.ones(order, dtype=torch.float64), 1)
    nilpotent[-1] = torch.tensor([-math.comb(size, k) for k in range(size)])
    nilpotent += torch.eye(size, dtype=torch.float64)
    terms = [torch.eye(size, dtype=torch.float64)]
    for j in range(1, size):
        terms.append(terms[-1] @ nilpotent / j)
    return torch.stack(terms).tolist()


@functools.lru_cache
def _noise_terms(order: int) -> list[list[list[float]]]:
    """The coefficients of the incomplete gamma functions in the covariance."""
    # What a unit of noise in the highest derivative becomes: sums of coefficient * s^j * e^-s.
    response = torch.tensor(_transition_terms(order), dtype=torch.float64)[:, :, -1]
    density = math.factorial(order) ** 2 * 2.0 ** (2 * order + 1) / math.factorial(2 * order)
    terms = torch.zeros(2 * order + 1, order + 1, order + 1, dtype=torch.float64)
    for a, one in enumerate(response):
        for b, other in enumerate(response):
            weight = density * math.factorial(a + b) / 2.0 ** (a + b + 1)
            terms[a + b] += weight * torch.outer(one, other)
    return terms.tolist()
