"""The cut points on a line that give categories their probabilities."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions.transforms import Transform
from torch.nn.functional import logsigmoid, pad

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import without_memory

__all__ = ["SimplexToOrderedTransform"]


class SimplexToOrderedTransform(Transform):
    r"""Map probabilities of categories to cut points: :math:`y_k = a + \log C_k - \log(1 - C_k)`.

    :math:`C_k = x_0 + \dots + x_k`. A logistic variable around the anchor :math:`a` falls between
    the cut points with the probabilities :math:`x`. So a Dirichlet law becomes a prior of the cut
    points of an ordinal regression, such as :class:`~pyro.distributions.OrderedLogistic`.

    :param anchor_point: :math:`a`, of the batch's shape; zero if None.

    >>> SimplexToOrderedTransform()(torch.tensor([0.25, 0.5, 0.25]))
    tensor([-1.0986,  1.0986])

    Source: Betancourt 2019, *Ordinal Regression*, section 2.2,
    https://betanalpha.github.io/assets/case_studies/ordinal_regression.html.
    """

    domain = constraints.simplex
    codomain = constraints.ordered_vector
    bijective = True

    def __init__(self, anchor_point: Any = None) -> None:
        super().__init__()
        self.anchor_point = torch.as_tensor(0.0 if anchor_point is None else anchor_point)

    def __getstate__(self) -> dict[str, Any]:
        return without_memory(self.__dict__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SimplexToOrderedTransform):
            return False
        return torch.equal(self.anchor_point, other.anchor_point)

    def with_cache(self, cache_size: int = 1) -> "SimplexToOrderedTransform":
        """Return the same map with another cache.

        :param cache_size: 1 to remember the latest pair of value and image, or 0.
        """
        if cache_size == self._cache_size:
            return self
        twin = SimplexToOrderedTransform(self.anchor_point)
        Transform.__init__(twin, cache_size=cache_size)
        return twin

    def _call(self, x: Tensor) -> Tensor:
        below, above = x[..., :-1].cumsum(-1), x[..., 1:].flip(-1).cumsum(-1).flip(-1)
        return (below / above).log() + self.anchor_point.unsqueeze(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        cuts = y - self.anchor_point.unsqueeze(-1)
        low, high = pad(cuts, (1, 0), value=-torch.inf), pad(cuts, (0, 1), value=torch.inf)
        # The difference of the logistic function at the two, without cancellation.
        return high.sigmoid() * (-low).sigmoid() * -torch.expm1(low - high)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`-\sum_k \log C_k (1 - C_k)`, over all entries of ``x`` but the last.

        :param x: probabilities.
        :param y: cut points.
        """
        logits = y - self.anchor_point.unsqueeze(-1)
        return (logits - 2 * logsigmoid(logits)).sum(-1)

    def forward_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the cut points, one fewer than there are categories.

        :param shape: the shape of the probabilities.
        """
        return self._batched(shape, -1)

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Return the shape of the probabilities, one more than there are cut points.

        :param shape: the shape of the cut points.
        """
        return self._batched(shape, 1)

    def _batched(self, shape: Any, change: int) -> torch.Size:
        batch = torch.broadcast_shapes(shape[:-1], self.anchor_point.shape)
        return torch.Size([*batch, shape[-1] + change])
