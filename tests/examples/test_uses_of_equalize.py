"""Parameter sharing, cost and transfer: against least squares, exact counts, all splits."""

import re
from functools import cache

import cost
import numpy as np
import parameter_sharing
import pytest
import torch
import transfer
from _command import at_least
from _lines import Fit, fit, load_points

from tests.examples import exact_lines as exact
from tests.helpers import assert_close

SPECIES = ["Adelie", "Gentoo", "Chinstrap"]
FLIPPER, MASS = "flipper_length_mm", "body_mass_g"
# An optimum missed by a hundredth of a standard error costs 0.5e-4 nats a parameter.
HUNDREDTH_OF_AN_ERROR = 0.5e-4


@cache
def points() -> dict[str, tuple[exact.Array, exact.Array]]:
    groups, _ = load_points(FLIPPER, MASS)
    return {name: (each.x.numpy(), each.y.numpy()) for name, each in groups.items()}


def log_likelihood(lines: list[exact.Line]) -> float:
    pairs = zip(lines, points().values(), strict=True)
    return float(sum(line.log_density(*pair).sum() for line, pair in pairs))


def lines_of(fitted: Fit) -> list[exact.Line]:
    return [
        exact.Line(x.mean(), *(fitted.params[f"{name}_{p}"] for p in ("height", "slope", "noise")))
        for name, (x, _) in points().items()
    ]


@cache
def fitted(label: str) -> Fit:
    return fit(parameter_sharing.VARIANTS[label], load_points(FLIPPER, MASS)[0], steps=200)


@pytest.mark.parametrize(
    ("label", "one_slope", "one_noise", "optimised"),
    [
        ("free", False, False, 9),
        ("one noise", False, True, 7),
        ("one slope and one noise", True, True, 5),
    ],
)
def test_the_tied_optimum_is_that_of_least_squares(
    label: str, one_slope: bool, one_noise: bool, optimised: int
) -> None:
    best = exact.fit(list(points().values()), one_slope, one_noise)
    found = fitted(label)
    assert found.optimised == optimised
    assert found.log_likelihood == pytest.approx(log_likelihood(lines_of(found)), rel=1e-12)
    missed = log_likelihood(best) - found.log_likelihood
    assert -1e-9 < missed < optimised * HUNDREDTH_OF_AN_ERROR
    for line, exact_line in zip(lines_of(found), best, strict=True):
        standard_error = exact_line.noise / np.sqrt(68)  # of a height, in the smallest group
        assert np.abs(np.subtract(line, exact_line)).max() < standard_error / 100


def test_shared_parameters_are_equal_and_others_are_not() -> None:
    def distinct(label: str, what: str) -> int:
        return len({fitted(label).params[f"{name}_{what}"] for name in SPECIES})

    counts = {
        label: [distinct(label, what) for what in ("height", "slope", "noise")]
        for label in parameter_sharing.VARIANTS
    }
    assert list(counts.values()) == [[3, 3, 3], [3, 3, 1], [3, 1, 1]]


def test_the_report_on_parameter_sharing(capsys: pytest.CaptureFixture[str]) -> None:
    fits = {label: fitted(label) for label in parameter_sharing.VARIANTS}
    parameter_sharing.print_report(fits, *load_points(FLIPPER, MASS))
    out = capsys.readouterr().out
    table = [re.split(r"\s{2,}", line) for line in out.splitlines()[3:7]]
    lines = exact.fit(list(points().values()), True, True)
    gram_per_mm = lines[0].slope * load_points(FLIPPER, MASS)[1]
    assert [row[0] for row in table[1:]] == list(parameter_sharing.VARIANTS)
    assert [float(cell) for cell in table[3][4:]] == [round(gram_per_mm, 1)] * 3
    criterion = 5 * np.log(342) - 2 * log_likelihood(lines)
    assert float(table[3][3]) == round(criterion, 1)
    assert out.endswith("The model of the least BIC: one slope and one noise\n")


def test_the_program_takes_other_numbers_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    parameter_sharing.main(["--steps", "2"])
    assert "342 penguins of 3 species" in capsys.readouterr().out


def test_the_counts_of_latent_values_and_parameters_are_exact(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cost.main(["--steps", "2", "--rounds", "1"])
    table = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[:3] for row in table[1:]] == [
        ["free", "24", "48"],  # a loc and a scale for each of 4 x 3 means and stds
        ["one std each", "16", "32"],
        ["one mean and one std each", "8", "16"],
    ]
    assert all(float(row[3]) > 0 and row[4].endswith(" x") for row in table[1:])


@cache
def exact_densities(rows: int) -> tuple[list[float], list[float]]:
    (source,) = exact.fit([points()["Adelie"]], False, False)
    x, y = points()["Chinstrap"]
    alone, transferred = [], []
    for start in range(0, len(x) - rows + 1, rows):
        few = np.isin(np.arange(len(x)), np.arange(start, start + rows))
        (own,) = exact.fit([(x[few], y[few])], False, False)
        given = exact.with_slope_and_noise_of(source, x[few], y[few])
        alone.append(own.log_density(x[~few], y[~few]).mean())
        transferred.append(given.log_density(x[~few], y[~few]).mean())
    return alone, transferred


@cache
def transferred_from_five_rows() -> transfer.Result:
    return transfer.compare(load_points(FLIPPER, MASS)[0], rows=5, steps=200)


def test_transfer_agrees_with_least_squares_in_every_split() -> None:
    result = transferred_from_five_rows()
    assert (result.source, result.new, result.optimised) == ("Adelie", "Chinstrap", (3, 1))
    found = torch.tensor([result.alone, result.transferred])
    # what is shown: the numbers of the report are right to their last digit
    assert_close(found, torch.tensor(exact_densities(5)), rtol=0.0, atol=0.005)


def test_transfer_beats_the_few_rows_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """In nearly every split of the file."""
    transfer.print_report(transferred_from_five_rows(), rows=5)
    alone, transferred = (np.array(each) for each in exact_densities(5))
    gains = transferred - alone
    assert (len(gains), (gains > 0).sum()) == (13, 12)
    assert (
        "Transfer predicts better in 12 of 13 splits; it gains "
        f"{np.median(gains):+.2f} nats a row in the median, {gains.min():+.2f} in the worst."
    ) in capsys.readouterr().out


def test_the_program_takes_other_numbers_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    transfer.main(["--rows", "30", "--steps", "2"])
    assert re.search(r"better in \d of 2 splits", capsys.readouterr().out)


def test_the_fewer_the_rows_the_more_transfer_gains() -> None:
    gains = [np.median(np.subtract(*reversed(exact_densities(rows)))) for rows in (5, 8, 10)]
    assert gains == sorted(gains, reverse=True) and gains[-1] > 0


def test_every_row_has_its_turn_and_is_never_held_out_from_itself() -> None:
    groups, _ = load_points(FLIPPER, MASS)
    seen = []
    for few, others in transfer.splits(groups["Chinstrap"], 5):
        assert (len(few.x), len(others.x)) == (5, 63)
        seen += few.y.tolist()
        assert sorted(few.y.tolist() + others.y.tolist()) == sorted(groups["Chinstrap"].y.tolist())
    assert seen == groups["Chinstrap"].y[:65].tolist()


def test_too_many_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        transfer.main(["--rows", "68"])
    assert "the new species has 68, and none would be left" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
def test_counts_are_read_strictly(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cost.main([f"--steps={text}"])
    assert "expected a whole number from 1 up" in capsys.readouterr().err
    assert at_least(1)("1") == 1
