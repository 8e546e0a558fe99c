"""Stochastic optimisation of one number by dual averaging."""

import math
from typing import Any


class DualAveraging:
    r"""Minimises a convex function by noisy subgradients :math:`g_1,g_2,\dots`, as they come.

    .. math::
        x_t = \mu - \frac{\sqrt t}{\gamma}\,\frac{1}{t+t_0}\sum_{i\le t}g_i, \qquad
        \bar x_t = t^{-\kappa}x_t + (1-t^{-\kappa})\,\bar x_{t-1}.

    The averages :math:`\bar x_t` converge. After Nesterov (2009), "Primal-dual subgradient methods
    for convex problems", Mathematical Programming 120, in the form of Hoffman and Gelman (2014),
    arXiv:1111.4246, who adapt the step size of Hamiltonian Monte Carlo with it.

    :param prox_center: the point :math:`\mu` that iterates are drawn to.
    :param t0: slows the first steps down, :math:`t_0\ge 0`.
    :param kappa: how fast old iterates are forgotten, :math:`\frac{1}{2}<\kappa\le 1`.
    :param gamma: how strong the pull to :math:`\mu` is, positive.

    >>> optimiser = DualAveraging()
    >>> for _ in range(2000):
    ...     x, _ = optimiser.get_state()
    ...     optimiser.step(x - 3.0)
    >>> round(optimiser.get_state()[1], 2)
    3.0
    """

    def __init__(
        self, prox_center: float = 0, t0: float = 10, kappa: float = 0.75, gamma: float = 0.05
    ) -> None:
        self.prox_center = prox_center
        self.t0 = t0
        self.kappa = kappa
        self.gamma = gamma
        self.reset()

    def reset(self) -> None:
        """Start anew, at the centre."""
        self._steps = 0
        self._mean_gradient: Any = 0.0
        self._point: Any = self.prox_center
        self._average: Any = self.prox_center

    def step(self, g: Any) -> None:
        """Take in one subgradient at the present point.

        :param g: a number, or a tensor without dimensions.
        """
        self._steps += 1
        self._mean_gradient += (g - self._mean_gradient) / (self._steps + self.t0)
        pull = math.sqrt(self._steps) / self.gamma
        self._point = self.prox_center - pull * self._mean_gradient
        weight = self._steps**-self.kappa
        self._average = weight * self._point + (1 - weight) * self._average

    def get_state(self) -> tuple[Any, Any]:
        r"""Return the latest point :math:`x_t` and the average :math:`\bar x_t`."""
        return self._point, self._average
