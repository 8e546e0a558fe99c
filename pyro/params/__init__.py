"""Learnable parameters and the store that holds them."""

from pyro.params.param_store import (
    module_from_param_with_module_name,
    param_with_module_name,
    user_param_name,
)

__all__ = [
    "module_from_param_with_module_name",
    "param_with_module_name",
    "user_param_name",
]
