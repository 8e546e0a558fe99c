"""Flows that add a bounded vector, computed in the coordinates of a rotation."""

from typing import Any

import torch
from torch import Tensor, nn

import pyro.distributions.constraints as constraints
from pyro.distributions.transforms.householder import Householder, count_or_half, reflect
from pyro.ops.monotone import solve_in_order, solve_plus_tanh

__all__ = ["Sylvester", "sylvester"]

_MATRICES = "R_dense", "S_dense"
_VECTORS = "R_diag", "S_diag", "b"


class Sylvester(Householder):
    r"""A Sylvester flow: :math:`y = x + Q R \tanh(S Q^\top x + b)`.

    :math:`Q` is a product of reflections, :math:`R` and :math:`S` are upper triangular, with
    diagonals between -1 and 1, so that :math:`1 + R_{ii} S_{ii} \tanh' > 0`. In the coordinates
    :math:`Q^\top x` the Jacobian is triangular; the inverse solves for them from the last to the
    first.

    :param input_dim: the size of the vector.
    :param count_transforms: how many reflections make :math:`Q`.
    :raises ValueError: where there are none.

    >>> flow, x = Sylvester(3, count_transforms=2), torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-5))
    True

    Source: van den Berg, Hasenclever, Tomczak and Welling 2018, *Sylvester Normalizing Flows for
    Variational Inference*, arXiv:1803.05649.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    volume_preserving = False

    R_dense: nn.Parameter
    S_dense: nn.Parameter
    R_diag: nn.Parameter
    S_diag: nn.Parameter
    b: nn.Parameter
    triangular_mask: Tensor

    def __init__(self, input_dim: int, count_transforms: int = 1) -> None:
        super().__init__(input_dim, count_transforms)
        for name in _MATRICES:
            self.register_parameter(name, nn.Parameter(torch.empty(input_dim, input_dim)))
        for name in _VECTORS:
            self.register_parameter(name, nn.Parameter(torch.empty(input_dim)))
        self.register_buffer("triangular_mask", torch.ones(input_dim, input_dim).triu(1))
        self.reset_parameters2()

    def dtanh_dx(self, x: Tensor) -> Tensor:
        r"""Return the slope of the hyperbolic tangent, :math:`1 - \tanh^2`.

        :param x: where.
        """
        return 1 - x.tanh().square()

    def R(self) -> Tensor:
        """Return the upper triangular matrix outside of the hyperbolic tangent."""
        return self.R_dense * self.triangular_mask + self.R_diag.tanh().diag()

    def S(self) -> Tensor:
        """Return the upper triangular matrix inside the hyperbolic tangent."""
        return self.S_dense * self.triangular_mask + self.S_diag.tanh().diag()

    def Q(self, x: Tensor) -> Tensor:
        """Return the orthogonal matrix.

        :param x: a tensor of the dtype and on the device that it shall have.
        """
        identity = torch.eye(self.input_dim, dtype=x.dtype, device=x.device)
        # Row i is H_K … H_1 e_i; the rows together are H_1 … H_K.
        return reflect(self.u(), identity)

    def reset_parameters2(self) -> None:
        """Draw the parameters but the reflections anew, so small that the map is nearly none."""
        for name in (*_MATRICES, *_VECTORS):
            nn.init.uniform_(self.get_parameter(name), -0.01, 0.01)

    def _call(self, x: Tensor) -> Tensor:
        rotation = self.Q(x)
        level = (x @ rotation @ self.S().mT + self.b).tanh()
        self._keep(x, level)
        return x + level @ self.R().mT @ rotation.mT

    def _inverse(self, y: Tensor) -> Tensor:
        rotation, outer, inner = self.Q(y), self.R(), self.S()
        image = y @ rotation
        levels: list[Tensor] = []

        def entry(i: int, rotated: Tensor) -> tuple[Tensor, Tensor]:
            later = torch.stack(levels[::-1], -1) if levels else rotated[..., :0]
            target = image[..., i] - later @ outer[i, i + 1 :]
            height = inner[i, i] * target + rotated[..., i + 1 :] @ inner[i, i + 1 :] + self.b[i]
            levels.append(solve_plus_tanh(outer[i, i] * inner[i, i], height).tanh())
            return target - outer[i, i] * levels[-1], levels[-1]

        rotated, level = solve_in_order(range(self.input_dim - 1, -1, -1), image, entry)
        x = rotated @ rotation.mT
        self._keep(x, level)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\sum_i \log(1 + R_{ii} S_{ii} \tanh'(\cdot)_i)`.

        :param x: a vector.
        :param y: its image.
        """
        level: Any = self._kept_at(x)
        if level is None:
            level = (x @ self.Q(x) @ self.S().mT + self.b).tanh()
        products = self.R_diag.tanh() * self.S_diag.tanh()
        log_det: Tensor = (products * (1 - level.square())).log1p().sum(-1)
        return log_det


def sylvester(input_dim: int, count_transforms: int | None = None) -> Sylvester:
    """Make a :class:`Sylvester`.

    :param input_dim: the size of the vector.
    :param count_transforms: how many reflections; ``input_dim // 2 + 1`` if None.

    >>> sylvester(4).u_unnormed.shape
    torch.Size([3, 4])
    """
    return Sylvester(input_dim, count_or_half(input_dim, count_transforms))
