"""Cost: what is shared is drawn and optimised once, so that a step takes less.

Four measurements of three species of penguins, each with a mean and a std: 24 latent values.
``equalize`` ties them by measurement, as groups of one handler: the stds, or the means as well. The
table counts the latent values, the parameters of the guide, and the steps in a second.

    python examples/cost.py
"""

import statistics
import time
from collections.abc import Callable

from _command import OneLineParser, at_least
from _groups import PENGUINS, Data, load
from _report import print_columns

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.optim import Adam

MEASUREMENTS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
Tables = list[Data]


def free(tables: Tables) -> None:
    """Every group of every table has a mean and a std of its own."""
    for data in tables:
        for name, values in data.groups.items():
            site = f"{data.column}_{name}"
            mean = pyro.sample(f"{site}_mean", dist.Normal(0.0, 1.0))
            std = pyro.sample(f"{site}_std", dist.LogNormal(0.0, 1.0))
            with pyro.plate(f"{site}_rows", len(values)):
                pyro.sample(f"{site}_values", dist.Normal(mean, std), obs=values)


stds = {f"std of {column}": f"{column}_.+_std" for column in MEASUREMENTS}
means = {f"mean of {column}": f"{column}_.+_mean" for column in MEASUREMENTS}
VARIANTS: dict[str, Callable[[Tables], None]] = {
    "free": free,
    "one std each": poutine.equalize(free, stds),
    "one mean and one std each": poutine.equalize(free, stds | means),
}


class Run:
    """A variant under way: it counts, and takes steps against the clock."""

    def __init__(self, model: Callable[[Tables], None], tables: Tables) -> None:
        pyro.clear_param_store()
        self.tables = tables
        guide = AutoNormal(model)
        self.svi = SVI(model, guide, Adam({"lr": 0.01}), Trace_ELBO())
        self.svi.step(tables)
        self.latents = len(guide(tables))
        self.parameters = sum(value.numel() for value in pyro.get_param_store().values())

    def steps_a_second(self, steps: int) -> float:
        """Take some steps, and say how many of them fit in a second."""
        start = time.perf_counter()
        for _ in range(steps):
            self.svi.step(self.tables)
        return steps / (time.perf_counter() - start)


def print_report(runs: dict[str, Run], speeds: dict[str, list[float]]) -> None:
    """Print a line a model; a speed is the median of the rounds."""
    median = {label: statistics.median(each) for label, each in speeds.items()}
    table = [["model", "latent values", "parameters", "steps a second", "against free"]]
    for label, run in runs.items():
        counts = [str(run.latents), str(run.parameters)]
        ratio = median[label] / median["free"]
        table.append([label, *counts, f"{median[label]:.0f}", f"{ratio:.2f} x"])
    print(f"\n{len(MEASUREMENTS)} measurements of penguins, by species\n")
    print_columns(table)


def main(arguments: list[str] | None = None) -> None:
    """Run the example; in turn, so that what else the machine does meets all variants alike."""
    parser = OneLineParser(description="The cost of a step, with and without shared values.")
    parser.add_argument("--steps", type=at_least(1), default=20, help="a round (default: 20)")
    parser.add_argument("--rounds", type=at_least(1), default=7, help="(default: 7)")
    options = parser.parse_args(arguments)
    tables = [load(PENGUINS, "species", column) for column in MEASUREMENTS]
    runs = {label: Run(model, tables) for label, model in VARIANTS.items()}
    speeds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(options.rounds):
        for label, run in runs.items():
            speeds[label].append(run.steps_a_second(options.steps))
    print_report(runs, speeds)


if __name__ == "__main__":
    main()
