"""Flows that shift and scale one part of an event by what the other part says."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import pyro.distributions.constraints as constraints
from pyro.distributions.conditional_transforms import ConditionalTransformModule
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms.conditioned import AtContext
from pyro.ops.clamping import clamp_preserve_gradients
from pyro.ops.networks import ConditionalDenseNN, DenseNN

__all__ = [
    "AffineCoupling",
    "ConditionalAffineCoupling",
    "affine_coupling",
    "conditional_affine_coupling",
]


class AffineCoupling(TransformModule):
    r"""A coupling: :math:`y_1 = x_1` and :math:`y_2 = \mu(x_1) + \sigma(x_1)\, x_2`.

    The inverse takes one pass of the network, as the map itself does. Permute between couplings, so
    that each entry is changed in one of them.

    :param split_dim: the size of :math:`x_1` along ``dim``.
    :param hypernet: the network. It takes :math:`x_1` with its event flat, and returns
        :math:`\mu` and :math:`\log\sigma`, flat too, as
        :class:`~pyro.ops.networks.DenseNN` does.
    :param dim: the dimension that is split, negative; it and those right of it make one event.
    :param log_scale_min_clip: the least :math:`\log\sigma`.
    :param log_scale_max_clip: the greatest.
    :raises ValueError: where ``dim`` is not negative.

    >>> flow = affine_coupling(4)
    >>> x = torch.randn(5, 4)
    >>> bool(torch.allclose(flow.inv(flow(x).clone()), x, atol=1e-5))
    True

    Sources: Dinh, Krueger and Bengio 2015, *NICE: Non-linear Independent Components Estimation*,
    arXiv:1410.8516; Dinh, Sohl-Dickstein and Bengio 2017, *Density Estimation using Real NVP*,
    arXiv:1605.08803.
    """

    bijective = True

    def __init__(
        self,
        split_dim: int,
        hypernet: Callable[[Tensor], tuple[Tensor, Tensor]],
        *,
        dim: int = -1,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
    ) -> None:
        super().__init__(cache_size=1)
        if dim >= 0:
            raise ValueError(f"AffineCoupling: 'dim' counts from the right, below 0; it is {dim}.")
        self.split_dim = split_dim
        self.nn = hypernet
        self.dim = dim
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        """All real tensors of the event's rank."""
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        """All real tensors of the event's rank."""
        return constraints.independent(constraints.real, -self.dim)

    def _split(self, value: Tensor) -> tuple[Tensor, Tensor]:
        size = value.size(self.dim)
        if not 0 < self.split_dim < size:
            raise ValueError(
                f"AffineCoupling: the first {self.split_dim} of {size} entries along dimension "
                f"{self.dim} decide about the rest, and neither part is empty. Choose 'split_dim' "
                f"between 1 and {size - 1}."
            )
        first, second = value.split([self.split_dim, size - self.split_dim], self.dim)
        return first, second

    def _shift_and_log_scale(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        event_shape = second.shape[self.dim :]
        shift, raw = (term.unflatten(-1, event_shape) for term in self.nn(first.flatten(self.dim)))
        bounds = self.log_scale_min_clip, self.log_scale_max_clip
        return shift, clamp_preserve_gradients(raw, *bounds)

    def _call(self, x: Tensor) -> Tensor:
        first, second = self._split(x)
        shift, log_scale = self._shift_and_log_scale(first, second)
        self._keep(x, log_scale)
        return _joined(first, torch.addcmul(shift, log_scale.exp(), second), self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        first, second = self._split(y)
        shift, log_scale = self._shift_and_log_scale(first, second)
        x = _joined(first, (second - shift) * (-log_scale).exp(), self.dim)
        self._keep(x, log_scale)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the logarithm of the volume's change; the Jacobian is triangular.

        :param x: an event.
        :param y: its image.
        """
        log_scale = self._kept_at(x)
        if log_scale is None:
            _, log_scale = self._shift_and_log_scale(*self._split(x))
        total: Tensor = log_scale.flatten(self.dim).sum(-1)
        return total


def _joined(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Concatenate both parts; a context may have given the second a larger batch."""
    if second.shape[:dim] != first.shape[:dim]:
        first = first.expand(*second.shape[:dim], *first.shape[dim:])
    return torch.cat([first, second], dim)


class ConditionalAffineCoupling(ConditionalTransformModule):
    r"""A coupling that depends on a context: :math:`y_2 = \mu(x_1, c) + \sigma(x_1, c)\, x_2`.

    :param split_dim: the size of :math:`x_1`.
    :param hypernet: the network, which takes :math:`x_1` and a context, as
        :class:`~pyro.ops.networks.ConditionalDenseNN` does.
    :param kwargs: options of :class:`AffineCoupling`.

    >>> flow = conditional_affine_coupling(4, context_dim=2)
    >>> flow.condition(torch.ones(5, 2))(torch.zeros(5, 4)).shape
    torch.Size([5, 4])
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self, split_dim: int, hypernet: Callable[[Tensor, Tensor], Any], **kwargs: Any
    ) -> None:
        super().__init__()
        self.split_dim = split_dim
        self.nn = hypernet
        self.kwargs = kwargs

    def condition(self, context: Any) -> AffineCoupling:
        """Return the coupling at a context; it has the same network.

        :param context: what the network takes besides the first part.
        """
        return AffineCoupling(self.split_dim, AtContext(self.nn, context), **self.kwargs)


def affine_coupling(
    input_dim: int | Sequence[int],
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> AffineCoupling:
    """Make an :class:`AffineCoupling` with a dense network.

    :param input_dim: the size of the dimension; for ``dim=-2`` or lower the shape of the event.
    :param hidden_dims: the sizes of the network's hidden layers; one of ten times the event's size
        if None.
    :param split_dim: how many entries along the dimension decide about the rest; half if None.
    :param dim: the dimension that is split, negative.
    :param kwargs: options of :class:`AffineCoupling`.
    :raises ValueError: where the event's rank is not that of ``dim``.

    >>> affine_coupling(5).split_dim
    2
    """
    split, sizes, first, second = _plan(input_dim, hidden_dims, split_dim, dim)
    network = DenseNN(first, sizes, [second, second])
    return AffineCoupling(split, network, dim=dim, **kwargs)


def conditional_affine_coupling(
    input_dim: int | Sequence[int],
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> ConditionalAffineCoupling:
    """Make a :class:`ConditionalAffineCoupling` with a dense network.

    :param input_dim: the size of the dimension; for ``dim=-2`` or lower the shape of the event.
    :param context_dim: the size of the context.
    :param hidden_dims: the sizes of the network's hidden layers; one of ten times the event's size
        if None.
    :param split_dim: how many entries along the dimension decide about the rest; half if None.
    :param dim: the dimension that is split, negative.
    :param kwargs: options of :class:`AffineCoupling`.
    :raises ValueError: where the event's rank is not that of ``dim``.

    >>> conditional_affine_coupling(4, 2).nn.hidden_dims
    [40]
    """
    split, sizes, first, second = _plan(input_dim, hidden_dims, split_dim, dim)
    network = ConditionalDenseNN(first, context_dim, sizes, [second, second])
    return ConditionalAffineCoupling(split, network, dim=dim, **kwargs)


def _plan(
    input_dim: int | Sequence[int],
    hidden_dims: Sequence[int] | None,
    split_dim: int | None,
    dim: int,
) -> tuple[int, Sequence[int], int, int]:
    """Return where to split, the hidden layers' sizes, and the sizes of both parts."""
    shape = [input_dim] if isinstance(input_dim, int) else list(input_dim)
    if dim >= 0 or len(shape) != -dim:
        raise ValueError(
            f"A coupling's 'input_dim' gives the sizes of dimensions 'dim' to -1, with 'dim' below "
            f"0; got {input_dim!r} and {dim}."
        )
    split = shape[0] // 2 if split_dim is None else split_dim
    if not 0 < split < shape[0]:
        raise ValueError(
            f"A coupling splits {shape[0]} entries in two parts, neither of them empty; the first "
            f"would have {split}. Give another 'split_dim'."
        )
    rest = math.prod(shape[1:])
    sizes = [10 * math.prod(shape)] if hidden_dims is None else hidden_dims
    return split, sizes, split * rest, (shape[0] - split) * rest
