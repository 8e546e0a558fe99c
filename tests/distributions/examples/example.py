"""What an example of a law is.

An example is built with a function that turns numbers into tensors, so that a test chooses the
dtype and can collect the parameters to differentiate with respect to.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pyro.distributions as dist

Tensors = Callable[[Any], Tensor]
WrongParameter = tuple[str, Callable[[], Any], str, str]
WrongValue = tuple[Any, Any, str]


@dataclass(eq=False)
class Example:
    """A law with parameters.

    :param build: makes the law, given a function from nested lists to tensors.
    :param reference: SciPy's frozen law with the same parameters.
    :param numbers: the same law from Python numbers, where it takes them; of batch shape ().
    :param pathwise: whether a draw is a smooth function of the parameters at a fixed seed.
    :param nodes: what to integrate over, where it does not follow from the support: a function
        from the law to ``Nodes`` of :mod:`tests.distributions.integration`, ``circle`` for one.
    :param proper: whether the density integrates to 1, over a measure without atoms if the support
        is continuous; None to deduce it.
    :param biased: whether gradients of draws are not those of expectations, by design.
    """

    build: Callable[[Tensors], Any]
    reference: Any = None
    numbers: Callable[[Any], Any] | None = None
    pathwise: bool = True
    nodes: Callable[[Any], Any] | None = None
    proper: bool | None = None
    biased: bool = False

    @property
    def name(self) -> str:
        return type(self.make()).__name__

    def make(self, dtype: torch.dtype = torch.float32) -> Any:
        return self.build(lambda value: torch.tensor(value, dtype=dtype))

    def make_with_leaves(self, dtype: torch.dtype = torch.float64) -> tuple[Any, list[Tensor]]:
        leaves: list[Tensor] = []

        def leaf(value: Any) -> Tensor:
            leaves.append(torch.tensor(value, dtype=dtype, requires_grad=True))
            return leaves[-1]

        return self.build(leaf), leaves

    def of(self, laws: Any) -> Callable[[Tensors], Any]:
        """Return what builds another package's law of the same name.

        :param laws: the package that stands for ``dist`` in the example.
        """
        build: Any = self.build
        names = {**build.__globals__, "dist": laws}
        return types.FunctionType(build.__code__, names, closure=build.__closure__)

    def make_from(self, leaves: Sequence[Tensor], build: Any = None) -> Any:
        """Make the law from other tensors.

        :param leaves: what to take in place of the tensors, in the order in which they are built.
        :param build: what :meth:`of` gave, to make another package's law.
        """
        remaining = iter(leaves)
        return (build or self.build)(lambda _: next(remaining))

    def is_proper(self) -> bool:
        """Whether sums or integrals of the density are probabilities."""
        if self.proper is not None:
            return self.proper
        return not isinstance(self.make(), (dist.Delta, dist.MaskedDistribution, dist.Unit))


def two(
    law: str, reference: Any = None, pathwise: bool = True, **parameters: list[float]
) -> Example:
    """An example with a batch of two, whose numbers are the first of each parameter."""
    first = {name: values[0] for name, values in parameters.items()}
    return Example(
        lambda t: getattr(dist, law)(**{name: t(values) for name, values in parameters.items()}),
        reference,
        lambda module: getattr(module, law)(**first),
        pathwise,
    )
