"""Invertible maps between sets, and the registries that find one for a set."""

from torch.distributions import biject_to, transform_to
from torch.distributions.transforms import *  # noqa: F403
from torch.distributions.transforms import __all__ as _torch_names

from pyro.distributions.torch_transform import ComposeTransformModule
from pyro.distributions.transforms.affine_autoregressive import (
    AffineAutoregressive,
    ConditionalAffineAutoregressive,
    affine_autoregressive,
    conditional_affine_autoregressive,
)
from pyro.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrLCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyro.distributions.transforms.discrete_cosine import DiscreteCosineTransform
from pyro.distributions.transforms.haar import HaarTransform
from pyro.distributions.transforms.iterated import iterated
from pyro.distributions.transforms.lower_cholesky_affine import LowerCholeskyAffine
from pyro.distributions.transforms.normalize import Normalize
from pyro.distributions.transforms.ordered import OrderedTransform, PositiveOrderedTransform
from pyro.distributions.transforms.permute import Permute, permute
from pyro.distributions.transforms.planar import (
    ConditionalPlanar,
    Planar,
    conditional_planar,
    planar,
)
from pyro.distributions.transforms.softplus import SoftplusLowerCholeskyTransform
from pyro.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform

__all__ = [
    *_torch_names,
    "AffineAutoregressive",
    "CholeskyTransform",
    "ComposeTransformModule",
    "ConditionalAffineAutoregressive",
    "ConditionalPlanar",
    "CorrLCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "DiscreteCosineTransform",
    "HaarTransform",
    "LowerCholeskyAffine",
    "Normalize",
    "OrderedTransform",
    "Permute",
    "Planar",
    "PositiveOrderedTransform",
    "SoftplusLowerCholeskyTransform",
    "UnitLowerCholeskyTransform",
    "affine_autoregressive",
    "biject_to",
    "conditional_affine_autoregressive",
    "conditional_planar",
    "iterated",
    "permute",
    "planar",
    "transform_to",
]
