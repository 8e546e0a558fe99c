"""Activations of networks, as maps between sets of numbers."""

import math

import torch
from torch import Tensor
from torch.distributions.transforms import TanhTransform, Transform
from torch.nn.functional import elu as apply_elu
from torch.nn.functional import leaky_relu as apply_leaky_relu

import pyro.distributions.constraints as constraints

__all__ = ["ELUTransform", "LeakyReLUTransform", "elu", "leaky_relu", "tanh"]

_LEAK = 0.01


class ELUTransform(Transform):
    r"""Map a number to one above -1: :math:`y = x` where it is positive, else :math:`e^x - 1`.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> ELUTransform()(torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])

    Source: Clevert, Unterthiner and Hochreiter 2016, *Fast and Accurate Deep Network Learning by
    Exponential Linear Units*, arXiv:1511.07289.
    """

    domain = constraints.real
    codomain = constraints.greater_than(-1.0)
    bijective = True
    sign = +1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ELUTransform)

    def _call(self, x: Tensor) -> Tensor:
        return apply_elu(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.clamp(min=0) + y.clamp(max=0).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the slope: the number where it is negative, else zero.

        :param x: a number.
        :param y: its image.
        """
        return x.clamp(max=0)


class LeakyReLUTransform(Transform):
    """Map a number to itself where it is positive, else to a hundredth of it.

    :param cache_size: 1 to remember the latest pair of value and image.

    >>> LeakyReLUTransform()(torch.tensor([-1.0, 2.0]))
    tensor([-0.0100,  2.0000])

    Source: Maas, Hannun and Ng 2013, *Rectifier Nonlinearities Improve Neural Network Acoustic
    Models*, ICML workshop on deep learning.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeakyReLUTransform)

    def _call(self, x: Tensor) -> Tensor:
        return apply_leaky_relu(x, _LEAK)

    def _inverse(self, y: Tensor) -> Tensor:
        return apply_leaky_relu(y, 1 / _LEAK)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the slope.

        :param x: a number.
        :param y: its image.
        """
        return torch.where(x < 0, math.log(_LEAK), torch.zeros_like(x))


def elu() -> ELUTransform:
    """Make an :class:`ELUTransform`.

    >>> elu()
    ELUTransform()
    """
    return ELUTransform()


def leaky_relu() -> LeakyReLUTransform:
    """Make a :class:`LeakyReLUTransform`.

    >>> leaky_relu()
    LeakyReLUTransform()
    """
    return LeakyReLUTransform()


def tanh() -> TanhTransform:
    """Make torch's `TanhTransform`.

    >>> tanh()
    TanhTransform()
    """
    return TanhTransform()
