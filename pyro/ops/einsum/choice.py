"""The backward pass of the backends that choose values for what they sum out."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from pyro.ops.einsum.adjoint import (
    Backward,
    Message,
    einsum_backward_sample,
    lettered,
    look_up,
    unflatten,
)
from pyro.ops.einsum.layout import layout_of, shape_of
from pyro.ops.packed import aligned, dims_of


class Choice(Backward):
    """One step of a contraction, which chooses the variables that it summed out.

    :param equation: the step.
    :param operands: logarithms of its factors.
    :param choose: a function of unnormalised log probabilities, which returns a position along
        their last dim.
    """

    def __init__(
        self, equation: str, operands: Sequence[Tensor], choose: Callable[[Tensor], Tensor]
    ) -> None:
        self.layout = layout_of(equation)
        self.operands = operands
        self.choose = choose

    def process(self, message: Message) -> Iterable[tuple[Backward, Message]]:
        """Choose given what was chosen before.

        :param message: the assignment of what the step kept, or None.
        """
        operands = [
            lettered(operand, dims)
            for operand, dims in zip(self.operands, self.layout.inputs, strict=True)
        ]
        chosen = None
        if self.layout.summed:
            chosen = self._chosen([look_up(operand, message) for operand in operands])
        return einsum_backward_sample(operands, message, chosen)

    def _chosen(self, factors: Sequence[Tensor]) -> Tensor:
        summed = "".join(self.layout.order[dim] for dim in self.layout.summed)
        letters = dict.fromkeys("".join(map(dims_of, factors)))
        batch = "".join(letter for letter in letters if letter not in summed)
        logits = aligned(factors[0], batch + summed)
        for factor in factors[1:]:
            logits = logits + aligned(factor, batch + summed)
        sizes = shape_of(logits)[len(batch) :]
        position = self.choose(logits.detach().reshape(*logits.shape[: len(batch)], -1))
        return unflatten(position, batch, summed, sizes)
