"""What a gradient estimator needs to know of one site's log density."""

from typing import NamedTuple

import torch

from pyro.ops.masking import Mask, scale_and_mask


class ScoreParts(NamedTuple):
    """The three parts in which a guide site enters an estimate of the gradient of an ELBO.

    With a value ``z`` drawn from ``q``, a surrogate whose gradient estimates that of
    ``E_q[log p(z) - log q(z)]`` is ``log p - entropy_term + stop_gradient(log p - log q) *
    score_function``. Where ``z`` is a differentiable function of the parameters, the first two
    terms suffice and ``score_function`` is 0, unless the noise that it is a function of has a law
    with parameters itself: then ``score_function`` is the log density of that noise. Where ``z`` is
    no such function, ``score_function`` is ``log q``, and ``entropy_term`` may be 0, for the
    expectation of the gradient of ``log q`` vanishes.
    """

    log_prob: torch.Tensor
    score_function: torch.Tensor | float
    entropy_term: torch.Tensor | float

    def scale_and_mask(self, scale: torch.Tensor | float = 1.0, mask: Mask = None) -> "ScoreParts":
        """Scale and mask the log densities.

        The score function stays as it is: whatever enters the objective, the value was drawn from
        the whole density, once; scale and mask are already in the reward that multiplies it.

        :param scale: a factor, such as the inverse of the share of the data that was drawn.
        :param mask: a boolean tensor, a boolean or None.

        >>> ScoreParts(torch.tensor(1.0), 0.0, torch.tensor(1.0)).scale_and_mask(2.0)
        ScoreParts(log_prob=tensor(2.), score_function=0.0, entropy_term=tensor(2.))
        """
        return ScoreParts(
            scale_and_mask(self.log_prob, scale, mask),
            self.score_function,
            scale_and_mask(self.entropy_term, scale, mask),
        )
