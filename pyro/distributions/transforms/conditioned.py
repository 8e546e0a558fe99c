"""What transforms share whose parameters are given, or computed from a context."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pyro.distributions.torch_transform import CachedTransform
from pyro.params.module_swap import tensors_in_use


class AtContext(nn.Module):
    """A conditional network at a context: a function of what else it takes.

    :param net: the network; it takes the context last.
    :param context: the context.
    :param shaped: what to make of the network's outputs; nothing if None.

    >>> import torch
    >>> AtContext(torch.atan2, torch.tensor(1.0))(torch.tensor(0.0))
    tensor(0.)
    """

    def __init__(self, net: Any, context: Any, shaped: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.net = net
        self.context: Any
        if isinstance(context, Tensor):
            self.register_buffer("context", context, persistent=False)
        else:
            self.context = context
        self._shaped = shaped

    @property
    def permutation(self) -> Tensor:
        """The order of an autoregressive network."""
        order: Tensor = self.net.permutation
        return order

    def forward(self, *inputs: Any) -> Any:
        """Compute what the network gives at the context.

        :param inputs: what it takes before the context.
        """
        outputs = self.net(*inputs, self.context)
        return outputs if self._shaped is None else self._shaped(outputs)


def unflattened(outputs: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Give the last dimension of a network's outputs the shape that they are meant to have.

    :param outputs: the outputs.
    :param sizes: the shape.

    >>> import torch
    >>> unflattened(torch.zeros(5, 6), (2, 3)).shape
    torch.Size([5, 2, 3])
    """
    return outputs.reshape(*outputs.shape[:-1], *sizes)


class ConditionedTransform(CachedTransform):
    """Base of transforms that are given their parameters, or a function that computes them.

    A function is called whenever the parameters are needed, so that what it computes with may
    change. A subclass that is a module has parameters of its own, and is given none.

    :param params: a tensor, several, or a function that returns them.
    """

    def __init__(self, params: Any = None) -> None:
        super().__init__(cache_size=1)
        self._given = params

    def _parameters_now(self) -> Any:
        return self._given() if callable(self._given) else self._given

    def _tensors(self) -> list[Tensor]:
        source = self if isinstance(self, nn.Module) else self._given
        if isinstance(source, nn.Module):
            constants = [own for own in source._buffers.values() if own is not None]
            return tensors_in_use(source) + constants
        if isinstance(source, Tensor):
            return [source]
        return [] if callable(source) else [term for term in source if isinstance(term, Tensor)]
