"""Series that depend on hidden discrete states."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.categorical import Categorical
from pyro.distributions.hidden_markov import HiddenMarkovModel, batch_and_duration
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.shapes import gather
from pyro.ops.state_chains import sequential_log_matmul_exp, state_paths


class DiscreteHMM(HiddenMarkovModel):
    r"""Law of a series that depends on hidden states from a finite set.

    .. math::

        p(x_1, \dots, x_T) = \sum_{z_0, \dots, z_T} p(z_0)
            \prod_{t=1}^T p(z_t\mid z_{t-1})\,p(x_t\mid z_t)

    The first observation comes after the first transition. All states are summed over, or drawn,
    in about :math:`\log_2 T` steps one after the other.

    :param initial_logits: unnormalised log probabilities of :math:`z_0`, of shape
        ``batch_shape + (state_dim,)``.
    :param transition_logits: unnormalised log probabilities of :math:`z_t` given
        :math:`z_{t-1}`, of shape ``batch_shape + (T, state_dim, state_dim)``, with the states
        before in rows. Time may have size 1, or be left out.
    :param observation_dist: the law of :math:`x_t` given :math:`z_t`, of batch shape
        ``batch_shape + (T, state_dim)``. Time may have size 1, or be left out.
    :param validate_args: whether to check parameters and values.
    :param duration: the number of steps, where no parameter has a dimension of time.
    :raises ValueError: where shapes do not fit together.

    Its support is that of the law of an observation, at each step.

    >>> from pyro.distributions.bernoulli import Bernoulli
    >>> stay = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
    >>> law = DiscreteHMM(torch.zeros(2), stay, Bernoulli(torch.tensor([0.1, 0.7])), duration=3)
    >>> law.log_prob(torch.tensor([0.0, 0.0, 1.0]))
    tensor(-2.3492)

    Source: Särkkä and García-Fernández 2019, *Temporal Parallelization of Bayesian Smoothers*,
    arXiv:1905.13002.
    """

    arg_constraints = {
        "initial_logits": constraints.real,
        "transition_logits": constraints.real,
    }

    def __init__(
        self,
        initial_logits: Tensor,
        transition_logits: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        size = initial_logits.size(-1) if initial_logits.dim() else 0
        if transition_logits.shape[-2:] != (size, size):
            raise ValueError(
                f"DiscreteHMM: 'transition_logits' has shape {tuple(transition_logits.shape)}, "
                f"expected (..., {size}, {size}), since 'initial_logits' has shape "
                f"{tuple(initial_logits.shape)}."
            )
        if observation_dist.batch_shape[-1:] != (size,):
            raise ValueError(
                f"DiscreteHMM: 'observation_dist' has batch shape "
                f"{tuple(observation_dist.batch_shape)}, expected (..., {size}), a law for each "
                "state. Entries of one observation become an event by .to_event()."
            )
        batch_shape, duration = batch_and_duration(
            "DiscreteHMM",
            duration,
            initial_logits.shape[:-1] + (1,),
            transition_logits.shape[:-2],
            observation_dist.batch_shape[:-1],
        )
        self._initial = initial_logits.log_softmax(-1)
        self._transition = transition_logits.log_softmax(-1)
        self.observation_dist = observation_dist
        event_shape = (duration or 1, *observation_dist.event_shape)
        super().__init__(duration, batch_shape, event_shape, validate_args)

    @property
    def initial_logits(self) -> Tensor:
        """Log probabilities of the state before the first step, normalised."""
        return self._initial.expand(self._batch_shape + self._initial.shape[-1:])

    @property
    def transition_logits(self) -> Tensor:
        """Log probabilities of transitions, normalised; time is a dimension where it was one."""
        return self._transition.expand(self._batch_shape + self._transition.shape[-3:])

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the law of an observation, at each step."""
        return constraints.independent(self.observation_dist.support, 1)

    def _joint(self, value: Tensor) -> Tensor:
        """Return the log density of a series together with the first and the last state."""
        if self._validate_args:
            self._validate_sample(value)
        law = self.observation_dist
        seen = law.log_prob(value.unsqueeze(-1 - law.event_dim))
        given = sequential_log_matmul_exp(self._transition + seen[..., None, :])
        return self._initial[..., None] + given

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the series, of shape ``(..., T) + observation_dist.event_shape``.
        """
        return self._over_batch(self._joint(value).logsumexp((-2, -1)))

    def filter(self, value: Tensor) -> Categorical:
        """Return the law of the last state, given a series.

        :param value: the series.

        >>> from pyro.distributions.bernoulli import Bernoulli
        >>> seen = Bernoulli(torch.tensor([0.25, 0.75]))
        >>> law = DiscreteHMM(torch.zeros(2), torch.zeros(2, 2), seen)
        >>> law.filter(torch.tensor([0.0, 1.0])).probs
        tensor([0.2500, 0.7500])
        """
        last = self._joint(value).logsumexp(-2)
        shape = self._over_batch(last[..., 0]).shape
        law: Categorical = Categorical(logits=last).expand(shape)
        return law

    def sample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw states, and then a series.

        :param sample_shape: the shape of independent draws.
        :raises ValueError: where there is no duration.
        """
        steps, sample_shape = self._steps(), torch.Size(sample_shape)
        batch_shape, size = self._batch_shape, self._initial.size(-1)
        with torch.no_grad():
            start = Categorical(logits=self._initial).expand(batch_shape).sample(sample_shape)
            moves = Categorical(logits=self._transition).expand(batch_shape + (steps, size))
            path = state_paths(start[..., None], moves.sample(sample_shape))
            law = self.observation_dist.expand(batch_shape + (steps, size))
            choices: Tensor = law.sample(sample_shape)
            index = path.reshape(path.shape + (1,) * law.event_dim)
            return gather(choices, index, -1 - law.event_dim).squeeze(-1 - law.event_dim)
