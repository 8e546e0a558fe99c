"""Which costs each random choice must answer for, by the independence that plates declare.

A draw in one element of a plate cannot influence what happens in another element, so the costs
there only add variance to its score-function gradient. Leaving them out is the Rao-Blackwellisation
of Ranganath, Gerrish and Blei 2014, *Black Box Variational Inference*, AISTATS (arXiv:1401.0118),
with plates for the Markov blankets.
"""

from collections.abc import Iterable
from typing import Any

import torch

from pyro.poutine.indep_messenger import CondIndepStackFrame

Stack = Iterable[CondIndepStackFrame]
Frames = frozenset[CondIndepStackFrame]


class MultiFrameTensor(dict[Frames, torch.Tensor]):
    """Tensors that live in different plates, added up as far as they can be.

    :param items: pairs of plates (the ``cond_indep_stack`` of a site) and a tensor whose batch
        dimensions are those of the vectorised ones among them.

    >>> data = CondIndepStackFrame("data", dim=-1, size=3, counter=0)
    >>> costs = MultiFrameTensor(((data,), torch.ones(3)), ((), torch.tensor(10.0)))
    >>> costs.sum_to((data,)), costs.sum_to(())
    (tensor([11., 11., 11.]), tensor(13.))
    """

    def __init__(self, *items: tuple[Stack, torch.Tensor]) -> None:
        super().__init__()
        self.add(*items)

    def add(self, *items: tuple[Stack, torch.Tensor]) -> None:
        """Add tensors in place.

        :param items: pairs of plates and a tensor.
        """
        for stack, value in items:
            frames = frozenset(stack)
            self[frames] = self[frames] + value if frames in self else value

    def sum_to(self, target_frames: Stack) -> torch.Tensor | float:
        """Return what one choice inside the given plates answers for, element by element.

        Plates that do not hold the choice are summed out. Another iteration of a sequential plate
        that does hold it is left out.

        :param target_frames: the plates around the choice.
        :returns: a tensor that broadcasts over the target's vectorised plates; 0.0 for no costs.
        """
        targets = tuple(target_frames)
        kept = {(frame.name, frame.dim) for frame in targets if frame.vectorized}
        iteration = {frame.name: frame.counter for frame in targets if not frame.vectorized}
        total: torch.Tensor | float = 0.0
        for frames, value in self.items():
            if all(iteration.get(f.name, f.counter) == f.counter for f in frames if f.dim is None):
                outside = [f.dim for f in frames if f.vectorized and (f.name, f.dim) not in kept]
                total = total + _sum_out(value, outside)
        return total

    def __repr__(self) -> str:
        parts = (f"{sorted(f.name for f in fs)}: {tuple(x.shape)}" for fs, x in self.items())
        return f"{type(self).__name__}({', '.join(parts)})"


def _sum_out(value: torch.Tensor, dims: list[Any]) -> torch.Tensor:
    present = [dim for dim in dims if -dim <= value.dim()]
    if not present:
        return value
    value = value.sum(present, keepdim=True)
    leading = next((i for i, size in enumerate(value.shape) if size != 1), value.dim())
    return value.reshape(value.shape[leading:])
