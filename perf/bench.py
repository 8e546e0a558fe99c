"""Times the importable ``pyro``; a server for ``compare.py``.

Reads lines ``NAME|MINUS|VALIDATION`` (``trace|raw draw|1``) from standard input and answers each
with the median CPU seconds of one run, less those of another where one is named. Uses public names
only, so that it runs on any Pyro of this interface.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.optim import Adam

SITES = 100
DRAWS = 200
NAMES = [f"x{i}" for i in range(SITES)]
NORMAL = dist.Normal(torch.tensor(0.0), torch.tensor(1.0))
Run = Callable[[], Any]


def scalar_sites() -> None:
    for name in NAMES:
        pyro.sample(name, NORMAL)


def raw_draws() -> None:
    for _ in NAMES:
        NORMAL()


def plates_of_one_site() -> None:
    for name in NAMES:
        with pyro.plate(f"plate_{name}", 10):
            pyro.sample(name, NORMAL)


def under_ten_scales(model: Run) -> Run:
    for _ in range(10):
        model = poutine.scale(model, scale=0.5)
    return model


def traced(model: Run) -> Run:
    return poutine.trace(model).get_trace


def replayed(model: Run) -> Run:
    recorded = poutine.trace(model).get_trace()
    return traced(poutine.replay(model, trace=recorded))


def scored(model: Run) -> Run:
    get_trace = traced(model)
    return lambda: get_trace().log_prob_sum()


def equalized(sites: list[str]) -> Run:
    return traced(poutine.equalize(scalar_sites, sites))


def regression_data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator)
    noise = torch.randn(200, generator=generator)
    return x, x @ torch.arange(5.0) + 0.5 * noise


def regression(x: torch.Tensor, y: torch.Tensor | None = None) -> Any:
    weight = pyro.sample("weight", dist.Normal(torch.zeros(5), 1.0).to_event(1))
    bias = pyro.sample("bias", dist.Normal(0.0, 10.0))
    noise = pyro.sample("noise", dist.LogNormal(0.0, 1.0))
    mean = (weight * x).sum(-1) + bias
    with pyro.plate("data", x.shape[0]):
        return pyro.sample("y", dist.Normal(mean, noise), obs=y)


def svi_step() -> Run:
    pyro.clear_param_store()
    x, y = regression_data()
    svi = SVI(regression, AutoNormal(regression), Adam({"lr": 0.01}), Trace_ELBO())
    svi.step(x, y)
    return lambda: svi.step(x, y)


def predictive(parallel: bool) -> Run:
    pyro.clear_param_store()
    x, y = regression_data()
    guide = AutoNormal(regression)
    guide(x, y)
    predict = Predictive(regression, guide=guide, num_samples=DRAWS, parallel=parallel)
    return lambda: predict(x)


# name -> (what sets up one run, how many units one run holds)
BENCHES: dict[str, tuple[Callable[[], Run], int]] = {
    "raw draw": (lambda: raw_draws, SITES),
    "bare": (lambda: scalar_sites, SITES),
    "trace": (lambda: traced(scalar_sites), SITES),
    "trace + replay": (lambda: replayed(scalar_sites), SITES),
    "trace + log_prob_sum": (lambda: scored(scalar_sites), SITES),
    "bare, 10 scales": (lambda: under_ten_scales(scalar_sites), SITES),
    "trace, 10 scales": (lambda: traced(under_ten_scales(scalar_sites)), SITES),
    "trace + replay, 10 scales": (lambda: replayed(under_ten_scales(scalar_sites)), SITES),
    "trace + log_prob_sum, 10 scales": (lambda: scored(under_ten_scales(scalar_sites)), SITES),
    "equalize, no match": (lambda: equalized(["y.*"]), SITES),
    "equalize, all match": (lambda: equalized(["x.*"]), SITES),
    "equalize, 1000 patterns": (lambda: equalized([f"y{i}_.*" for i in range(1000)]), SITES),
    "plate": (lambda: plates_of_one_site, SITES),
    "svi step": (svi_step, 1),
    "predictive, sequential": (lambda: predictive(False), DRAWS),
    "predictive, parallel": (lambda: predictive(True), DRAWS),
}


def cpu_seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def median_seconds(run: Run, minus: Run | None) -> float:
    """Median CPU time of one run over many, after one in vain.

    What is subtracted runs in turn with it, so that both meet the same machine.
    """
    at_least = 0.05 if minus is None else 0.3
    run()
    if minus is not None:
        minus()
    gc.collect()
    gc.disable()
    times: list[float] = []
    less: list[float] = []
    try:
        while sum(times) < at_least:
            less.append(0.0 if minus is None else cpu_seconds(minus))
            times.append(cpu_seconds(run))
    finally:
        gc.enable()
    return statistics.median(one - other for one, other in zip(times, less, strict=True))


def serve() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(pyro.__version__, pyro.__file__, flush=True)
    for line in sys.stdin:
        name, minus, validation = line.rstrip("\n").split("|")
        setup, units = BENCHES[name]
        with pyro.validation_enabled(validation == "1"):
            pyro.set_rng_seed(0)
            seconds = median_seconds(setup(), BENCHES[minus][0]() if minus else None)
        print(seconds / units, flush=True)


if __name__ == "__main__":
    serve()
