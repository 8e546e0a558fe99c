"""Linear models of time with normal noise of a common, unknown scale."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.gamma import Gamma
from pyro.distributions.gamma_gaussian import (
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    matrix_and_mvn_to_gamma_gaussian,
    scale_mvn,
    sequential_gamma_gaussian_tensordot,
)
from pyro.distributions.gaussian_chain import check_normal, normal_law_of
from pyro.distributions.hidden_markov import (
    HiddenMarkovModel,
    batch_and_duration,
    check_linear_parts,
)
from pyro.distributions.linear_hmm import LinearHMM
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.gaussian_form import Gaussian


class GammaGaussianHMM(HiddenMarkovModel):
    r"""Law of a series of vectors seen of a linear process, whose normal noise has a random scale.

    .. math::

        s \sim \mathrm{Gamma}(a, b), \quad
        z_t = z_{t-1}^\top F_t + w_t, \quad x_t = z_t^\top H_t + v_t, \quad t = 1, \dots, T,

    where :math:`z_0`, :math:`w_t` and :math:`v_t` are normal with the precisions of the given laws
    times :math:`s`. The series as a whole follows Student's law with :math:`2a` degrees of freedom,
    with a density over all real arrays of shape ``(T, obs_dim)``. States are integrated out in
    about :math:`\log_2 T` steps one after the other.

    In the shapes below time may have size 1, or be left out.

    :param scale_dist: the :class:`~pyro.distributions.Gamma` law of :math:`s`, of batch shape
        ``batch_shape``.
    :param initial_dist: the law of :math:`z_0` where :math:`s=1`, a multivariate normal one or a
        ``Normal(...).to_event(1)``, of batch shape ``batch_shape`` and event shape
        ``(hidden_dim,)``.
    :param transition_matrix: :math:`F`, of shape ``batch_shape + (T, hidden_dim, hidden_dim)``.
    :param transition_dist: the law of :math:`w` where :math:`s=1`, of batch shape
        ``batch_shape + (T,)`` and event shape ``(hidden_dim,)``.
    :param observation_matrix: :math:`H`, of shape ``batch_shape + (T, hidden_dim, obs_dim)``.
    :param observation_dist: the law of :math:`v` where :math:`s=1`, of batch shape
        ``batch_shape + (T,)`` and event shape ``(obs_dim,)``.
    :param validate_args: whether to check parameters and values.
    :param duration: the number of steps, where no parameter has a dimension of time.
    :raises ValueError: where shapes do not fit together.
    :raises TypeError: where a law is of another kind.

    >>> from pyro.distributions.normal import Normal
    >>> noise, eye = Normal(torch.zeros(1), 1.0).to_event(1), torch.eye(1)
    >>> walk = GammaGaussianHMM(Gamma(3.0, 2.0), noise, eye, noise, eye, noise, duration=2)
    >>> walk.log_prob(torch.zeros(2, 1))
    tensor(-2.4721)

    Source: West and Harrison 1997, *Bayesian Forecasting and Dynamic Models*, section 4.5.
    """

    arg_constraints = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self,
        scale_dist: Any,
        initial_dist: Any,
        transition_matrix: Tensor,
        transition_dist: Any,
        observation_matrix: Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        if not isinstance(scale_dist, torch.distributions.Gamma):
            raise TypeError(f"GammaGaussianHMM: 'scale_dist' must be a Gamma, not {scale_dist}.")
        laws = {
            "initial_dist": initial_dist,
            "transition_dist": transition_dist,
            "observation_dist": observation_dist,
        }
        check_normal("GammaGaussianHMM", **laws)
        matrices = {
            "transition_matrix": transition_matrix,
            "observation_matrix": observation_matrix,
        }
        shapes = check_linear_parts("GammaGaussianHMM", **laws, **matrices)
        shapes.append(scale_dist.batch_shape + (1,))
        batch_shape, duration = batch_and_duration("GammaGaussianHMM", duration, *shapes)
        self.hidden_dim, self.obs_dim = observation_matrix.shape[-2:]
        self._scale_dist, self._laws, self._matrices = scale_dist, laws, matrices
        self._init = gamma_and_mvn_to_gamma_gaussian(scale_dist, initial_dist)
        self._trans = matrix_and_mvn_to_gamma_gaussian(transition_matrix, transition_dist)
        self._obs = matrix_and_mvn_to_gamma_gaussian(observation_matrix, observation_dist)
        event_shape = (duration or 1, self.obs_dim)
        super().__init__(duration, batch_shape, event_shape, validate_args)
        self._check_matrices(**matrices)

    def _ends(self, value: Tensor) -> GammaGaussian:
        """Integrate out all states but the first and the last, given a series."""
        if self._validate_args:
            self._validate_sample(value)
        chain = self._trans + self._obs.condition(value).event_pad(left=self.hidden_dim)
        chain = sequential_gamma_gaussian_tensordot(chain)
        return self._init.event_pad(right=self.hidden_dim) + chain

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density.

        :param value: the series, of shape ``(..., T, obs_dim)``.
        """
        return self._over_batch(self._ends(value).event_logsumexp().logsumexp())

    def filter(self, value: Tensor) -> tuple[Gamma, MultivariateNormal]:
        """Return the law of the scale and that of the last state, given a series.

        :param value: the series.
        :returns: the law of :math:`s`, and the normal law that the last state has where
            :math:`s=1`; its precision is that of the latter times :math:`s`.
        """
        last = self._ends(value).marginalize(left=self.hidden_dim)
        scale = last.event_logsumexp()
        state = normal_law_of(Gaussian(last.log_normalizer, last.info_vec, last.precision))
        shape = self._over_batch(last.beta).shape
        return Gamma(scale.concentration, scale.rate).expand(shape), state.expand(shape)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw a scale, then states, and then a series, differentiably.

        :param sample_shape: the shape of independent draws.
        :raises ValueError: where there is no duration.
        """
        steps = self._steps()
        s = self._scale_dist.expand(self._batch_shape).rsample(torch.Size(sample_shape))
        scaled: dict[str, Any] = {
            name: scale_mvn(_as_mvn(law), s if name == "initial_dist" else s[..., None])
            for name, law in self._laws.items()
        }
        law = LinearHMM(**scaled, **self._matrices, duration=steps, validate_args=False)
        return law.rsample()


def _as_mvn(law: Any) -> Any:
    if not isinstance(law, torch.distributions.Independent):
        return law
    return MultivariateNormal(law.mean, scale_tril=torch.diag_embed(law.stddev))
