"""Flows by one network whose weights are masked in blocks, so that it is increasing."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions.transforms import SigmoidTransform, TanhTransform, Transform
from torch.nn.functional import linear, logsigmoid

import pyro.distributions.constraints as constraints
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.basic import ELUTransform, LeakyReLUTransform
from pyro.ops.monotone import solve_in_order, solve_increasing

__all__ = ["BlockAutoregressive", "MaskedBlockLinear", "block_autoregressive", "log_matrix_product"]

_ACTIVATIONS: dict[str, type[Transform]] = {
    "tanh": TanhTransform,
    "sigmoid": SigmoidTransform,
    "ELU": ELUTransform,
    "LeakyReLU": LeakyReLUTransform,
}


def log_matrix_product(A: Tensor, B: Tensor) -> Tensor:
    r"""Return the logarithm of a product of matrices, by their logarithms: :math:`\log(e^A e^B)`.

    :param A: logarithms of the entries of a matrix ``(…, M, K)``, not of the matrix.
    :param B: of another, ``(…, K, N)``.

    >>> log_matrix_product(torch.zeros(1, 2), torch.zeros(2, 1)).exp()
    tensor([[2.]])
    """
    return (A.unsqueeze(-1) + B.unsqueeze(-3)).logsumexp(-2)


class MaskedBlockLinear(nn.Module):
    r"""An affine layer on groups of units, one group for each entry of a vector.

    A group sees its own group below, with positive weights, and those before it. Rows of weights
    are :math:`e^{d} v / |v|` with learnable :math:`d` and :math:`v`.

    :param in_features: the number of inputs, in equal groups.
    :param out_features: the number of outputs, in equal groups.
    :param dim: the number of groups.
    :param bias: whether to add a learnable constant.
    :raises ValueError: where the groups would not be equal.

    >>> layer = MaskedBlockLinear(2, 4, dim=2, bias=False)
    >>> outputs, log_blocks = layer(torch.ones(5, 2, 1))
    >>> outputs.shape, log_blocks.shape
    (torch.Size([5, 4]), torch.Size([2, 2, 1]))
    """

    bias: nn.Parameter | None
    mask_d: Tensor
    mask_o: Tensor

    def __init__(self, in_features: int, out_features: int, dim: int, bias: bool = True) -> None:
        super().__init__()
        if in_features % dim or out_features % dim:
            raise ValueError(
                f"MaskedBlockLinear: {in_features} inputs and {out_features} outputs do not make "
                f"{dim} equal groups."
            )
        self.in_features, self.out_features, self.dim = in_features, out_features, dim
        rows = torch.arange(dim).repeat_interleave(out_features // dim).unsqueeze(-1)
        columns = torch.arange(dim).repeat_interleave(in_features // dim)
        # Xavier's bound, for the inputs that a row sees and the outputs of its group.
        seen = (1.0 + rows) * (in_features // dim)
        bounds = (6 / (seen + out_features // dim)).sqrt()
        self._weight = nn.Parameter((2 * torch.rand(out_features, in_features) - 1) * bounds)
        self._diag_weight = nn.Parameter(torch.rand(out_features, 1).log())
        if bias:
            bound = 1 / math.sqrt(out_features)
            self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))
        else:
            self.register_parameter("bias", None)
        dtype = self._weight.dtype
        self.register_buffer("mask_d", (rows == columns).to(dtype))
        self.register_buffer("mask_o", (rows > columns).to(dtype))

    def get_weights(self) -> tuple[Tensor, Tensor]:
        """Return the weights, and the logarithms of those within groups.

        :returns: ``(out_features, in_features)``, and ``(dim, out_features // dim,
            in_features // dim)``.
        """
        directions = torch.where(self.mask_d > 0, self._weight.exp(), self._weight * self.mask_o)
        lengths = torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
        blocks = (self.dim, self.out_features // self.dim, self.dim, self.in_features // self.dim)
        within = self._weight.view(blocks).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        log_scales = self._diag_weight - lengths.log()
        return log_scales.exp() * directions, within + log_scales.view(*blocks[:2], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the layer.

        :param x: inputs as columns, ``(…, in_features, 1)``.
        :returns: outputs, ``(…, out_features)``, and the logarithms of the weights within groups.
        """
        weights, log_blocks = self.get_weights()
        return linear(x.squeeze(-1), weights, self.bias), log_blocks


class BlockAutoregressive(TransformModule):
    r"""A network whose output :math:`y_i` depends on :math:`x_{\le i}`, increasing in :math:`x_i`.

    Each entry has a group of hidden units in each layer, which sees those of the entries before
    it, and of the entry itself with positive weights. The determinant is the product of slopes
    along these. The inverse solves for one entry after the other, with several passes of the
    network for each, to rounding.

    :param input_dim: the size of the vector.
    :param hidden_factors: how many units a group has, from the first hidden layer on.
    :param activation: what each hidden layer applies: ``"tanh"``, ``"sigmoid"``, ``"ELU"`` or
        ``"LeakyReLU"``.
    :param residual: what to do with the network's output :math:`f(x)`: None for that alone,
        ``"normal"`` for :math:`x + f(x)`, ``"gated"`` for :math:`g x + (1 - g) f(x)` with a
        learnable :math:`g` between 0 and 1. Without it the images of ``"tanh"``, ``"sigmoid"`` and
        ``"ELU"`` do not fill the space, and others have no inverse.
    :raises ValueError: where ``activation`` or ``residual`` is another, or no layer is hidden.

    >>> flow, x = block_autoregressive(3, residual="normal"), torch.randn(5, 3)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-4))
    True

    Source: De Cao, Titov and Aziz 2019, *Block Neural Autoregressive Flow*, arXiv:1904.04676.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True
    autoregressive = True

    def __init__(
        self,
        input_dim: int,
        hidden_factors: Sequence[int] = [8, 8],
        activation: str = "tanh",
        residual: str | None = None,
    ) -> None:
        super().__init__(cache_size=1)
        _check_options(hidden_factors, activation, residual)
        self.input_dim = input_dim
        self.residual = residual
        self.T = _ACTIVATIONS[activation]()
        sizes = [input_dim * factor for factor in (1, *hidden_factors, 1)]
        self.layers = nn.ModuleList(
            MaskedBlockLinear(below, above, input_dim)
            for below, above in zip(sizes, sizes[1:], strict=False)
        )
        if residual == "gated":
            self.gate = nn.Parameter(torch.randn(1))

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image, and the logarithms of the diagonal of the Jacobian."""
        first, *others = self.layers
        hidden, log_blocks = first(x.unsqueeze(-1))
        log_slopes = log_blocks
        for layer in others:
            active = self.T(hidden)
            slopes = self.T.log_abs_det_jacobian(hidden, active)
            log_slopes = log_slopes + slopes.unflatten(-1, (self.input_dim, -1, 1))
            hidden, log_blocks = layer(active.unsqueeze(-1))
            log_slopes = log_matrix_product(log_blocks, log_slopes)
        return self._with_residual(x, hidden, log_slopes.squeeze(-1).squeeze(-1))

    def _with_residual(self, x: Tensor, y: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
        if self.residual == "normal":
            return x + y, log_slope.logaddexp(torch.zeros_like(log_slope))
        if self.residual == "gated":
            share = self.gate.sigmoid()
            log_shares = logsigmoid(self.gate), logsigmoid(-self.gate) + log_slope
            return share * x + (1 - share) * y, torch.logaddexp(*log_shares)
        return y, log_slope

    def _call(self, x: Tensor) -> Tensor:
        y, log_slope = self._evaluate(x)
        self._keep(x, log_slope)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        def entry(i: int, before: Tensor) -> tuple[Tensor, Tensor]:
            def at(value: Tensor) -> tuple[Tensor, Tensor]:
                x = torch.cat([before[..., :i], value.unsqueeze(-1), before[..., i + 1 :]], -1)
                image, log_slope = (term[..., i] for term in self._evaluate(x))
                return image, log_slope.exp()

            try:
                x = solve_increasing(at, y[..., i], torch.zeros_like(y[..., i]))
            except ValueError as error:
                raise ValueError(
                    f"BlockAutoregressive: entry {i} of a value lies outside of what the map "
                    "reaches, so it has no inverse there. With residual='normal' it reaches all."
                ) from error
            return x, at(x)[1]

        x, slope = solve_in_order(range(self.input_dim), y, entry)
        self._keep(x, slope.log())
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: a vector.
        :param y: its image.
        """
        log_slope = self._kept_at(x)
        if log_slope is None:
            _, log_slope = self._evaluate(x)
        total: Tensor = log_slope.sum(-1)
        return total


def _check_options(hidden_factors: Sequence[int], activation: str, residual: str | None) -> None:
    if not hidden_factors or any(factor < 1 for factor in hidden_factors):
        raise ValueError(
            "BlockAutoregressive: 'hidden_factors' gives the size of a group in each hidden layer, "
            f"of which there is one at least; it is {list(hidden_factors)}."
        )
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"BlockAutoregressive: 'activation' is one of {', '.join(_ACTIVATIONS)}, not "
            f"{activation!r}."
        )
    if residual not in (None, "normal", "gated"):
        raise ValueError(
            f"BlockAutoregressive: 'residual' is None, 'normal' or 'gated', not {residual!r}."
        )


def block_autoregressive(input_dim: int, **kwargs: Any) -> BlockAutoregressive:
    """Make a :class:`BlockAutoregressive`.

    :param input_dim: the size of the vector.
    :param kwargs: options of :class:`BlockAutoregressive`.

    >>> len(block_autoregressive(3, hidden_factors=[4]).layers)
    2
    """
    return BlockAutoregressive(input_dim, **kwargs)
