"""Autoregressive networks that give the parameters of a law; a door to the room of them."""

from pyro.ops.networks import (
    AutoRegressiveNN,
    ConditionalAutoRegressiveNN,
    MaskedLinear,
    create_mask,
    sample_mask_indices,
)

__all__ = [
    "AutoRegressiveNN",
    "ConditionalAutoRegressiveNN",
    "MaskedLinear",
    "create_mask",
    "sample_mask_indices",
]
