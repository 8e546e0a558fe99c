"""The law of permutations, as matchings of sources and destinations one to one."""

from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.matching import Matching, MatchingConstraint
from pyro.ops.assignments import best


class OneOneMatchingConstraint(MatchingConstraint):
    """Vectors that hold each of the numbers from 0 up to their size once.

    :param num_nodes: how many sources, and as many destinations, there are.

    >>> import torch
    >>> OneOneMatchingConstraint(3).check(torch.tensor([[2, 0, 1], [2, 0, 2]]))
    tensor([ True, False])
    """

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        super().__init__(num_nodes, capacity=1)


class OneOneMatching(Matching):
    r"""Law of permutations :math:`x` with density :math:`\exp(\sum_s \ell_{s,x_s})/Z`.

    A value gives each source its destination. The normaliser :math:`Z` is a permanent: the law sums
    up to 20 sources exactly, and any number approximately with ``bp_iters``. Draws are exact.

    :param logits: the scores :math:`\ell` of pairs, of shape ``(..., num_nodes, num_nodes)``, a
        row for each source.
    :param bp_iters: how many rounds of belief propagation shall approximate :math:`Z`; None sums
        exactly.
    :param validate_args: whether to check parameters and values.
    :raises ValueError: where ``logits`` is not square.

    >>> import torch
    >>> law = OneOneMatching(torch.zeros(3, 3))
    >>> law.log_prob(law.sample()).exp()
    tensor(0.1667)

    Sources: :func:`pyro.ops.assignments.log_sum`, :func:`pyro.ops.assignments.bethe_log_sum`.
    """

    capacity = 1

    @property
    def support(self) -> constraints.Constraint:
        """All permutations."""
        return OneOneMatchingConstraint(self._event_shape[0])


def maximum_weight_matching(logits: Tensor) -> Tensor:
    """Return the destination of each source in a one-to-one matching of largest weight.

    :param logits: the scores of pairs, of shape ``(..., num_nodes, num_nodes)``.

    >>> import torch
    >>> maximum_weight_matching(torch.tensor([[1.0, 3.0], [0.0, 1.0]]))
    tensor([1, 0])
    """
    return best(logits, 1)
