"""Matérn kernels of Gaussian processes in time, in state-space form."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.nn.declarations import PyroParam
from pyro.nn.module import PyroModule
from pyro.ops.matern import process_covariance, stationary_covariance, transition


class MaternKernel(PyroModule):
    r"""Independent Gaussian processes in time with Matérn kernels, as Markov processes.

    A state is a process' value and its first :math:`\nu-\frac{1}{2}` derivatives. States are rows:
    the state ``x`` becomes ``x @ A`` plus noise of covariance ``Q``, with ``A, Q =
    kernel.transition_matrix_and_covariance(dt)``. See Hartikainen and Särkkä (2010), "Kalman
    filtering and smoothing solutions to temporal Gaussian process regression models", MLSP.

    :param nu: the smoothness: 0.5, 1.5, 2.5, and so on.
    :param num_gps: how many processes.
    :param length_scale_init: where the length scales start, positive, of shape ``(num_gps,)``; ones
        where left out.
    :param kernel_scale_init: where the standard deviations start, likewise.
    :raises NotImplementedError: for another smoothness; its process has no finite state.
    :raises ValueError: where an initial value has another shape.

    >>> kernel = MaternKernel(nu=0.5, length_scale_init=torch.tensor([2.0]))
    >>> kernel.transition_matrix(2.0).squeeze()  # one over e
    tensor(0.3679, grad_fn=<SqueezeBackward0>)
    """

    length_scale: Tensor
    kernel_scale: Tensor

    def __init__(
        self,
        nu: float = 1.5,
        num_gps: int = 1,
        length_scale_init: Tensor | None = None,
        kernel_scale_init: Tensor | None = None,
    ) -> None:
        if nu <= 0 or (nu - 0.5) % 1:
            raise NotImplementedError(
                f"nu is {nu}, but only for nu = 0.5, 1.5, 2.5, ... is a Matérn process Markov."
            )
        super().__init__()
        self.nu = nu
        self.num_gps = num_gps
        self.state_dim = int(nu + 0.5)
        self.length_scale = self._scales("length_scale_init", length_scale_init)
        self.kernel_scale = self._scales("kernel_scale_init", kernel_scale_init)

    def _scales(self, name: str, initial: Tensor | None) -> Any:
        initial = torch.ones(self.num_gps) if initial is None else initial
        if initial.shape != (self.num_gps,):
            raise ValueError(
                f"{name} has shape {tuple(initial.shape)}, expected ({self.num_gps},): one number "
                "for each process."
            )
        return PyroParam(initial, constraint=constraints.positive)

    def transition_matrix(self, dt: float | Tensor) -> Tensor:
        """Return the matrices that states, as rows, are multiplied with over a time.

        :param dt: the time, of any shape.
        :return: of shape ``dt.shape + (num_gps, state_dim, state_dim)``.
        """
        units = self._units()
        matrix = transition(self.state_dim - 1, self._elapsed(dt))
        return matrix.mT * units[:, None, :] / units[:, :, None]

    def stationary_covariance(self) -> Tensor:
        """Return the covariances of states, of shape ``(num_gps, state_dim, state_dim)``."""
        return self._in_units(stationary_covariance(self.state_dim - 1, self.length_scale))

    def process_covariance(self, A: Tensor) -> Tensor:
        r"""Return the noise's covariances :math:`P-A^\top PA` for given transition matrices.

        Over short times these differences have few correct digits; prefer
        :meth:`transition_matrix_and_covariance`, which takes none.

        :param A: what :meth:`transition_matrix` returns.
        """
        stationary = self.stationary_covariance()
        return stationary - A.mT @ stationary @ A

    def transition_matrix_and_covariance(self, dt: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the transition matrices over a time, and the covariances of the noise.

        :param dt: the time, of any shape.
        :return: both of shape ``dt.shape + (num_gps, state_dim, state_dim)``.
        """
        noise = process_covariance(self.state_dim - 1, self._elapsed(dt))
        return self.transition_matrix(dt), self._in_units(noise)

    def _rate(self) -> Tensor:
        rate: Tensor = math.sqrt(2 * self.nu) / self.length_scale
        return rate

    def _elapsed(self, dt: float | Tensor) -> Tensor:
        rate = self._rate()
        return torch.as_tensor(dt, dtype=rate.dtype, device=rate.device)[..., None] * rate

    def _units(self) -> Tensor:
        rate = self._rate()
        return rate[:, None] ** torch.arange(self.state_dim, dtype=rate.dtype, device=rate.device)

    def _in_units(self, matrix: Tensor) -> Tensor:
        units = self.kernel_scale[:, None] * self._units()
        return matrix * units[:, :, None] * units[:, None, :]
