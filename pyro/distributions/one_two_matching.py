"""The law of matchings of sources and destinations, two sources to each destination."""

from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.matching import Matching, MatchingConstraint
from pyro.ops.assignments import best, enumerate_all


class OneTwoMatchingConstraint(MatchingConstraint):
    """Vectors that hold each of the numbers from 0 up to half of their size twice.

    :param num_destins: how many destinations there are.

    >>> import torch
    >>> OneTwoMatchingConstraint(2).check(torch.tensor([[1, 0, 1, 0], [1, 0, 1, 1]]))
    tensor([ True, False])
    """

    def __init__(self, num_destins: int) -> None:
        super().__init__(num_destins, capacity=2)


class OneTwoMatching(Matching):
    r"""Law of matchings :math:`x` with density :math:`\exp(\sum_s \ell_{s,x_s})/Z`.

    A value gives each source its destination, and each destination two sources. The law sums up to
    24 sources exactly, and any number approximately with ``bp_iters``. Draws are exact.

    :param logits: the scores :math:`\ell` of pairs, of shape ``(..., 2 * num_destins,
        num_destins)``, a row for each source.
    :param bp_iters: how many rounds of belief propagation shall approximate :math:`Z`; None sums
        exactly.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where there are not twice as many sources as destinations.

    >>> import torch
    >>> law = OneTwoMatching(torch.zeros(4, 2))
    >>> law.log_prob(law.sample()).exp()
    tensor(0.1667)

    Sources: :func:`pyro.ops.assignments.log_sum`, :func:`pyro.ops.assignments.bethe_log_sum`.
    """

    capacity = 2

    @property
    def support(self) -> constraints.Constraint:
        """All matchings of two sources with each destination."""
        return OneTwoMatchingConstraint(self._event_shape[0] // 2)


def enumerate_one_two_matchings(num_destins: int) -> Tensor:
    """List all matchings of two sources with each destination.

    :param num_destins: how many destinations there are.

    >>> enumerate_one_two_matchings(2).shape
    torch.Size([6, 4])
    """
    return enumerate_all(num_destins, 2)


def maximum_weight_matching(logits: Tensor) -> Tensor:
    """Return the destination of each source in a one-to-two matching of largest weight.

    :param logits: the scores of pairs, of shape ``(..., 2 * num_destins, num_destins)``.

    >>> import torch
    >>> maximum_weight_matching(torch.tensor([[3.0, 3.0], [0.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    tensor([0, 1, 0, 1])
    """
    return best(logits, 2)
