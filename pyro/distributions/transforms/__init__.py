"""Invertible maps between sets, and the registries that find one for a set."""

from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import *  # noqa: F403
from torch.distributions.transforms import __all__ as _torch_names

from pyro.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrLCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyro.distributions.transforms.normalize import Normalize
from pyro.distributions.transforms.ordered import OrderedTransform, PositiveOrderedTransform
from pyro.distributions.transforms.softplus import SoftplusLowerCholeskyTransform
from pyro.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform

__all__ = [
    *_torch_names,
    "CholeskyTransform",
    "CorrLCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "Normalize",
    "OrderedTransform",
    "PositiveOrderedTransform",
    "SoftplusLowerCholeskyTransform",
    "UnitLowerCholeskyTransform",
    "biject_to",
    "transform_to",
]
