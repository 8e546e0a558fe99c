"""What an example of a law is.

An example is built with a function that turns numbers into tensors, so that a test chooses the
dtype and can collect the parameters to differentiate with respect to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pyro.distributions as dist

Tensors = Callable[[Any], Tensor]
WrongParameter = tuple[str, Callable[[], Any], str, str]
WrongValue = tuple[Any, Any, str]


@dataclass
class Example:
    """A law with parameters.

    :param build: makes the law, given a function from nested lists to tensors.
    :param reference: SciPy's frozen law with the same parameters.
    :param numbers: the same law from Python numbers, where it takes them; of batch shape ().
    :param torch_law: the same law of torch.distributions, where there is one.
    :param pathwise: whether a draw is a smooth function of the parameters at a fixed seed.
    """

    build: Callable[[Tensors], Any]
    reference: Any = None
    numbers: Callable[[Any], Any] | None = None
    pathwise: bool = True

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
