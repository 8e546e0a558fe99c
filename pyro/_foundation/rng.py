"""The random number generators that a run may draw from, as one state.

Laws draw from torch's global generator; user code often draws from :mod:`random` and numpy too,
so that seeding covers all three.
"""

import random
from typing import Any, TypedDict

import numpy as np
import torch


class RngState(TypedDict):
    """States of the three generators, as each library gives its own."""

    torch: torch.Tensor
    random: tuple[Any, ...]
    numpy: Any


def set_rng_seed(rng_seed: int) -> None:
    """Seed torch (every device), :mod:`random` and numpy.

    :param rng_seed: a nonnegative integer below ``2**32``, numpy's limit.

    >>> set_rng_seed(7)
    >>> first = torch.rand(2)
    >>> set_rng_seed(7)
    >>> bool((torch.rand(2) == first).all())
    True
    """
    np.random.seed(rng_seed)  # the strictest of the three goes first: it refuses, nothing changes
    # A torch that was built for the CPU alone still notes each seed for devices that may come, with
    # the stack of the caller: too slow for what may happen once a run, and never given back.
    has_devices = torch.accelerator.current_accelerator() is not None
    (torch.manual_seed if has_devices else torch.default_generator.manual_seed)(rng_seed)
    random.seed(rng_seed)


def get_rng_state() -> RngState:
    """Return the state of torch's (CPU), :mod:`random`'s and numpy's generators."""
    return {
        "torch": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": np.random.get_state(),
    }


def set_rng_state(state: RngState) -> None:
    """Put the generators back to where :func:`get_rng_state` found them.

    :param state: what :func:`get_rng_state` returned.

    >>> state = get_rng_state()
    >>> first = torch.rand(2)
    >>> set_rng_state(state)
    >>> bool((torch.rand(2) == first).all())
    True
    """
    torch.set_rng_state(state["torch"])
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])
