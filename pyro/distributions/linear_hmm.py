"""Linear models of time with noise of any law."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.compound import TransformedDistribution
from pyro.distributions.gaussian_chain import is_normal
from pyro.distributions.gaussian_hmm import GaussianHMM
from pyro.distributions.hidden_markov import (
    HiddenMarkovModel,
    batch_and_duration,
    check_linear_parts,
)
from pyro.distributions.independent import Independent
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.matrices import matvecmul
from pyro.ops.state_chains import affine_paths


class LinearHMM(HiddenMarkovModel):
    r"""Law of a series of vectors seen of a linear process, with noise of any law.

    .. math::

        z_t = z_{t-1}^\top F_t + w_t, \quad x_t = f(z_t^\top H_t + v_t), \quad t = 1, \dots, T,

    where :math:`z_0`, :math:`w_t` and :math:`v_t` are independent. Draws take about
    :math:`\log_2 T` steps one after the other. There is a density in closed form only where all
    three are normal; for other laws that are mixtures of normal ones, as Student's t and stable
    laws, use :class:`~pyro.infer.reparam.LinearHMMReparam`.

    In the shapes below time may have size 1, or be left out.

    :param initial_dist: the law of :math:`z_0`, of batch shape ``batch_shape`` and event shape
        ``(hidden_dim,)``.
    :param transition_matrix: :math:`F`, of shape ``batch_shape + (T, hidden_dim, hidden_dim)``.
    :param transition_dist: the law of :math:`w`, of batch shape ``batch_shape + (T,)`` and event
        shape ``(hidden_dim,)``.
    :param observation_matrix: :math:`H`, of shape ``batch_shape + (T, hidden_dim, obs_dim)``.
    :param observation_dist: the law of :math:`v`, of batch shape ``batch_shape + (T,)`` and event
        shape ``(obs_dim,)``. Where it is the law of transformed real vectors, such as
        ``LogNormal(...).to_event(1)``, :math:`v` follows the law before the transform :math:`f`;
        else :math:`f(y)=y`.
    :param validate_args: whether to check parameters and values.
    :param duration: the number of steps, where no parameter has a dimension of time.
    :raises ValueError: where shapes do not fit together.

    Its support is that of ``observation_dist`` where it is a transformed law, and else all real
    arrays of shape ``(T, obs_dim)``.

    >>> from pyro.distributions.heavy_tailed import StudentT
    >>> noise, eye = StudentT(3.0, torch.zeros(1), 1.0).to_event(1), torch.eye(1)
    >>> LinearHMM(noise, eye, noise, eye, noise, duration=5)().shape
    torch.Size([5, 1])
    """

    arg_constraints = {}
    has_rsample = True

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
        shapes = check_linear_parts(
            "LinearHMM",
            initial_dist,
            transition_matrix,
            transition_dist,
            observation_matrix,
            observation_dist,
        )
        batch_shape, duration = batch_and_duration("LinearHMM", duration, *shapes)
        self.hidden_dim, self.obs_dim = observation_matrix.shape[-2:]
        self.initial_dist = initial_dist
        self.transition_matrix = transition_matrix
        self.transition_dist = transition_dist
        self.observation_matrix = observation_matrix
        self.observation_dist, self.transforms = _untransformed(observation_dist)
        real = constraints.independent(constraints.real, 1)
        self._seen_support = observation_dist.support if self.transforms else real
        if not all(law.has_rsample for law in (initial_dist, transition_dist, observation_dist)):
            self.has_rsample = False
        event_shape = (duration or 1, self.obs_dim)
        super().__init__(duration, batch_shape, event_shape, validate_args)
        self._check_matrices(
            transition_matrix=transition_matrix, observation_matrix=observation_matrix
        )

    @constraints.dependent_property(event_dim=2)
    def support(self) -> Any:
        """That of a transformed law of observations, at each step; all real arrays else."""
        return constraints.independent(self._seen_support, 1)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw states, and then a series, differentiably.

        :param sample_shape: the shape of independent draws.
        :raises ValueError: where there is no duration.
        """
        batch_shape, steps = self._batch_shape, self._steps()
        sample_shape, each = torch.Size(sample_shape), batch_shape + (steps,)
        start = self.initial_dist.expand(batch_shape)(sample_shape)
        shocks = self.transition_dist.expand(each)(sample_shape)
        path = affine_paths(start, _with_time(self.transition_matrix), shocks)
        noise: Tensor = self.observation_dist.expand(each)(sample_shape)
        value = matvecmul(self.observation_matrix.mT, path) + noise
        for transform in self.transforms:
            value = transform(value)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, where all noise is normal.

        :param value: the series, of shape ``(..., T, obs_dim)``.
        :raises NotImplementedError: where there is other noise, with the remedy.
        """
        parts = self.initial_dist, self.transition_dist, self.observation_dist
        other = next((law for law in parts if not is_normal(law)), None)
        if other is not None:
            raise NotImplementedError(
                f"LinearHMM has no density in closed form with noise such as {other}. Mixtures of "
                "normal laws become normal by pyro.infer.reparam.LinearHMMReparam."
            )
        if self._validate_args:
            self._validate_sample(value)
        law = GaussianHMM(
            self.initial_dist,
            self.transition_matrix,
            self.transition_dist,
            self.observation_matrix,
            self.observation_dist,
            duration=self._duration,
            validate_args=False,
        )
        return self._over_batch(seen_through(law, self.transforms).log_prob(value))


def seen_through(law: Any, transforms: list[Any]) -> Any:
    """Return the law of a transformed value.

    :param law: the law of the value.
    :param transforms: what is applied to it, from the first to the last; perhaps nothing.
    """
    return TransformedDistribution(law, transforms, validate_args=False) if transforms else law


def _with_time(matrix: Tensor) -> Tensor:
    return matrix if matrix.dim() > 2 else matrix[None]


def _untransformed(law: Any) -> tuple[Any, list[Any]]:
    """Return the base of a law of vectors, and what transforms it."""
    if isinstance(law, Independent):
        base, transforms = _untransformed(law.base_dist)
        return (
            (Independent(base, law.reinterpreted_batch_ndims), transforms)
            if transforms
            else (
                law,
                [],
            )
        )
    if isinstance(law, torch.distributions.TransformedDistribution):
        base, transforms = _untransformed(law.base_dist)
        if _is_real(base.support):  # else states would leave what the transform is for
            return base, [*transforms, *law.transforms]
    return law, []


def _is_real(support: Any) -> bool:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real or support is constraints.real_vector
