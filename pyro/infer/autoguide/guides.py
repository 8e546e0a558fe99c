"""The guides and what libraries import beside them, under their public path."""

from pyro.infer.autoguide.attributes import deep_getattr, deep_setattr
from pyro.infer.autoguide.base import AutoGuide, prototype_hide_fn
from pyro.infer.autoguide.continuous import AutoContinuous
from pyro.infer.autoguide.discrete import AutoDiscreteParallel
from pyro.infer.autoguide.flow import AutoIAFNormal, AutoNormalizingFlow
from pyro.infer.autoguide.join import AutoCallable, AutoGuideList
from pyro.infer.autoguide.laplace import AutoLaplaceApproximation
from pyro.infer.autoguide.multivariate import (
    AutoDiagonalNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
)
from pyro.infer.autoguide.normal import AutoNormal
from pyro.infer.autoguide.point import AutoDelta

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
    "deep_getattr",
    "deep_setattr",
    "prototype_hide_fn",
]
