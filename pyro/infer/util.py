"""Door to the helpers of inference algorithms."""

from pyro._foundation.validation import (
    enable_validation,
    is_validation_enabled,
    validation_enabled,
)
from pyro.infer.checks import check_fully_reparametrized
from pyro.infer.dice import Dice, compute_site_dice_factor
from pyro.infer.numerics import torch_backward, torch_exp, torch_item, torch_sum, zero_grads
from pyro.infer.plates import get_dependent_plate_dims, get_plate_stacks, plate_log_prob_sum
from pyro.infer.rao_blackwell import MultiFrameTensor
from pyro.infer.weighed_draws import CloneMixin

__all__ = [
    "CloneMixin",
    "Dice",
    "MultiFrameTensor",
    "check_fully_reparametrized",
    "compute_site_dice_factor",
    "enable_validation",
    "get_dependent_plate_dims",
    "get_plate_stacks",
    "is_validation_enabled",
    "plate_log_prob_sum",
    "torch_backward",
    "torch_exp",
    "torch_item",
    "torch_sum",
    "validation_enabled",
    "zero_grads",
]
