"""Exact sums over the discrete sites of small models, by brute force and from packed factors."""

import math
from collections.abc import Callable
from typing import Any

import opt_einsum
import torch
from torch import Tensor

import pyro.poutine as poutine
from pyro.poutine.sites import site_is_subsample
from tests.helpers import trace_of

PARALLEL = {"enumerate": "parallel"}


def enumerated(model: Callable[..., Any], first: int = -1) -> poutine.Trace:
    """The scored and packed trace of an enumerated run."""
    record = trace_of(poutine.enum(model, first_available_dim=first))
    record.compute_log_prob()
    record.pack_tensors()
    return record


def factors_of(record: poutine.Trace) -> list[Any]:
    return [
        site["packed"]["log_prob"]
        for site in record.nodes.values()
        if site["type"] == "sample" and not site_is_subsample(site)
    ]


def log_evidence(record: poutine.Trace) -> Tensor:
    """Sums the product of all factors over their enumerated sites; there must be no plate."""
    factors = factors_of(record)
    letters = ",".join(factor._pyro_dims for factor in factors)
    total: Tensor = opt_einsum.contract(f"{letters}->", *(f.exp() for f in factors))
    return total.log()


def brute_force(model: Callable[..., Any], supports: dict[str, int]) -> Tensor:
    """Sums the table of the joint density: each site has a dimension of its own, and keeps it."""
    data = {
        name: torch.arange(float(size)).reshape(-1, *(1,) * i)
        for i, (name, size) in enumerate(supports.items())
    }
    record = trace_of(poutine.condition(model, data=data))
    record.compute_log_prob()
    terms = [s["log_prob"] for s in record.nodes.values() if s["type"] == "sample"]
    joint = sum(torch.broadcast_tensors(*terms))
    assert isinstance(joint, Tensor) and joint.numel() == math.prod(supports.values())
    return joint.flatten().logsumexp(0)
