"""Series of vectors that depend on hidden ones, where all factors are Gaussian."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro.distributions.hidden_markov import HiddenMarkovModel
from pyro.distributions.multivariate import MultivariateNormal
from pyro.distributions.torch_mixin import NO_SHAPE, Shape
from pyro.ops.affine_normal import AffineNormal
from pyro.ops.gaussian import sequential_gaussian_filter_sample, sequential_gaussian_tensordot
from pyro.ops.gaussian_form import Gaussian
from pyro.ops.matrices import matvecmul, precision_to_scale_tril

Factor = Gaussian | AffineNormal


class GaussianChain(HiddenMarkovModel):
    r"""Base class of laws whose density is the integral of a product of Gaussians, up to a number.

    .. math::

        p(x_1, \dots, x_T) \propto \int f_0(z_0)
            \prod_{t=1}^T f(z_{t-1}, z_t)\,g(z_t, x_t)\;dz_0\cdots dz_T

    :param init: the function :math:`f_0`.
    :param trans: the functions :math:`f`; time is the rightmost batch dimension, or left out.
    :param obs: the functions :math:`g`, likewise.
    :param duration: the number of steps, None where any will do.
    :param batch_shape: the batch shape, without time.
    :param validate_args: whether to check values.
    """

    arg_constraints = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True
    # Whether what comes later integrates to 1, whatever the states are.
    _is_causal = False

    def __init__(
        self,
        init: Gaussian,
        trans: Factor,
        obs: Factor,
        duration: int | None,
        batch_shape: Shape,
        validate_args: bool | None = None,
    ) -> None:
        self._init = init
        self._trans = trans
        self._obs = obs
        self.hidden_dim = init.dim()
        self.obs_dim = obs.dim() - self.hidden_dim
        super().__init__(duration, batch_shape, (duration or 1, self.obs_dim), validate_args)

    def _given(self, value: Tensor) -> Gaussian:
        """Return the chain of states, given a series."""
        if self._validate_args:
            self._validate_sample(value)
        return self._trans + self._obs.condition(value).event_pad(left=self.hidden_dim)

    def _free(self, steps: int) -> Gaussian:
        """Return the chain of states, with the series integrated out."""
        chain = self._trans.to_gaussian() if isinstance(self._trans, AffineNormal) else self._trans
        if not self._is_causal:
            seen = self._obs.marginalize(right=self.obs_dim)
            chain = chain + seen.event_pad(left=self.hidden_dim)
        return chain + chain.log_normalizer.new_zeros(steps)  # so that time is a dimension

    def _ends(self, chain: Gaussian) -> Gaussian:
        """Integrate out all states but the first and the last."""
        return self._init.event_pad(right=self.hidden_dim) + sequential_gaussian_tensordot(chain)

    def rsample(self, sample_shape: Shape = NO_SHAPE) -> Tensor:
        """Draw states, and then a series, differentiably.

        A draw is an affine function of standard normal numbers.

        :param sample_shape: the shape of independent draws.
        :raises ValueError: where there is no duration.
        """
        path = self._draw_states(self._free(self._steps()), self._batch_shape, sample_shape)
        return self._obs.left_condition(path).rsample()

    def _draw_states(self, chain: Gaussian, batch_shape: Shape, sample_shape: Shape) -> Tensor:
        init = self._init.expand(batch_shape)
        return sequential_gaussian_filter_sample(init, chain, sample_shape)[..., 1:, :]


def normal_law_of(gaussian: Gaussian) -> MultivariateNormal:
    """Return the law whose density is proportional to a function.

    :param gaussian: the function.

    >>> normal_law_of(Gaussian(torch.tensor(0.0), torch.ones(1), torch.eye(1))).mean
    tensor([1.0000])
    """
    scale_tril = precision_to_scale_tril(gaussian.precision)
    loc = matvecmul(scale_tril, matvecmul(scale_tril.mT, gaussian.info_vec))
    return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


def check_normal(law: str, **parts: Any) -> None:
    """Refuse laws that are not normal ones of vectors.

    :param law: the name of the law that they are parts of, for errors.
    :param parts: them, by the names of parameters.
    :raises TypeError: that names one which is not.
    """
    for name, part in parts.items():
        if not is_normal(part):
            raise TypeError(
                f"{law}: {name!r} must be a MultivariateNormal or a Normal(...).to_event(1), not "
                f"{part}."
            )


def is_normal(law: Any) -> bool:
    """Tell whether a law is a normal one of vectors, by its class.

    :param law: the law.

    >>> is_normal(MultivariateNormal(torch.zeros(1), torch.eye(1)))
    True
    """
    kinds = torch.distributions
    if isinstance(law, kinds.MultivariateNormal | kinds.LowRankMultivariateNormal):
        return True
    is_vector = isinstance(law, kinds.Independent) and law.reinterpreted_batch_ndims == 1
    return is_vector and isinstance(law.base_dist, kinds.Normal)
