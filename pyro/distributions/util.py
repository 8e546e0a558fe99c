"""Helpers for those who write laws; a door to the rooms where they live."""

from torch.distributions.utils import broadcast_all

from pyro._foundation.validation import (
    enable_validation,
    is_validation_enabled,
    validation_enabled,
)
from pyro.ops.masking import is_identically_one, is_identically_zero, scale_and_mask
from pyro.ops.objects import copy_docs_from, deep_to, detach, weakmethod
from pyro.ops.shapes import (
    broadcast_shape,
    eye_like,
    gather,
    logsumexp,
    scalar_like,
    sum_leftmost,
    sum_rightmost,
)

__all__ = [
    "broadcast_all",
    "broadcast_shape",
    "copy_docs_from",
    "deep_to",
    "detach",
    "enable_validation",
    "eye_like",
    "gather",
    "is_identically_one",
    "is_identically_zero",
    "is_validation_enabled",
    "logsumexp",
    "scalar_like",
    "scale_and_mask",
    "sum_leftmost",
    "sum_rightmost",
    "validation_enabled",
    "weakmethod",
]
