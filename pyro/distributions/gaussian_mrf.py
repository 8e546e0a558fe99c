"""Series of vectors in a Markov random field with Gaussian potentials."""

from typing import Any

import torch
from torch import Tensor

from pyro.distributions.gaussian_chain import GaussianChain, check_normal
from pyro.distributions.hidden_markov import batch_and_duration, check_event
from pyro.ops.gaussian import mvn_to_gaussian
from pyro.ops.gaussian_form import Gaussian
from pyro.ops.shapes import broadcast_shape


class GaussianMRF(GaussianChain):
    r"""Law of a series of vectors in a chain of hidden ones, tied by Gaussian potentials.

    .. math::

        p(x_1, \dots, x_T) = \frac{1}{Z_T} \int f_0(z_0)
            \prod_{t=1}^T f(z_{t-1}, z_t)\,g(z_t, x_t)\;dz_0\cdots dz_T

    The functions are densities of normal laws each, but not conditional ones as those of a
    :class:`~pyro.distributions.GaussianHMM`; so :math:`Z_T` is another integral, over the series
    too. Its density is one over all real arrays of shape ``(T, obs_dim)``. In the shapes below time
    may have size 1, or be left out.

    :param initial_dist: the normal law of density :math:`f_0`, of batch shape ``batch_shape`` and
        event shape ``(hidden_dim,)``.
    :param transition_dist: that of :math:`f`, of batch shape ``batch_shape + (T,)`` and event shape
        ``(2 * hidden_dim,)``.
    :param observation_dist: that of :math:`g`, of batch shape ``batch_shape + (T,)`` and event
        shape ``(hidden_dim + obs_dim,)``.
    :param validate_args: whether to check values.
    :raises ValueError: where shapes do not fit together.
    :raises TypeError: where a law is not normal.

    >>> import torch
    >>> from pyro.distributions.normal import Normal
    >>> one, two = (Normal(torch.zeros(n), 1.0).to_event(1) for n in (1, 2))
    >>> GaussianMRF(one, two, two).log_prob(torch.zeros(3, 1))
    tensor(-2.7568)

    Source: Rue and Held 2005, *Gaussian Markov Random Fields*, chapter 2.
    """

    def __init__(
        self,
        initial_dist: Any,
        transition_dist: Any,
        observation_dist: Any,
        validate_args: bool | None = None,
    ) -> None:
        check_normal(
            "GaussianMRF",
            initial_dist=initial_dist,
            transition_dist=transition_dist,
            observation_dist=observation_dist,
        )
        size = initial_dist.event_shape[0]
        check_event("GaussianMRF", "transition_dist", transition_dist, 2 * size)
        if observation_dist.event_shape[0] <= size:
            raise ValueError(
                f"GaussianMRF: 'observation_dist' has event shape "
                f"{tuple(observation_dist.event_shape)}, expected more than the {size} entries of "
                "a hidden vector, which come first."
            )
        batch_shape, duration = batch_and_duration(
            "GaussianMRF",
            None,
            initial_dist.batch_shape + (1,),
            transition_dist.batch_shape,
            observation_dist.batch_shape,
        )
        super().__init__(
            mvn_to_gaussian(initial_dist),
            mvn_to_gaussian(transition_dist),
            mvn_to_gaussian(observation_dist),
            duration,
            batch_shape,
            validate_args,
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the series, of shape ``(..., T, obs_dim)``.
        """
        given, free = self._given(value), self._free(value.size(-2))
        both = self._ends(_side_by_side(given, free))
        joint, total = both.event_logsumexp().unbind(0)
        return self._over_batch(joint - total)


def _side_by_side(one: Gaussian, two: Gaussian) -> Gaussian:
    """Return a batch of two chains; what all of their steps share they share still."""
    batch = broadcast_shape(one.batch_shape, two.batch_shape)[:-1]

    def stacked(name: str, rank: int) -> Tensor:
        x, y = torch.broadcast_tensors(getattr(one, name), getattr(two, name))
        sizes = x.shape[max(0, x.dim() - rank - 1) :]
        shape = (*batch, *(1,) * (rank + 1 - len(sizes)), *sizes)
        return torch.stack([x.expand(shape), y.expand(shape)])

    return Gaussian(**{name: stacked(name, rank) for name, rank in Gaussian._ranks.items()})
