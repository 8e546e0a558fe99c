"""Inference: objectives, the drivers that optimise them, and what their results are used for."""

from pyro._foundation.validation import enable_validation, is_validation_enabled
from pyro.infer.abstract_infer import EmpiricalMarginal, TracePosterior, TracePredictive
from pyro.infer.csis import CSIS
from pyro.infer.discrete import infer_discrete
from pyro.infer.elbo import ELBO
from pyro.infer.energy_distance import EnergyDistance
from pyro.infer.enum import config_enumerate
from pyro.infer.importance import Importance
from pyro.infer.predictive import MHResampler, Predictive, WeighedPredictive
from pyro.infer.renyi_elbo import RenyiELBO
from pyro.infer.rws import ReweightedWakeSleep
from pyro.infer.smcfilter import SMCFilter
from pyro.infer.svgd import SVGD, IMQSteinKernel, RBFSteinKernel
from pyro.infer.svi import SVI
from pyro.infer.trace_elbo import JitTrace_ELBO, Trace_ELBO
from pyro.infer.trace_mean_field_elbo import JitTraceMeanField_ELBO, TraceMeanField_ELBO
from pyro.infer.trace_mmd import Trace_MMD
from pyro.infer.trace_tail_adaptive_elbo import TraceTailAdaptive_ELBO
from pyro.infer.traceenum_elbo import JitTraceEnum_ELBO, TraceEnum_ELBO
from pyro.infer.tracegraph_elbo import JitTraceGraph_ELBO, TraceGraph_ELBO
from pyro.infer.tracetmc_elbo import TraceTMC_ELBO

__all__ = [
    "CSIS",
    "ELBO",
    "EmpiricalMarginal",
    "EnergyDistance",
    "IMQSteinKernel",
    "Importance",
    "JitTraceEnum_ELBO",
    "JitTraceGraph_ELBO",
    "JitTraceMeanField_ELBO",
    "JitTrace_ELBO",
    "MHResampler",
    "Predictive",
    "RBFSteinKernel",
    "RenyiELBO",
    "ReweightedWakeSleep",
    "SMCFilter",
    "SVGD",
    "SVI",
    "TraceEnum_ELBO",
    "TraceGraph_ELBO",
    "TraceMeanField_ELBO",
    "TracePosterior",
    "TracePredictive",
    "TraceTMC_ELBO",
    "TraceTailAdaptive_ELBO",
    "Trace_ELBO",
    "Trace_MMD",
    "WeighedPredictive",
    "config_enumerate",
    "enable_validation",
    "infer_discrete",
    "is_validation_enabled",
]
