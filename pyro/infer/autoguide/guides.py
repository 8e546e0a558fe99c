"""The guides and what libraries import beside them, under their public path."""

from pyro.infer.autoguide.attributes import deep_getattr, deep_setattr
from pyro.infer.autoguide.base import AutoGuide, prototype_hide_fn
from pyro.infer.autoguide.join import AutoCallable, AutoGuideList
from pyro.infer.autoguide.normal import AutoNormal
from pyro.infer.autoguide.point import AutoDelta

__all__ = [
    "AutoCallable",
    "AutoDelta",
    "AutoGuide",
    "AutoGuideList",
    "AutoNormal",
    "deep_getattr",
    "deep_setattr",
    "prototype_hide_fn",
]
