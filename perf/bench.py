"""Times the importable ``pyro``; a server for ``compare.py``.

Reads lines ``NAME|MINUS|PER|VALIDATION`` (``trace|raw draw||1``) from standard input and answers
each with the median CPU seconds of one unit, less those of another measurement where one is named,
or with the ratio to those of another. Uses public names only, so that it runs on any Pyro of this
interface.
"""

from __future__ import annotations

import functools
import gc
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import pyro
import pyro.distributions as dist
from perf.inference import INFERENCE
from pyro import poutine
from pyro.nn import PyroModule, PyroSample

# The most used laws, each with the parameters that it gets: lists become tensors.
LAWS: dict[str, tuple[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "laws.json").read_text()
)
LAW_TASKS = ("construction", "expand", "draw", "log_prob")
LAW_REPEATS = 20
SITES = 100
MANY = 10_000
MODULE_SAMPLES = 20
NAMES = [f"x{i}" for i in range(SITES)]
MANY_NAMES = [f"x{i}" for i in range(MANY)]
NORMAL = dist.Normal(torch.tensor(0.0), torch.tensor(1.0))
HALF = torch.tensor(0.5)
SIZES = (4, 3, 2)
Run = Callable[[], Any]
Wrap = Callable[[Run], Run]


def scalar_sites() -> None:
    for name in NAMES:
        pyro.sample(name, NORMAL)


def observed_sites(names: list[str]) -> Run:
    """A model that draws nothing, so that the cost of its sites stands alone."""

    def model() -> None:
        for name in names:
            pyro.sample(name, NORMAL, obs=HALF)

    return model


def raw_draws() -> None:
    for _ in NAMES:
        NORMAL()


def raw_draws_in_plates() -> None:
    for _ in NAMES:
        NORMAL.expand(SIZES)()


def plates_of_one_site() -> None:
    for name in NAMES:
        with pyro.plate(f"plate_{name}", 10):
            pyro.sample(name, NORMAL)


def nested_plates(names: list[str]) -> None:
    with pyro.plate("c", SIZES[2]), pyro.plate("b", SIZES[1]), pyro.plate("a", SIZES[0]):
        for name in names:
            pyro.sample(name, NORMAL)


def nests_of_one_site() -> None:
    for name in NAMES:
        with pyro.plate(f"c_{name}", SIZES[2]), pyro.plate(f"b_{name}", SIZES[1]):
            with pyro.plate(f"a_{name}", SIZES[0]):
                pyro.sample(name, NORMAL)


