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
from pyro.distributions.conditional import (
    ConditionalDistribution,
    ConditionalTransform,
    ConditionalTransformedDistribution,
    ConditionalTransformModule,
)
from pyro.distributions.delta import Delta
from pyro.distributions.distribution import Distribution
from pyro.distributions.empirical import Empirical
from pyro.distributions.multivariate_studentt import MultivariateStudentT
from pyro.distributions.projected_normal import ProjectedNormal
from pyro.distributions.score_parts import ScoreParts
from pyro.distributions.stable import Stable
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

__all__ = [
    *_torch_names,
    "ComposeTransformModule",
    "ConditionalDistribution",
    "ConditionalTransform",
    "ConditionalTransformModule",
    "ConditionalTransformedDistribution",
    "Delta",
    "Distribution",
    "Empirical",
    "ExpandedDistribution",
    "MaskedDistribution",
    "MultivariateStudentT",
    "ProjectedNormal",
    "ScoreParts",
    "Stable",
    "TorchDistribution",
    "TorchDistributionMixin",
    "TransformModule",
    "Unit",
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
