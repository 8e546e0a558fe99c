"""What ``bench.py`` times of inference: steps of objectives, and runs of drivers.

Uses public names only, so that it runs on any Pyro of this interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import (
    CSIS,
    SVGD,
    SVI,
    EnergyDistance,
    Importance,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    MHResampler,
    Predictive,
    RBFSteinKernel,
    RenyiELBO,
    ReweightedWakeSleep,
    SMCFilter,
    Trace_ELBO,
    Trace_MMD,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
    WeighedPredictive,
    infer_discrete,
)
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyro.optim import Adam

DRAWS = 200
HALF = torch.tensor(0.5)
Run = Callable[[], Any]


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


def svi_step(objective: Any = Trace_ELBO, auto: Any = AutoNormal) -> Run:
    pyro.clear_param_store()
    x, y = regression_data()
    svi = SVI(regression, auto(regression), Adam({"lr": 0.01}), objective())
    for _ in range(5):  # a compiled objective needs some to compile
        svi.step(x, y)
    return lambda: svi.step(x, y)


def hmm(data: torch.Tensor, size: int = 8) -> None:
    """A chain of hidden states that are summed out."""
    rows = 0.1 + 0.9 * torch.eye(size)
    transitions = pyro.sample("transitions", dist.Dirichlet(rows).to_event(1))
    locs = pyro.sample("locs", dist.Normal(torch.zeros(size), 1.0).to_event(1))
    state: Any = 0
    for t in pyro.markov(range(len(data))):
        law = dist.Categorical(transitions[state])
        state = pyro.sample(f"x_{t}", law, infer={"enumerate": "parallel"})
        pyro.sample(f"y_{t}", dist.Normal(locs[state], 1.0), obs=data[t])


def mixture(data: torch.Tensor, size: int = 3) -> None:
    """A Gaussian mixture whose assignments are summed out."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(size)))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 2.0))
    with pyro.plate("components", size):
        locs = pyro.sample("locs", dist.Normal(0.0, 10.0))
    with pyro.plate("data", len(data)):
        law = dist.Categorical(weights)
        assignment = pyro.sample("assignment", law, infer={"enumerate": "parallel"})
        pyro.sample("x", dist.Normal(locs[assignment], scale), obs=data)


def enumerated_svi_step(
    model: Callable[..., Any], latents: list[str], size: int, objective: Any = TraceEnum_ELBO
) -> Run:
    pyro.clear_param_store()
    data = torch.randn(size, generator=torch.Generator().manual_seed(0))
    guide = AutoDelta(poutine.block(model, expose=latents))
    svi = SVI(model, guide, Adam({"lr": 0.01}), objective(max_plate_nesting=1))
    for _ in range(3):
        svi.step(data)
    return lambda: svi.step(data)


def decoded() -> Run:
    """The most probable states of a chain."""
    data = torch.randn(40, generator=torch.Generator().manual_seed(0))
    given = {"transitions": 0.05 + 0.6 * torch.eye(8), "locs": torch.arange(8.0)}
    chain = poutine.condition(hmm, data=given)
    decode = infer_discrete(chain, first_available_dim=-1, temperature=0)
    return lambda: decode(data)


def coins(data: torch.Tensor) -> None:
    for i in range(len(data)):
        z = pyro.sample(f"z_{i}", dist.Bernoulli(HALF))
        pyro.sample(f"x_{i}", dist.Normal(z, 1.0), obs=data[i])


def coins_guide(data: torch.Tensor) -> None:
    probs = pyro.param("probs", torch.full((len(data),), 0.4), dist.constraints.unit_interval)
    for i in range(len(data)):
        infer = {"baseline": {"use_decaying_avg_baseline": True}}
        pyro.sample(f"z_{i}", dist.Bernoulli(probs[i]), infer=infer)


def score_function_step(objective: Any) -> Run:
    """A step with draws that cannot be differentiated, and baselines."""
    pyro.clear_param_store()
    svi = SVI(coins, coins_guide, Adam({"lr": 0.01}), objective())
    return lambda: svi.step(torch.arange(10.0))


def linear(observations: dict[str, torch.Tensor]) -> Any:
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    return pyro.sample("x", dist.Normal(z, 1.0), obs=observations["x"])


def linear_guide(observations: dict[str, torch.Tensor]) -> Any:
    slope = pyro.param("slope", torch.tensor(0.3))
    return pyro.sample("z", dist.Normal(slope * observations["x"], 0.7))


def told_step(step: Any) -> Run:
    pyro.clear_param_store()
    return lambda: step(observations={"x": HALF})


class Walk:
    """A random walk that is seen at each step."""

    def init(self, state: Any) -> None:
        self.t = 0
        state["z"] = pyro.sample("z_0", dist.Normal(0.0, 1.0))

    def step(self, state: Any, datum: torch.Tensor) -> None:
        self.t += 1
        state["z"] = pyro.sample(f"z_{self.t}", dist.Normal(state["z"], 1.0))
        pyro.sample(f"x_{self.t}", dist.Normal(state["z"], 1.0), obs=datum)