class Weights(PyroModule):
    """A module with many random attributes and nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self.names = NAMES[:MODULE_SAMPLES]
        for name in self.names:
            setattr(self, name, PyroSample(NORMAL))

    def forward(self) -> None:
        for name in self.names:
            getattr(self, name)


def under_ten_scales(model: Run) -> Run:
    for _ in range(10):
        model = poutine.scale(model, scale=0.5)
    return model


def traced(model: Run) -> Run:
    return poutine.trace(model).get_trace


def edges_of(model: Run) -> Run:
    get_trace = poutine.trace(model, graph_type="dense").get_trace
    return lambda: list(get_trace().edges)


def replayed(model: Run) -> Run:
    return poutine.replay(model, trace=traced(model)())


def conditioned(model: Run) -> Run:
    return poutine.condition(model, data=dict.fromkeys(NAMES, HALF))


# One handler each, all of which the released Pyro has too; another is timed by adding a line.
HANDLERS: dict[str, Wrap] = {
    "block": lambda model: poutine.block(model, hide=["y"]),
    "broadcast": lambda model: poutine.broadcast(model),
    "condition": lambda model: poutine.condition(model, data={"y": HALF}),
    "equalize": lambda model: poutine.equalize(model, ["y.*"]),
    "infer_config": lambda model: poutine.infer_config(model, config_fn=lambda site: {"hint": 1}),
    "mask": lambda model: poutine.mask(model, mask=True),
    "replay": replayed,
    "scale": lambda model: poutine.scale(model, scale=0.5),
    "seed": lambda model: poutine.seed(model, rng_seed=0),
    "substitute": lambda model: poutine.substitute(model, data={}),
}


def under_every_handler(model: Run) -> Run:
    for wrap in HANDLERS.values():
        model = wrap(model)
    return model


def scored(model: Run) -> Run:
    get_trace = traced(model)
    return lambda: get_trace().log_prob_sum()


def equalized(model: Run, sites: list[str]) -> Run:
    return traced(poutine.equalize(model, sites))


def modules_of_many_samples() -> Run:
    get_trace = traced(Weights())

    def run() -> None:
        for _ in range(SITES // MODULE_SAMPLES):
            get_trace()

    return run


def of_a_law(shown: str, task: str) -> Run:
    """Do one thing to a law, some times over."""
    name, given = LAWS[shown]
    maker = getattr(dist, name)
    held = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in given.items()}
    law = maker(**held)
    value = law.sample()
    shape = torch.Size([5]) + law.batch_shape
    once: Run = {
        "construction": lambda: maker(**held),
        "expand": lambda: law.expand(shape),
        "draw": law,
        "log_prob": lambda: law.log_prob(value),
    }[task]

    def run() -> None:
        for _ in range(LAW_REPEATS):
            once()

    return run


# name -> (what sets up one run, how many units one run holds)
BENCHES: dict[str, tuple[Callable[[], Run], int]] = {
    "raw draw": (lambda: raw_draws, SITES),
    "raw draw in 3 plates": (lambda: raw_draws_in_plates, SITES),
    "bare": (lambda: scalar_sites, SITES),
    "trace": (lambda: traced(scalar_sites), SITES),
    "trace, observed": (lambda: traced(observed_sites(NAMES)), SITES),
    "trace, 10 000 observed": (lambda: traced(observed_sites(MANY_NAMES)), MANY),
    "dense trace, its edges": (lambda: edges_of(scalar_sites), SITES),
    "trace + replay": (lambda: traced(replayed(scalar_sites)), SITES),
    "trace + condition": (lambda: traced(conditioned(scalar_sites)), SITES),
    "trace + block": (lambda: traced(HANDLERS["block"](scalar_sites)), SITES),
    "trace + log_prob_sum": (lambda: scored(scalar_sites), SITES),
    "trace, 10 handlers": (lambda: traced(under_every_handler(scalar_sites)), SITES),
    "bare, 10 scales": (lambda: under_ten_scales(scalar_sites), SITES),
    "trace, 10 scales": (lambda: traced(under_ten_scales(scalar_sites)), SITES),
    "trace + replay, 10 scales": (lambda: traced(replayed(under_ten_scales(scalar_sites))), SITES),
    "trace + log_prob_sum, 10 scales": (lambda: scored(under_ten_scales(scalar_sites)), SITES),
    "equalize, no match": (lambda: equalized(observed_sites(NAMES), ["y.*"]), SITES),
    "equalize, 1000 patterns": (
        lambda: equalized(observed_sites(NAMES), [f"y{i}_.*" for i in range(1000)]),
        SITES,
    ),
    "equalize, all match": (lambda: equalized(scalar_sites, ["x.*"]), SITES),
    "plate": (lambda: plates_of_one_site, SITES),
    "trace, 3 plates": (lambda: traced(lambda: nested_plates(NAMES)), SITES),
    "trace, 3 plates of one site": (lambda: traced(nests_of_one_site), SITES),
    "PyroModule": (modules_of_many_samples, SITES),
    **INFERENCE,
    **{
        f"law {law}: {task}": (functools.partial(of_a_law, law, task), LAW_REPEATS)
        for law in LAWS
        for task in LAW_TASKS
    },
}


def cpu_seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(run: Run, other: Run, at_least: float) -> tuple[list[float], list[float]]:
    """CPU times of two runs that take turns, so that both meet the same machine.

    :param at_least: how many seconds of the first to collect, after one of each in vain.
    """
    run()
    other()
    gc.collect()
    gc.disable()
    times: list[float] = []
    others: list[float] = []
    try:
        while sum(times) < at_least:
            others.append(cpu_seconds(other))
            times.append(cpu_seconds(run))
    finally:
        gc.enable()
    return times, others


def median_seconds(run: Run, minus: Run | None = None) -> float:
    """Median CPU time of one run over many, less that of another."""
    if minus is None:
        return statistics.median(interleaved(run, lambda: None, 0.05)[0])
    times, less = interleaved(run, minus, 0.2)
    return statistics.median(one - other for one, other in zip(times, less, strict=True))


def ratio(run: Run, per: Run) -> float:
    """CPU time of one run over that of another, each at its fastest."""
    times, others = interleaved(run, per, 0.4)
    return min(times) / min(others)


def measure(name: str, minus: str = "", per: str = "") -> float:
    """Seconds of one unit, less those of another, or the ratio to those of another."""
    setup, units = BENCHES[name]
    if per:
        setup_other, other_units = BENCHES[per]
        return ratio(setup(), setup_other()) * other_units / units
    return median_seconds(setup(), BENCHES[minus][0]() if minus else None) / units


def serve() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(pyro.__version__, pyro.__file__, flush=True)
    for line in sys.stdin:
        name, minus, per, validation = line.rstrip("\n").split("|")
        with pyro.validation_enabled(validation == "1"):
            pyro.set_rng_seed(0)
            answer = measure(name, minus, per)
        print(answer, flush=True)
