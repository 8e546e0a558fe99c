"""One example or more of every law, from which the contract tests are generated.

Every module of `tests.distributions.examples` may define ``EXAMPLES``, ``WRONG_PARAMETERS`` (law,
what builds it wrongly, the parameter, the constraint), ``WRONG_VALUES`` (law, a value outside its
support, how the support is called), ``WITHOUT_DENSITY`` (laws that draw only, whose tests are in
files of their own) and ``MADE_OF_OTHERS`` (laws whose parameters are laws or are checked by them).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.distributions import examples
from tests.distributions.examples.example import Example, WrongParameter, WrongValue

MODULES = [
    importlib.import_module(f"{examples.__name__}.{module.name}")
    for module in pkgutil.iter_modules(examples.__path__)
]


def gathered(name: str) -> list[Any]:
    return [entry for module in MODULES for entry in getattr(module, name, ())]


EXAMPLES: list[Example] = gathered("EXAMPLES")
WRONG_PARAMETERS: list[WrongParameter] = gathered("WRONG_PARAMETERS")
WRONG_VALUES: list[WrongValue] = gathered("WRONG_VALUES")
WITHOUT_DENSITY: set[str] = set(gathered("WITHOUT_DENSITY"))
MADE_OF_OTHERS: set[str] = set(gathered("MADE_OF_OTHERS"))

# Base classes, of which there is no example.
ABSTRACT = {"Distribution", "ExponentialFamily", "TorchDistribution", "TorchDistributionMixin"}


def ids(example: Example) -> str:
    """Name an example by its law and shapes."""
    law = example.make()
    return f"{type(law).__name__}{tuple(law.batch_shape)}{tuple(law.event_shape)}"


def some(condition: Callable[[Example], bool]) -> Any:
    """Run a test over those examples that satisfy a condition; there must be some."""
    chosen = [example for example in EXAMPLES if condition(example)]
    assert chosen
    return pytest.mark.parametrize("example", chosen, ids=ids)
