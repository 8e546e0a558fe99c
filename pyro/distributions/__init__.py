"""Laws of random values; a door to the rooms where they live."""

from torch.distributions import biject_to, kl_divergence, register_kl, transform_to

import pyro.distributions.constraints as constraints
import pyro.distributions.kl as kl
import pyro.distributions.transforms as transforms
from pyro._foundation.validation import (
    enable_validation,
    is_validation_enabled,
    validation_enabled,
)
from pyro.distributions.affine_beta import AffineBeta
from pyro.distributions.asymmetriclaplace import AsymmetricLaplace, SoftAsymmetricLaplace
from pyro.distributions.avf_mvn import AVFMultivariateNormal
from pyro.distributions.coalescent import (
    CoalescentRateLikelihood,
    CoalescentTimes,
    CoalescentTimesWithRate,
)
from pyro.distributions.conditional import (
    ConditionalDistribution,
    ConditionalTransform,
    ConditionalTransformedDistribution,
    ConditionalTransformModule,
)
from pyro.distributions.conjugate import BetaBinomial, DirichletMultinomial, GammaPoisson
from pyro.distributions.delta import Delta
from pyro.distributions.diag_normal_mixture import MixtureOfDiagNormals
from pyro.distributions.diag_normal_mixture_shared_cov import MixtureOfDiagNormalsSharedCovariance
from pyro.distributions.discrete_hmm import DiscreteHMM
from pyro.distributions.distribution import Distribution
from pyro.distributions.empirical import Empirical
from pyro.distributions.extended import ExtendedBetaBinomial, ExtendedBinomial
from pyro.distributions.folded import FoldedDistribution
from pyro.distributions.gamma_gaussian_hmm import GammaGaussianHMM
from pyro.distributions.gaussian_hmm import GaussianHMM
from pyro.distributions.gaussian_mrf import GaussianMRF
from pyro.distributions.gaussian_scale_mixture import GaussianScaleMixture
from pyro.distributions.grouped_normal_normal import GroupedNormalNormal
from pyro.distributions.improper_uniform import ImproperUniform
from pyro.distributions.independent_hmm import IndependentHMM
from pyro.distributions.linear_hmm import LinearHMM
from pyro.distributions.lkj import LKJ, LKJCorrCholesky
from pyro.distributions.log_normal_negative_binomial import LogNormalNegativeBinomial
from pyro.distributions.logistic import Logistic, SkewLogistic
from pyro.distributions.mixture import MaskedMixture
from pyro.distributions.multivariate_studentt import MultivariateStudentT
from pyro.distributions.nanmasked import NanMaskedMultivariateNormal, NanMaskedNormal
from pyro.distributions.omt_mvn import OMTMultivariateNormal
from pyro.distributions.one_one_matching import OneOneMatching
from pyro.distributions.one_two_matching import OneTwoMatching
from pyro.distributions.ordered_logistic import OrderedLogistic
from pyro.distributions.polya_gamma import TruncatedPolyaGamma
from pyro.distributions.projected_normal import ProjectedNormal
from pyro.distributions.rejector import Rejector
from pyro.distributions.relaxed_straight_through import (
    RelaxedBernoulliStraightThrough,
    RelaxedOneHotCategoricalStraightThrough,
)
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.sine_bivariate_von_mises import SineBivariateVonMises
from pyro.distributions.sine_skewed import SineSkewed
from pyro.distributions.softlaplace import SoftLaplace
from pyro.distributions.spanning_tree import SpanningTree
from pyro.distributions.stable import Stable, StableWithLogProb
from pyro.distributions.torch import *  # noqa: F403
from pyro.distributions.torch import __all__ as _torch_names
from pyro.distributions.torch_distribution import (
    ExpandedDistribution,
    MaskedDistribution,
    TorchDistribution,
)
from pyro.distributions.torch_mixin import TorchDistributionMixin
from pyro.distributions.torch_transform import ComposeTransformModule, TransformModule
from pyro.distributions.unit import Unit
from pyro.distributions.von_mises_3d import VonMises3D
from pyro.distributions.zero_inflated import (
    ZeroInflatedDistribution,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)

__all__ = [
    *_torch_names,
    "AffineBeta",
    "AsymmetricLaplace",
    "BetaBinomial",
    "AVFMultivariateNormal",
    "CoalescentRateLikelihood",
    "CoalescentTimes",
    "CoalescentTimesWithRate",
    "ComposeTransformModule",
    "ConditionalDistribution",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConditionalTransformedDistribution",
    "Delta",
    "DirichletMultinomial",
    "Distribution",
    "Empirical",
    "ExpandedDistribution",
    "ExtendedBetaBinomial",
    "ExtendedBinomial",
    "FoldedDistribution",
    "GammaPoisson",
    "LogNormalNegativeBinomial",
    "Logistic",
    "ImproperUniform",
    "LKJ",
    "LKJCorrCholesky",
    "DiscreteHMM",
    "GammaGaussianHMM",
    "GaussianHMM",
    "GaussianMRF",
    "IndependentHMM",
    "LinearHMM",
    "MaskedDistribution",
    "MaskedMixture",
    "GaussianScaleMixture",
    "GroupedNormalNormal",
    "MixtureOfDiagNormals",
    "MixtureOfDiagNormalsSharedCovariance",
    "MultivariateStudentT",
    "OrderedLogistic",
    "NanMaskedMultivariateNormal",
    "NanMaskedNormal",
    "OMTMultivariateNormal",
    "OneOneMatching",
    "OneTwoMatching",
    "ProjectedNormal",
    "Rejector",
    "RelaxedBernoulliStraightThrough",
    "RelaxedOneHotCategoricalStraightThrough",
    "ScoreParts",
    "SkewLogistic",
    "SoftAsymmetricLaplace",
    "SoftLaplace",
    "SineBivariateVonMises",
    "SineSkewed",
    "SpanningTree",
    "Stable",
    "StableWithLogProb",
    "TorchDistribution",
    "TorchDistributionMixin",
    "TransformModule",
    "TruncatedPolyaGamma",
    "Unit",
    "ZeroInflatedDistribution",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "VonMises3D",
    "biject_to",
    "constraints",
    "enable_validation",
    "is_validation_enabled",
    "kl",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
    "validation_enabled",
]
