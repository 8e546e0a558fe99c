"""May groups share a parameter? Ask with ``poutine.equalize``.

A model is written once, per group: a mean, a standard deviation and a shift. ``equalize`` then
ties what the groups may share, without a second model: one std, one mean and std, one shift. Each
variant is fitted by stochastic variational inference and compared with the models it restricts.

    python examples/equalize.py
    python examples/equalize.py --measurement bill_depth_mm
    python examples/equalize.py --data your.csv --group treatment --value yield

The rule. The log Bayes factor is the log evidence of the sharing model less that of the best model
that it restricts. Sharing *holds* where the data favour it at least 20 to 1, it *does not* where
they disfavour it as much, and anything between is *undecided*. What shares more holds no better
than what shares less. Twenty to one is "strong" on the scale of Kass & Raftery (1995,
doi:10.1080/01621459.1995.10476572). A Bayes factor of 20 for the wrong one of two models turns up
in at most 1 of 20 data sets of the right one (Markov's inequality), whatever the number of rows:
few rows get the answer "undecided", not a guess.

The priors are weakly informative. All values together are standardised, and a mean and a shift are
Normal(0, 1) on that scale. A std is LogNormal(0, 1) in units of the typical std of a group: 95% of
it lies between a seventh and seven times that.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _command import OneLineParser
from _figure import FORMATS, draw_figure
from _groups import PENGUINS, Data, UserError, load
from _report import Answer, print_report
from _score import Score, score
from torch import Tensor
from tqdm import trange

import pyro
import pyro.distributions as dist
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.optim import ClippedAdam

LOG_ODDS = math.log(20.0)
OUTCOMES = ("does not", "undecided", "holds")


def per_group(name: str, values: Tensor, spread: float) -> None:
    """One group: its values are normal around ``mean + shift``."""
    shift = pyro.param(f"{name}_shift", torch.tensor(0.0))
    mean = pyro.sample(f"{name}_mean", dist.Normal(0.0, 1.0))
    std = pyro.sample(f"{name}_std", dist.LogNormal(0.0, 1.0))
    with pyro.plate(f"{name}_rows", len(values)):
        pyro.sample(f"{name}_values", dist.Normal(mean + shift, spread * std), obs=values)


def free(data: Data) -> None:
    """Every group has a mean, a std and a shift of its own."""
    for name, values in data.groups.items():
        per_group(name, values, data.spread)


# The data see only mean + shift: to share one mean says nothing unless the shift is shared too.
equal_std = poutine.equalize(free, ".+_std")
equal_mean_and_std = poutine.equalize(poutine.equalize(equal_std, ".+_mean"), ".+_shift", "param")
equal_shift = poutine.equalize(free, ".+_shift", "param")


class Variant(NamedTuple):
    """A model, the models of which it is a special case, and what it asks."""

    model: Callable[[Data], None]
    restricts: tuple[str, ...] = ()
    question: str = ""


VARIANTS = {
    "free": Variant(free),
    "equal std": Variant(equal_std, ("free",), "one std"),
    "equal mean and std": Variant(
        equal_mean_and_std, ("free", "equal std"), "one mean and one std"
    ),
    "equal shift": Variant(equal_shift, ("free",), "one shift, each with a mean of its own"),
}


def fit(label: str, data: Data, steps: int, seed: int) -> Score:
    """Fit one of the variants by stochastic variational inference and score it."""
    model = VARIANTS[label].model
    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    guide = AutoNormal(model)
    elbo = Trace_ELBO(num_particles=10, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(model, guide, ClippedAdam(optimiser_options(steps)), elbo)
    losses = [svi.step(data) for _ in trange(steps, desc=f"{label:>18}")]
    return score(model, guide, data, settled=has_settled(losses))


def optimiser_options(steps: int) -> Callable[[str], dict[str, Any]]:
    """The options of the optimiser for a parameter, by its name.

    A mean and its shift slide along a ridge, where ``mean + shift`` is the same, and an optimiser
    that takes them alike stops half-way. The shift, which no prior holds back, goes first. The
    rates fall, the lower the more steps there are, and steep gradients are soon forgotten.
    """
    decay = min(1.0, 5 / steps) ** (1 / steps)

    def options(name: str) -> dict[str, Any]:
        rate = 0.3 if name.endswith("_shift") else 0.03
        return {"lr": rate, "lrd": decay, "betas": (0.9, 0.95)}

    return options


def has_settled(losses: list[float]) -> bool:
    """Whether the loss moved by less than half a nat between the last two tenths of the steps."""
    tenth = len(losses) // 10
    if tenth < 2:
        return False
    before, last = torch.tensor(losses[-2 * tenth :]).split(tenth)
    return math.isclose(before.mean(), last.mean(), rel_tol=0.0, abs_tol=0.5)


def verdict(log_bayes_factor: float) -> str:
    """What the odds say alone: "holds", "does not", or "undecided"."""
    if abs(log_bayes_factor) < LOG_ODDS:
        return "undecided"
    return "holds" if log_bayes_factor > 0 else "does not"


def answer(label: str, scores: dict[str, Score], known: dict[str, Answer]) -> Answer:
    """May the groups share what a variant shares? See the rule at the top.

    :param known: the answers for the variants that share less.
    """
    _, restricts, question = VARIANTS[label]
    log_bayes_factor = scores[label].log_evidence - max(scores[x].log_evidence for x in restricts)
    outcome = verdict(log_bayes_factor)
    reservations = []
    for name in known.keys() & set(restricts):
        if OUTCOMES.index(known[name].verdict) < OUTCOMES.index(outcome):
            outcome = known[name].verdict
            reservations.append(f"{name}: {outcome}")
    unsettled = [name for name in (label, *restricts) if not scores[name].converged]
    if unsettled:
        outcome = "undecided"
        reservations.append(f"not converged: {', '.join(unsettled)}; take more --steps")
    return Answer(question, log_bayes_factor, outcome, reservations)


def answers_to(scores: dict[str, Score]) -> dict[str, Answer]:
    """The answer for each variant that shares something."""
    answers: dict[str, Answer] = {}
    for label, variant in VARIANTS.items():
        if variant.restricts:
            answers[label] = answer(label, scores, answers)
    return answers


def parse(arguments: list[str] | None) -> tuple[OneLineParser, argparse.Namespace]:
    """Read and check the command line."""
    parser = OneLineParser(description="May the groups of a table share a parameter?")
    parser.add_argument("--data", type=Path, default=PENGUINS, help="CSV file (default: penguins)")
    parser.add_argument("--group", default="species", help="column of groups (default: species)")
    parser.add_argument(
        "--measurement",
        "--value",
        default="flipper_length_mm",
        help="column of numbers (default: flipper_length_mm)",
    )
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("equalize.png"), help="figure (default: equalize.png)"
    )
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error(f"--steps {options.steps}: at least 1 is needed")
    if not 0 <= options.seed < 2**32:
        parser.error(f"--seed {options.seed}: expected 0 to {2**32 - 1}")
    if options.out.suffix not in FORMATS:
        parser.error(f"--out {options.out}: the name must end in one of {', '.join(FORMATS)}")
    if not options.out.parent.is_dir():
        parser.error(f"--out {options.out}: there is no folder {options.out.parent}")
    return parser, options


def main(arguments: list[str] | None = None) -> None:
    """Run the example; what the user can mend ends it with status 2 and one line."""
    parser, options = parse(arguments)
    try:
        data = load(options.data, options.group, options.measurement)
        scores = {label: fit(label, data, options.steps, options.seed) for label in VARIANTS}
        answers = answers_to(scores)
        print_report(data, scores, answers)
        draw_figure(data, scores, answers, options.out)
    except UserError as error:
        parser.error(str(error))
    print(f"\nFigure: {options.out.resolve()}")


if __name__ == "__main__":
    main()
