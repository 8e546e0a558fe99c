"""Prints the table of fitted models and the answers."""

import math
from itertools import zip_longest
from typing import NamedTuple

from _bartlett import bartlett
from _groups import Data
from _score import Score, total_and_error

HEADER = [
    ["", "latent", "optimised", "", "", "elpd vs", "", ""],
    ["model", "sites", "parameters", "ELBO", "elpd (SE)", "free (SE)", "log BF", "verdict"],
]
LEGEND = """
optimised parameters: of the model + of its guide; ELBO, elpd, log BF: in nats, values standardised
elpd: expected log predictive density of new rows like these (WAIC), and its standard error
log BF: log evidence, shifts integrated out, less that of the best model that it restricts
verdict: holds if log BF > log 20 = 3 (20 to 1 for sharing), does not if < -3, else undecided
"""


class Answer(NamedTuple):
    """Whether a parameter may be shared, and what speaks against what the odds say alone."""

    question: str
    log_bayes_factor: float
    verdict: str
    reservations: list[str]


def print_report(data: Data, scores: dict[str, Score], answers: dict[str, Answer]) -> None:
    """Print what was read, the table, its legend and the answers.

    :param scores: the score of each model, the free one first.
    :param answers: for each model that shares something.
    """
    sizes = ", ".join(f"{name} {len(values)}" for name, values in data.groups.items())
    rows = sum(map(len, data.groups.values()))
    dropped = f"{data.dropped} dropped as NA" if data.dropped else "none dropped"
    print(f"\n{data.column}: {rows} rows in {len(data.groups)} groups ({sizes}), {dropped}\n")
    print_columns(HEADER + [table_line(label, scores, answers) for label in scores])
    print(LEGEND)
    for answer in answers.values():
        print(f"May the groups share {answer.question}? {answer.verdict}: {reason(answer)}")
    p_value = bartlett(list(data.groups.values()))
    print(f"For comparison, Bartlett's test that the groups have one std: p = {p_value:.2g}")


def table_line(label: str, scores: dict[str, Score], answers: dict[str, Answer]) -> list[str]:
    """The cells of one model; its elpd is compared with that of the free one row by row."""
    score = scores[label]
    cells = [label, str(score.latent_sites), f"{score.shifts} + {score.guide_params}"]
    cells += [f"{score.elbo:.1f}", "{:.1f} ({:.1f})".format(*total_and_error(score.elpd))]
    if label in answers:
        gain = total_and_error(score.elpd - scores["free"].elpd)
        cells += ["{:+.1f} ({:.1f})".format(*gain), f"{answers[label].log_bayes_factor:+.1f}"]
        cells.append(answers[label].verdict)
    return cells


def print_columns(lines: list[list[str]]) -> None:
    """Print lines of cells, the first column flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    for label, *cells in lines:
        aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=False))
        print("  ".join([f"{label:{widths[0]}}", *aligned]).rstrip())


def reason(answer: Answer) -> str:
    """Why the verdict is what it is."""
    size = abs(answer.log_bayes_factor)
    odds = f"{math.exp(size):.2g}" if size < math.log(99.5) else "over 100"
    side = "for" if answer.log_bayes_factor > 0 else "against"
    return "; but ".join([f"the evidence is {odds} to 1 {side} it", *answer.reservations])
