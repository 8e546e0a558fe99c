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
from pyro.distributions.transforms.affine_coupling import (
    AffineCoupling,
    ConditionalAffineCoupling,
    affine_coupling,
    conditional_affine_coupling,
)
from pyro.distributions.transforms.basic import ELUTransform, LeakyReLUTransform, elu, leaky_relu
from pyro.distributions.transforms.batchnorm import BatchNorm, batchnorm
from pyro.distributions.transforms.block_autoregressive import (
    BlockAutoregressive,
    block_autoregressive,
)
from pyro.distributions.transforms.cholesky import (
    CholeskyTransform,
    CorrLCholeskyTransform,
    CorrMatrixCholeskyTransform,
)
from pyro.distributions.transforms.discrete_cosine import DiscreteCosineTransform
from pyro.distributions.transforms.generalized_channel_permute import (
    ConditionalGeneralizedChannelPermute,
    GeneralizedChannelPermute,
    conditional_generalized_channel_permute,
    generalized_channel_permute,
)
from pyro.distributions.transforms.haar import HaarTransform
from pyro.distributions.transforms.householder import (
    ConditionalHouseholder,
    Householder,
    conditional_householder,
    householder,
)
from pyro.distributions.transforms.iterated import iterated
from pyro.distributions.transforms.lower_cholesky_affine import LowerCholeskyAffine
from pyro.distributions.transforms.matrix_exponential import (
    ConditionalMatrixExponential,
    MatrixExponential,
    conditional_matrix_exponential,
    matrix_exponential,
)
from pyro.distributions.transforms.neural_autoregressive import (
    ConditionalNeuralAutoregressive,
    NeuralAutoregressive,
    conditional_neural_autoregressive,
    neural_autoregressive,
)
from pyro.distributions.transforms.normalize import Normalize
from pyro.distributions.transforms.ordered import OrderedTransform, PositiveOrderedTransform
from pyro.distributions.transforms.permute import Permute, permute
from pyro.distributions.transforms.planar import (
    ConditionalPlanar,
    Planar,
    conditional_planar,
    planar,
)
from pyro.distributions.transforms.polynomial import Polynomial, polynomial
from pyro.distributions.transforms.power import PositivePowerTransform
from pyro.distributions.transforms.radial import (
    ConditionalRadial,
    Radial,
    conditional_radial,
    radial,
)
from pyro.distributions.transforms.simplex_to_ordered import SimplexToOrderedTransform
from pyro.distributions.transforms.softplus import SoftplusLowerCholeskyTransform
from pyro.distributions.transforms.spline import (
    ConditionalSpline,
    Spline,
    conditional_spline,
    spline,
)
from pyro.distributions.transforms.spline_autoregressive import (
    ConditionalSplineAutoregressive,
    SplineAutoregressive,
    conditional_spline_autoregressive,
    spline_autoregressive,
)
from pyro.distributions.transforms.spline_coupling import SplineCoupling, spline_coupling
from pyro.distributions.transforms.sylvester import Sylvester, sylvester
from pyro.distributions.transforms.unit_cholesky import UnitLowerCholeskyTransform

__all__ = [
    *_torch_names,
    "AffineAutoregressive",
    "AffineCoupling",
    "BatchNorm",
    "BlockAutoregressive",
    "CholeskyTransform",
    "ComposeTransformModule",
    "ConditionalAffineAutoregressive",
    "ConditionalAffineCoupling",
    "ConditionalGeneralizedChannelPermute",
    "ConditionalHouseholder",
    "ConditionalMatrixExponential",
    "ConditionalNeuralAutoregressive",
    "ConditionalPlanar",
    "ConditionalRadial",
    "ConditionalSpline",
    "ConditionalSplineAutoregressive",
    "CorrLCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "DiscreteCosineTransform",
    "ELUTransform",
    "GeneralizedChannelPermute",
    "HaarTransform",
    "Householder",
    "LeakyReLUTransform",
    "LowerCholeskyAffine",
    "MatrixExponential",
    "NeuralAutoregressive",
    "Normalize",
    "OrderedTransform",
    "Permute",
    "Planar",
    "Polynomial",
    "PositiveOrderedTransform",
    "PositivePowerTransform",
    "Radial",
    "SimplexToOrderedTransform",
    "SoftplusLowerCholeskyTransform",
    "Spline",
    "SplineAutoregressive",
    "SplineCoupling",
    "Sylvester",
    "UnitLowerCholeskyTransform",
    "affine_autoregressive",
    "affine_coupling",
    "batchnorm",
    "biject_to",
    "block_autoregressive",
    "conditional_affine_autoregressive",
    "conditional_affine_coupling",
    "conditional_generalized_channel_permute",
    "conditional_householder",
    "conditional_matrix_exponential",
    "conditional_neural_autoregressive",
    "conditional_planar",
    "conditional_radial",
    "conditional_spline",
    "conditional_spline_autoregressive",
    "elu",
    "generalized_channel_permute",
    "householder",
    "iterated",
    "leaky_relu",
    "matrix_exponential",
    "neural_autoregressive",
    "permute",
    "planar",
    "polynomial",
    "radial",
    "spline",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
    "transform_to",
]
