"""Transfer: what is learnt from many rows of one group helps with few rows of another.

How heavy is a penguin of this flipper length? There are many Adelie penguins, and it is asked of a
few Chinstrap ones. On their own, the few determine a height, a slope and a noise. With transfer
they take slope and noise from the line of the Adelies, and determine the height alone:
``equalize`` ties the parameters of the two species, and ``substitute`` fixes those of the first to
what its fit found. Each is judged by the log density that it predicts for all other Chinstraps.

    python examples/transfer.py
    python examples/transfer.py --rows 10

The source is the species of most rows, the new one that of fewest. No split is chosen: the rows of
the new species are taken in the order of the file, a few at a time, and each set has its turn.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from _command import OneLineParser, at_least
from _lines import Fit, Groups, Model, Points, fit, lines, load_points
from _report import print_columns
from torch import Tensor

import pyro.distributions as dist
from pyro import poutine

tied = poutine.equalize(lines, {"slope": ".+_slope", "noise": ".+_noise"}, "param")


class Result(NamedTuple):
    """Log density of a held-out row on average, in nats, for each split of the new species."""

    source: str
    new: str
    alone: list[float]
    transferred: list[float]
    optimised: tuple[int, int] = (0, 0)  # parameters: alone, transferred


def splits(points: Points, rows: int) -> Iterator[tuple[Points, Points]]:
    """Yield the few rows to learn from and all others, for each set of consecutive rows."""
    everything = torch.arange(len(points.x))
    for start in range(0, len(points.x) - rows + 1, rows):
        few = (everything >= start) & (everything < start + rows)
        yield Points(points.x[few], points.y[few]), Points(points.x[~few], points.y[~few])


def log_density(fitted: Fit, name: str, learnt_from: Points, held_out: Points) -> Tensor:
    """The log density that a fitted line predicts for each held-out point."""
    height, slope, noise = (
        fitted.params[f"{name}_{what}"] for what in ("height", "slope", "noise")
    )
    expected = height + slope * (held_out.x - learnt_from.x.mean())
    return dist.Normal(expected, noise).log_prob(held_out.y)


def given(source: Fit) -> Model:
    """The model of both groups in which the parameters of the first are known."""
    known = {name: torch.tensor(value).double() for name, value in source.params.items()}
    return poutine.substitute(tied, known)


def compare(groups: Groups, rows: int, steps: int) -> Result:
    """Learn from each few rows of the new species, alone and with transfer."""
    by_size = sorted(groups, key=lambda name: len(groups[name].x))
    new, source = by_size[0], by_size[-1]
    with_source_known = given(fit(lines, {source: groups[source]}, steps))
    result = Result(source, new, [], [])
    for few, others in splits(groups[new], rows):
        alone = fit(lines, {new: few}, steps)
        transferred = fit(with_source_known, {source: groups[source], new: few}, steps)
        result.alone.append(log_density(alone, new, few, others).mean().item())
        result.transferred.append(log_density(transferred, new, few, others).mean().item())
    return result._replace(optimised=(alone.optimised, transferred.optimised))


def print_report(result: Result, rows: int) -> None:
    """Print how both do over all splits, and how often transfer wins."""
    print(f"\n{result.new} penguins, {rows} at a time; slope and noise from {result.source}\n")
    table = [["held-out log density a row", "parameters", "worst", "median", "best"]]
    for label, found, optimised in zip(
        ("alone", "with transfer"),
        (result.alone, result.transferred),
        result.optimised,
        strict=True,
    ):
        ordered = torch.tensor(found)
        cells = (ordered.min(), ordered.median(), ordered.max())
        table.append([label, str(optimised), *(f"{cell.item():.2f}" for cell in cells)])
    print_columns(table)
    gains = torch.tensor(result.transferred) - torch.tensor(result.alone)
    print(
        f"\nTransfer predicts better in {int((gains > 0).sum())} of {len(gains)} splits; "
        f"it gains {gains.median():+.2f} nats a row in the median, {gains.min():+.2f} in the worst."
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the example."""
    parser = OneLineParser(description="A line from few rows, with and without another's slope.")
    parser.add_argument("--rows", type=at_least(3), default=5, help="to learn from (default: 5)")
    parser.add_argument("--steps", type=at_least(1), default=200, help="(default: 200)")
    options = parser.parse_args(arguments)
    groups, _ = load_points("flipper_length_mm", "body_mass_g")
    fewest = min(len(points.x) for points in groups.values())
    if options.rows >= fewest:
        parser.error(f"--rows {options.rows}: the new species has {fewest}, and none would be left")
    print_report(compare(groups, options.rows, options.steps), options.rows)


if __name__ == "__main__":
    main()
