"""Guides that are made from the model."""

from pyro.infer.autoguide.base import AutoGuide
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.infer.autoguide.discrete import AutoDiscreteParallel
from pyro.infer.autoguide.effect import (
    AutoHierarchicalNormalMessenger,
    AutoMessenger,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
)
from pyro.infer.autoguide.entropy import mean_field_entropy
from pyro.infer.autoguide.flow import AutoIAFNormal, AutoNormalizingFlow
from pyro.infer.autoguide.gaussian import AutoGaussian
from pyro.infer.autoguide.join import AutoCallable, AutoGuideList
from pyro.infer.autoguide.laplace import AutoLaplaceApproximation
from pyro.infer.autoguide.multivariate import (
    AutoDiagonalNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
)
from pyro.infer.autoguide.normal import AutoNormal
from pyro.infer.autoguide.point import AutoDelta
from pyro.infer.autoguide.structured import AutoStructured
from pyro.infer.initialization import (
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)

__all__ = [
    "AutoCallable",
    "AutoContinuous",
    "AutoDelta",
    "AutoDiagonalNormal",
    "AutoDiscreteParallel",
    "AutoGuide",
    "AutoGuideList",
    "AutoIAFNormal",
    "AutoLaplaceApproximation",
    "AutoLowRankMultivariateNormal",
    "AutoMultivariateNormal",
    "AutoNormal",
    "AutoNormalizingFlow",
    "AutoHierarchicalNormalMessenger",
    "AutoMessenger",
    "AutoNormalMessenger",
    "AutoRegressiveMessenger",
    "AutoGaussian",
    "AutoStructured",
    "init_to_feasible",
    "init_to_generated",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
    "mean_field_entropy",
]
