"""Linear models of time with normal noise: the hidden Markov models of Kalman's filter."""

from typing import Any

from torch import Tensor

from pyro.distributions.gaussian_chain import GaussianChain, check_normal, is_normal, normal_law_of
from pyro.distributions.hidden_markov import batch_and_duration, check_linear_parts
from pyro.distributions.independent import Independent
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.affine_normal import AffineNormal
from pyro.ops.gaussian import matrix_and_mvn_to_gaussian, mvn_to_gaussian
from pyro.ops.gaussian_form import Gaussian
from pyro.ops.shapes import broadcast_shape


class GaussianHMM(GaussianChain):
    r"""Law of a series of vectors seen of a linear process, with normal noise.

    .. math::

        z_t = z_{t-1}^\top F_t + w_t, \quad x_t = z_t^\top H_t + v_t, \quad t = 1, \dots, T,

    where :math:`z_0`, :math:`w_t` and :math:`v_t` are normal and independent. The series is then
    normal as a whole, with a density over all real arrays of shape ``(T, obs_dim)``. States are
    integrated out, or drawn, in about :math:`\log_2 T` steps one after the other.

    In the shapes below time may have size 1, or be left out.

    :param initial_dist: the law of :math:`z_0`, a multivariate normal one or a
        ``Normal(...).to_event(1)``, of batch shape ``batch_shape`` and event shape
        ``(hidden_dim,)``.
    :param transition_matrix: :math:`F`, of shape ``batch_shape + (T, hidden_dim, hidden_dim)``.
    :param transition_dist: the law of :math:`w`, of batch shape ``batch_shape + (T,)`` and event
        shape ``(hidden_dim,)``.
    :param observation_matrix: :math:`H`, of shape ``batch_shape + (T, hidden_dim, obs_dim)``.
    :param observation_dist: the law of :math:`v`, of batch shape ``batch_shape + (T,)`` and event
        shape ``(obs_dim,)``.
    :param validate_args: whether to check parameters and values.
    :param duration: the number of steps, where no parameter has a dimension of time.
    :raises ValueError: where shapes do not fit together.
    :raises TypeError: where a law is not normal; see :class:`~pyro.distributions.LinearHMM`.

    >>> import torch
    >>> from pyro.distributions.normal import Normal
    >>> noise, eye = Normal(torch.zeros(1), 1.0).to_event(1), torch.eye(1)
    >>> walk = GaussianHMM(noise, eye, noise, eye, noise, duration=2)
    >>> walk.log_prob(torch.zeros(2, 1))
    tensor(-2.8776)

    Source: Särkkä and García-Fernández 2019, *Temporal Parallelization of Bayesian Smoothers*,
    arXiv:1905.13002.
    """

    _is_causal = True

    def __init__(
        self,
        initial_dist: Any,
        transition_matrix: Tensor,
        transition_dist: Any,
        observation_matrix: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        check_normal(
            "GaussianHMM",
            initial_dist=initial_dist,
            transition_dist=transition_dist,
            observation_dist=observation_dist,
        )
        shapes = check_linear_parts(
            "GaussianHMM",
            initial_dist,
            transition_matrix,
            transition_dist,
            observation_matrix,
            observation_dist,
        )
        batch_shape, duration = batch_and_duration("GaussianHMM", duration, *shapes)
        super().__init__(
            mvn_to_gaussian(initial_dist),
            matrix_and_mvn_to_gaussian(transition_matrix, transition_dist),
            matrix_and_mvn_to_gaussian(observation_matrix, observation_dist),
            duration,
            batch_shape,
            validate_args,
        )
        self._check_matrices(
            transition_matrix=transition_matrix, observation_matrix=observation_matrix
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the series, of shape ``(..., T, obs_dim)``.
        """
        return self._over_batch(self._ends(self._given(value)).event_logsumexp())

    def filter(self, value: Tensor) -> MultivariateNormal:
        """Return the law of the last state, given a series.

        :param value: the series.
        """
        last = normal_law_of(self._ends(self._given(value)).marginalize(left=self.hidden_dim))
        shape = broadcast_shape(last.batch_shape, self._batch_shape)
        return last if last.batch_shape == shape else last.expand(shape)

    def rsample_posterior(self, value: Tensor, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw the states given a series, jointly and differentiably.

        :param value: the series.
        :param sample_shape: the shape of independent draws.
        :returns: the states after each step, of shape
            ``sample_shape + batch_shape + (T, hidden_dim)``.
        """
        batch_shape = broadcast_shape(value.shape[:-2], self._batch_shape)
        return self._draw_states(self._given(value), batch_shape, sample_shape)

    def prefix_condition(self, data: Tensor) -> "GaussianHMM":
        """Return the law of the rest of a series, given how it starts.

        :param data: the first steps, of shape ``(..., t, obs_dim)``.
        :raises ValueError: where there is no duration, or nothing given, or nothing left.

        >>> import torch
        >>> from pyro.distributions.normal import Normal
        >>> noise, eye = Normal(torch.zeros(1), 1.0).to_event(1), torch.eye(1)
        >>> walk = GaussianHMM(noise, eye, noise, eye, noise, duration=5)
        >>> walk.prefix_condition(torch.zeros(2, 1)).event_shape
        torch.Size([3, 1])
        """
        steps, count = self._steps(), data.size(-2) if data.dim() > 1 else 0
        if not 0 < count < steps:
            raise ValueError(
                f"{self}.prefix_condition() was given {count} steps, in data of shape "
                f"{tuple(data.shape)}; expected 1 to {steps - 1} in the last dimension but one."
            )
        before, after = self._part(slice(None, count)), self._part(slice(count, None))
        state = before._ends(before._given(data)).marginalize(left=self.hidden_dim)
        after._init = state
        total = state if self._is_causal else after._ends(after._free(steps - count))
        after._init = state - total.event_logsumexp()
        batch_shape = broadcast_shape(after._init.batch_shape, self._batch_shape)
        after.__dict__["_batch_shape"] = type(self._batch_shape)(batch_shape)
        return after

    def _part(self, time: slice) -> "GaussianHMM":
        """Return a law with the factors of some steps."""
        new: GaussianHMM = self.expand(self._batch_shape)
        new._duration = len(range(*time.indices(self._steps())))
        new._event_shape = type(self._event_shape)((new._duration, self.obs_dim))
        new._trans = _during(self._trans, time)
        new._obs = _during(self._obs, time)
        return new

    def conjugate_update(self, other: Any) -> tuple["GaussianHMM", Tensor]:
        """Multiply this density by that of a series without hidden states, and normalise.

        The new law has the states of this one, and more to be known about them.

        :param other: a law of independent normal vectors at each step, as
            ``Normal(...).to_event(2)`` or ``MultivariateNormal(...).to_event(1)``.
        :returns: the law, and the logarithm of the integral of the product.
        :raises TypeError: where it is another one.
        :raises ValueError: where it has another number of steps.

        >>> import torch
        >>> from pyro.distributions.normal import Normal
        >>> noise, eye = Normal(torch.zeros(1), 1.0).to_event(1), torch.eye(1)
        >>> walk = GaussianHMM(noise, eye, noise, eye, noise, duration=2)
        >>> seen = Normal(torch.zeros(2, 1), 0.1).to_event(2)
        >>> law, log_normalizer = walk.conjugate_update(seen)
        >>> value = torch.ones(2, 1)
        >>> law.log_prob(value) + log_normalizer, walk.log_prob(value) + seen.log_prob(value)
        (tensor(-100.2978), tensor(-100.2978))
        """
        vectors = other.to_event(-1) if isinstance(other, Independent) else other
        if not is_normal(vectors) or other.event_dim != 2:
            raise TypeError(
                f"GaussianHMM.conjugate_update() takes a Normal(...).to_event(2) or "
                f"MultivariateNormal(...).to_event(1), not {other}."
            )
        shape = self._event_shape if self._duration else (other.event_shape[0], self.obs_dim)
        if other.event_shape != shape:
            raise ValueError(
                f"{self}.conjugate_update() was given a law of event shape "
                f"{tuple(other.event_shape)}, expected {tuple(shape)}."
            )
        new: GaussianHMM = self.expand(broadcast_shape(self._batch_shape, other.batch_shape))
        new._duration, new._event_shape = other.event_shape[0], other.event_shape
        new._obs = self._obs + mvn_to_gaussian(vectors).event_pad(left=self.hidden_dim)
        new._is_causal = False
        log_normalizer = new._ends(new._free(other.event_shape[0])).event_logsumexp()
        new._init = self._init - log_normalizer
        return new, log_normalizer.expand(new._batch_shape)


def _during(factor: Gaussian | AffineNormal, time: slice) -> Any:
    """Return the factors of some steps; all have the same where there is no other."""
    shape = factor.batch_shape
    return factor if not shape or shape[-1] == 1 else factor[..., time]
