"""Flows that centre and scale each entry by what a batch of values looks like."""

from typing import Any

import torch
from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import TransformModule

__all__ = ["BatchNorm", "batchnorm"]

_LEAST_GAMMA = 1e-6


class BatchNorm(TransformModule):
    r"""Batch normalisation, whose inverse normalises: :math:`x = \gamma \frac{y - m}{s} + \beta`.

    :math:`s^2` is a variance and ``epsilon`` more. While training, the inverse takes mean and
    variance from the batch of images that it is given, and moves the running averages towards them;
    each image then depends on the whole batch, which the log-determinant does not count. The
    map itself, and in evaluation the inverse too, use the running averages.

    :param input_dim: the size of the vectors, whose entries are mapped one by one.
    :param momentum: the weight of a batch in the running averages.
    :param epsilon: what is added to variances.

    >>> flow = batchnorm(2)
    >>> x = flow.inv(torch.tensor([[1.0, 4.0], [3.0, 8.0]]))
    >>> x
    tensor([[-0.7071, -0.7071],
            [ 0.7071,  0.7071]], grad_fn=<AddBackward0>)
    >>> flow.eval().moving_mean
    tensor([0.2000, 0.6000])

    Sources: Ioffe and Szegedy 2015, *Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift*, arXiv:1502.03167; Dinh, Sohl-Dickstein and Bengio 2017,
    *Density Estimation using Real NVP*, arXiv:1605.08803, appendix E.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True

    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, input_dim: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(cache_size=1)
        self.input_dim = input_dim
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma = nn.Parameter(torch.ones(input_dim))
        self.beta = nn.Parameter(torch.zeros(input_dim))
        self.register_buffer("moving_mean", torch.zeros(input_dim))
        self.register_buffer("moving_variance", torch.ones(input_dim))

    @property
    def constrained_gamma(self) -> Tensor:
        r"""The factor :math:`\gamma`, kept above zero."""
        return self.gamma.relu() + _LEAST_GAMMA

    def train(self, mode: bool = True) -> "BatchNorm":
        """Normalise by batches from now on, or by running averages.

        :param mode: True for batches.
        """
        self._kept_for = None
        super().train(mode)
        return self

    def _tensors(self) -> list[Tensor]:
        return [*super()._tensors(), self.moving_mean, self.moving_variance]

    def _spread(self, variance: Tensor) -> Tensor:
        return (variance + self.epsilon).sqrt()

    def _call(self, x: Tensor) -> Tensor:
        gamma, spread = self.constrained_gamma, self._spread(self.moving_variance)
        self._keep(x, spread / gamma)
        return self.moving_mean + (x - self.beta) * (spread / gamma)

    def _inverse(self, y: Tensor) -> Tensor:
        mean, variance = self._statistics(y)
        gamma, spread = self.constrained_gamma, self._spread(variance)
        x = gamma * (y - mean) / spread + self.beta
        if self.training:
            with torch.no_grad():
                self.moving_mean.lerp_(mean, self.momentum)
                self.moving_variance.lerp_(variance, self.momentum)
            self._forget_if_stale()
        self._keep(x, spread / gamma)
        return x

    def _statistics(self, y: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            return self.moving_mean, self.moving_variance
        rows = y.expand(*y.shape[:-1], self.input_dim).reshape(-1, self.input_dim)
        if len(rows) < 2:
            raise ValueError(
                f"BatchNorm: one value of shape {tuple(y.shape)} has no variance to normalise by. "
                "Give a batch of values, or call .eval() to use the running averages."
            )
        return rows.mean(0), rows.var(0)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\log s - \log\gamma`, one for each entry.

        For a pair of value and image that is remembered :math:`s` is that which made it.

        :param x: a value.
        :param y: its image.
        """
        slope = self._kept_at(x)
        if slope is None:
            slope = self._spread(self._statistics(y)[1]) / self.constrained_gamma
        log_slope: Tensor = slope.log()
        return log_slope.expand(torch.broadcast_shapes(x.shape, log_slope.shape))


def batchnorm(input_dim: int, **kwargs: Any) -> BatchNorm:
    """Make a :class:`BatchNorm`.

    :param input_dim: the size of the vectors.
    :param kwargs: options of :class:`BatchNorm`.

    >>> batchnorm(3, momentum=0.2).momentum
    0.2
    """
    return BatchNorm(input_dim, **kwargs)
