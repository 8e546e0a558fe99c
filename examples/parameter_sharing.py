"""A compact model: share parameters with ``poutine.equalize(..., type="param")``.

How heavy is a penguin of this flipper length? Each species has a line of its own, with a height, a
slope and a noise: nine parameters. Two variants share the noise, or the slope and the noise, and
optimise fewer. The model is written once, for one species.

    python examples/parameter_sharing.py

The Bayesian information criterion, ``parameters * log(rows) - 2 * log likelihood``, weighs what a
parameter costs against what it explains; less is better (Schwarz 1978, doi:10.1214/aos/1176344136).
"""

import math

from _command import OneLineParser, at_least
from _lines import Fit, Groups, Model, fit, lines, load_points
from _report import print_columns

from pyro import poutine

SLOPE, NOISE = ".+_slope", ".+_noise"
VARIANTS: dict[str, Model] = {
    "free": lines,
    "one noise": poutine.equalize(lines, NOISE, "param"),
    "one slope and one noise": poutine.equalize(lines, {"slope": SLOPE, "noise": NOISE}, "param"),
}
HEADER = ["model", "parameters", "log likelihood", "BIC"]


def criterion(fitted: Fit, rows: int) -> float:
    """The Bayesian information criterion of a fit."""
    return fitted.optimised * math.log(rows) - 2 * fitted.log_likelihood


def print_report(fits: dict[str, Fit], groups: Groups, unit: float) -> None:
    """Print a line a model; the slopes in grams a millimetre."""
    rows = sum(len(points.x) for points in groups.values())
    slopes = [f"{name} (g/mm)" for name in groups]
    table = [HEADER + slopes]
    for label, fitted in fits.items():
        cells = [label, str(fitted.optimised), f"{fitted.log_likelihood:.2f}"]
        cells += [f"{criterion(fitted, rows):.1f}"]
        cells += [f"{unit * fitted.params[f'{name}_slope']:.1f}" for name in groups]
        table.append(cells)
    print(f"\nbody mass on flipper length: {rows} penguins of {len(groups)} species\n")
    print_columns(table)
    best = min(fits, key=lambda label: criterion(fits[label], rows))
    print(f"\nThe model of the least BIC: {best}")


def main(arguments: list[str] | None = None) -> None:
    """Run the example."""
    parser = OneLineParser(description="Lines that share parameters.")
    parser.add_argument("--steps", type=at_least(1), default=200, help="(default: 200)")
    options = parser.parse_args(arguments)
    groups, unit = load_points("flipper_length_mm", "body_mass_g")
    fits = {label: fit(model, groups, options.steps) for label, model in VARIANTS.items()}
    print_report(fits, groups, unit)


if __name__ == "__main__":
    main()