class WalkGuide:
    """Steps that lean towards what is seen."""

    def init(self, state: Any) -> None:
        self.t = 0
        pyro.sample("z_0", dist.Normal(0.0, 1.0))

    def step(self, state: Any, datum: torch.Tensor) -> None:
        self.t += 1
        pyro.sample(f"z_{self.t}", dist.Normal((state["z"] + datum) / 2, 0.7))


def filtered() -> Run:
    def run() -> None:
        smc = SMCFilter(Walk(), WalkGuide(), num_particles=100, max_plate_nesting=0)
        smc.init()
        for datum in torch.arange(10.0):
            smc.step(datum)

    return run


def discrepancy(**options: Any) -> Trace_MMD:
    """An objective with the kernels that either package takes: its own, or any function."""
    try:
        kernel = importlib.import_module("pyro.contrib.gp.kernels").RBF
    except ImportError:
        return Trace_MMD(rbf, **options)
    sizes = {"weight": 5, "bias": 1, "noise": 1}
    return Trace_MMD({name: kernel(input_dim=size) for name, size in sizes.items()}, **options)


def rbf(x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
    squares = (x.unsqueeze(1) - (x if y is None else y)).square().sum(-1)
    return torch.exp(-0.5 * squares)


def svgd() -> Run:
    pyro.clear_param_store()
    x, y = regression_data()
    stein = SVGD(regression, RBFSteinKernel(), Adam({"lr": 0.01}), 10, 1)
    return lambda: stein.step(x, y)


def with_guide(make: Any) -> Run:
    """A driver of the regression and a guide for it."""
    pyro.clear_param_store()
    x, y = regression_data()
    guide = AutoNormal(regression)
    guide(x, y)
    run = make(guide)
    return lambda: run(x, y)


def predictive(parallel: bool) -> Run:
    pyro.clear_param_store()
    x, y = regression_data()
    guide = AutoNormal(regression)
    guide(x, y)
    predict = Predictive(regression, guide=guide, num_samples=DRAWS, parallel=parallel)
    return lambda: predict(x)


# name -> (what sets up one run, how many units one run holds)
INFERENCE: dict[str, tuple[Callable[[], Run], int]] = {
    "svi step, diagonal normal": (lambda: svi_step(auto=AutoDiagonalNormal), 1),
    "svi step, multivariate normal": (lambda: svi_step(auto=AutoMultivariateNormal), 1),
    "svi step": (svi_step, 1),
    "svi step, mean field": (lambda: svi_step(TraceMeanField_ELBO), 1),
    "svi step, AutoDelta": (lambda: svi_step(auto=AutoDelta), 1),
    "svi step, compiled": (lambda: svi_step(JitTrace_ELBO), 1),
    "svi step, hmm": (lambda: enumerated_svi_step(hmm, ["transitions", "locs"], 40), 1),
    "svi step, mixture": (
        lambda: enumerated_svi_step(mixture, ["weights", "scale", "locs"], 500),
        1,
    ),
    "svi step, compiled hmm": (
        lambda: enumerated_svi_step(hmm, ["transitions", "locs"], 40, JitTraceEnum_ELBO),
        1,
    ),
    "svi step, tmc": (lambda: svi_step(TraceTMC_ELBO), 1),
    "svi step, score function": (lambda: score_function_step(Trace_ELBO), 1),
    "svi step, graph": (lambda: score_function_step(TraceGraph_ELBO), 1),
    "svi step, renyi": (lambda: svi_step(lambda: RenyiELBO(num_particles=4)), 1),
    "svi step, tail-adaptive": (
        lambda: svi_step(lambda: TraceTailAdaptive_ELBO(10, vectorize_particles=True)),
        1,
    ),
    "svi step, mmd": (
        lambda: svi_step(lambda: discrepancy(num_particles=10, vectorize_particles=True)),
        1,
    ),
    "svi step, energy": (lambda: svi_step(lambda: EnergyDistance(num_particles=10)), 1),
    "svi step, wake-sleep": (lambda: svi_step(lambda: ReweightedWakeSleep(num_particles=4)), 1),
    "csis step": (lambda: told_step(CSIS(linear, linear_guide, Adam({"lr": 0.01})).step), 1),
    "svgd step": (svgd, 1),
    "decoding": (decoded, 1),
    "importance": (
        lambda: with_guide(lambda guide: Importance(regression, guide, num_samples=DRAWS).run),
        DRAWS,
    ),
    "smc filter": (filtered, 10),
    "weighed predictive": (
        lambda: with_guide(
            lambda guide: WeighedPredictive(regression, guide=guide, num_samples=DRAWS)
        ),
        DRAWS,
    ),
    "mh resampler": (
        lambda: with_guide(
            lambda guide: MHResampler(
                WeighedPredictive(regression, guide=guide, num_samples=DRAWS),
                source_samples_slice=slice(0, DRAWS),
                stored_samples_slice=slice(0, DRAWS),
            )
        ),
        DRAWS,
    ),
    "predictive, sequential": (lambda: predictive(False), DRAWS),
    "predictive, parallel": (lambda: predictive(True), DRAWS),
}
