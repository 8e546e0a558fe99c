"""Normal laws of log odds of proportions."""

from typing import Any

import torch
from torch.distributions import StickBreakingTransform

from pyro.distributions.independent import Independent
from pyro.distributions.law import TorchLaw
from pyro.distributions.normal import Normal
from pyro.distributions.parameters import Real
from pyro.distributions.torch_mixin import Shape, TorchDistributionMixin
from pyro.ops.shapes import broadcast_shape


class LogisticNormal(TorchLaw, torch.distributions.LogisticNormal, TorchDistributionMixin):
    r"""Law of proportions got from a normal vector by stick breaking.

    With :math:`y_i` normal and :math:`s_i=\sigma(y_i-\log(n-i))`, for :math:`n` proportions, it is
    that of :math:`x_i=s_i\prod_{j<i}(1-s_j)`; the last proportion is what is left. Aitchison and
    Shen (1980), doi:10.1093/biomet/67.2.261.

    :param loc: the means of the vector, one less than there are proportions.
    :param scale: its standard deviations, positive.
    :param validate_args: whether to check parameters and values.

    >>> LogisticNormal(torch.zeros(2), torch.ones(2))().shape
    torch.Size([3])
    """

    def __init__(self, loc: Real, scale: Real, validate_args: bool | None = None) -> None:
        normal = Normal(loc, scale, validate_args=False)
        normal = normal if normal.batch_shape else normal.expand([1])
        self.base_dist = Independent(normal, 1)
        self.transforms = [StickBreakingTransform()]
        self._batch_shape = self.base_dist._batch_shape
        self._event_shape = torch.Size((self.base_dist._event_shape[0] + 1,))
        self._check_parameters(validate_args)

    def _parameter_values(self) -> dict[str, Any]:
        base: Any = self.base_dist
        values: dict[str, Any] = base.base_dist._raw
        return values

    @staticmethod
    def infer_shapes(loc: Shape = (), scale: Shape = ()) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Return the batch and event shape from those of the parameters.

        :param loc: the shape of the means.
        :param scale: the shape of the standard deviations.
        """
        shape = broadcast_shape(loc, scale) or (1,)
        return torch.Size(shape[:-1]), torch.Size((shape[-1] + 1,))
