"""Door to the statistics of samples."""

from pyro.ops.chains import (
    autocorrelation,
    autocovariance,
    effective_sample_size,
    gelman_rubin,
    split_gelman_rubin,
)
from pyro.ops.intervals import hpdi, pi, quantile, resample, weighed_quantile
from pyro.ops.scores import crps_empirical, energy_score_empirical, fit_generalized_pareto, waic

__all__ = [
    "autocorrelation",
    "autocovariance",
    "crps_empirical",
    "effective_sample_size",
    "energy_score_empirical",
    "fit_generalized_pareto",
    "gelman_rubin",
    "hpdi",
    "pi",
    "quantile",
    "resample",
    "split_gelman_rubin",
    "waic",
    "weighed_quantile",
]
