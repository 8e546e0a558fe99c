"""The bound of a finite model and guide, by running both at every joint value."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

import pyro.poutine as poutine
from tests.helpers import trace_of

Program = Callable[..., Any]
Supports = Mapping[str, tuple[Sequence[float], tuple[int, ...]]]  # values, and the batch shape


def joint_values(sites: Supports) -> Iterator[dict[str, Tensor]]:
    """All joint values of some sites."""
    counts = [math.prod(shape) for _, shape in sites.values()]
    choices = [
        product(values, repeat=n) for (values, _), n in zip(sites.values(), counts, strict=True)
    ]
    for chosen in product(*choices):
        yield {
            name: torch.tensor(
                flat,
                dtype=torch.long if isinstance(values, range) else torch.double,
            ).reshape(shape)
            for (name, (values, shape)), flat in zip(sites.items(), chosen, strict=True)
        }


def log_joint(model: Program, values: Mapping[str, Any]) -> Tensor:
    """The log density of a run at given values."""
    return torch.as_tensor(trace_of(poutine.condition(model, data=dict(values))).log_prob_sum())


def log_evidence(model: Program, summed: Supports, given: Mapping[str, Tensor]) -> Tensor:
    """The log of the density summed over some sites."""
    terms = [log_joint(model, {**given, **values}) for values in joint_values(summed)]
    return torch.stack(terms).logsumexp(0)


def bound(model: Program, guide: Program, drawn: Supports, summed: Supports) -> Tensor:
    """The exact expectation, over the guide's sites, of ``log sum p - log q``."""
    total = torch.zeros(())
    for values in joint_values(drawn):
        log_q = log_joint(guide, values)
        total = total + log_q.exp() * (log_evidence(model, summed, values) - log_q)
    return total


def posterior(model: Program, summed: Supports) -> list[tuple[dict[str, Tensor], float]]:
    """All joint values of some sites with their posterior probabilities."""
    values = list(joint_values(summed))
    weights = torch.stack([log_joint(model, one) for one in values]).softmax(0)
    return list(zip(values, weights.tolist(), strict=True))
