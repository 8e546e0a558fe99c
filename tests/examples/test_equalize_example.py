"""The program: what it reads, what it refuses, what it prints and draws."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from _groups import Data, UserError, load
from _report import Answer, reason
from _score import Score
from equalize import PENGUINS, VARIANTS, answers_to, fit, has_settled, main, verdict

# One process fits many tables here, so that the owner of a group changes from run to run.
pytestmark = pytest.mark.filterwarnings("ignore:In equalize.*the owner of the group was")
THREE = ["a", "a", "a", "b", "b", "b"]


def write(path: Path, groups: list[str], values: list[str], header: str = "group,value") -> Path:
    lines = [header, *(f"{g},{v}" for g, v in zip(groups, values, strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "t.csv", THREE, ["1", "2", "3", "2", "4", "9"])


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the program ends."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    return error


def test_penguins_without_a_measurement_are_dropped_and_counted() -> None:
    data = load(PENGUINS, "species", "flipper_length_mm")
    assert {name: len(values) for name, values in data.groups.items()} == {
        "Adelie": 151,
        "Gentoo": 123,
        "Chinstrap": 68,
    }
    assert data.dropped == 2
    assert data.centre == pytest.approx(200.9152, abs=5e-5)


def test_values_are_standardised_and_the_spread_is_pooled(table: Path) -> None:
    data = load(table, "group", "value")
    everything = torch.cat(list(data.groups.values()))
    torch.testing.assert_close(everything.mean(), torch.tensor(0.0))
    torch.testing.assert_close(everything.std(), torch.tensor(1.0))
    original = data.centre + data.scale * data.groups["b"]
    torch.testing.assert_close(original, torch.tensor([2.0, 4.0, 9.0]))
    # squares about the group means 2 and 5: 2 and 26, on 6 - 2 degrees of freedom
    assert data.spread * data.scale == pytest.approx(7**0.5)


def test_spaces_a_byte_order_mark_and_every_way_to_write_na_are_read(tmp_path: Path) -> None:
    rows = ["a , 1", "a,2", "a,3", "b,1", " b,5", "b,6", "b,NA", "b,", "b,n/a", "NA,7", ",8"]
    text = "\ufeffgroup, value\n" + "\n".join(rows) + "\n\n"
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    data = load(path, "group", "value")
    assert {name: len(values) for name, values in data.groups.items()} == {"a": 3, "b": 3}
    assert data.dropped == 5


NUMBERS = ["1", "2", "3", "4", "6", "8"]


@pytest.mark.parametrize(
    ("groups", "values", "expected"),
    [
        (THREE, ["1", "2", "x", *NUMBERS[3:]], "line 4, column 'value': 'x' is not a number"),
        (THREE, ["1", "2", "inf", *NUMBERS[3:]], "line 4, column 'value': 'inf' is not finite"),
        (THREE, [*NUMBERS[:3], "NA", "", "nan"], "group 'b' is empty: every 'value' in it is NA"),
        (THREE, [*NUMBERS[:3], "1", "2", ""], "group 'b' has too few rows: 2, at least 3"),
        (THREE, [*NUMBERS[:3], "7", "7", "7.0"], "group 'b' is constant: every 'value' in it is 7"),
        (["a"] * 6, NUMBERS, "there is a single group, 'a': nothing can be shared"),
        ([], [], "has no rows"),
        (["a,b"], ["1"], "line 2: 3 cells under 2 columns"),
    ],
)
def test_data_that_cannot_be_used_are_named_in_one_line(
    groups: list[str],
    values: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "t.csv", groups, values)
    arguments = ["--data", str(path), "--group", "group", "--value", "value"]
    assert expected in refusal(arguments, capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere.csv"], "cannot read nowhere.csv: No such file or directory"),
        (["--measurement", "wing"], "penguins.csv has no column 'wing'; its columns: species, isl"),
        (["--group", "genus"], "penguins.csv has no column 'genus'; its columns: species, island"),
        (["--measurement", "sex"], "line 2, column 'sex': 'male' is not a number"),
        (["--steps", "0"], "--steps 0: at least 1 is needed"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--seed", "-1"], "--seed -1: expected 0 to 4294967295"),
        (["--out", "figure.txt"], "--out figure.txt: the name must end in one of .png, .pdf, .svg"),
        (["--out", "nowhere/f.png"], "--out nowhere/f.png: there is no folder nowhere"),
        (["--wing"], "unrecognized arguments: --wing"),
    ],
)
def test_arguments_that_cannot_be_used_are_named_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(arguments, capsys)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "has no column 'group'; its columns: none"), (b"group,value\na,\xff\n", "in UTF-8")],
)
def test_a_file_that_is_no_table_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        load(path, "group", "value")


def test_the_script_prints_its_error_without_a_traceback() -> None:
    script = Path(PENGUINS).parents[1] / "equalize.py"
    arguments = [sys.executable, str(script), "--data", "nowhere.csv"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    expected = "equalize.py: error: cannot read nowhere.csv: No such file or directory\n"
    assert ended.stderr == expected


def test_a_short_run_prints_the_table_and_writes_the_figure_but_decides_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.png"
    names = ["--data", str(table), "--group", "group", "--value", "value"]
    main([*names, "--steps", "3", "--out", str(figure)])
    out, progress = capsys.readouterr()
    assert "value: 6 rows in 2 groups (a 3, b 3), none dropped" in out
    assert f"Figure: {figure}" in out
    assert "not converged: equal std, free; take more --steps" in out
    assert "holds:" not in out.replace("verdict: holds", "")
    assert all(f"{label}: 100%" in progress for label in VARIANTS)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_group_may_have_any_name(tmp_path: Path) -> None:
    names = ["(a+", "$b$ [c]", "d_std"]
    path = write(tmp_path / "t.csv", sorted(names * 3), ["1", "2", "3", "4", "6", "9", *"579"])
    arguments = ["--data", str(path), "--group", "group", "--value", "value", "--steps", "2"]
    main([*arguments, "--out", str(tmp_path / "figure.svg")])
    assert "$b$ [c] (3)" in (tmp_path / "figure.svg").read_text(encoding="utf-8")


def test_without_matplotlib_the_table_is_printed_and_the_figure_is_refused(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    names = ["--data", str(table), "--group", "group", "--value", "value", "--steps", "1"]
    with pytest.raises(SystemExit):
        main(names)
    out, error = capsys.readouterr()
    assert "May the groups share one std?" in out
    assert error.endswith("no figure without matplotlib: pip install matplotlib\n")


@pytest.mark.parametrize(
    ("label", "sites", "shifts", "guide_params"),
    [
        ("free", 6, 3, 12),
        ("equal std", 4, 3, 8),
        ("equal mean and std", 2, 1, 4),
        ("equal shift", 6, 1, 12),
    ],
)
def test_sharing_leaves_fewer_latent_sites_and_parameters(
    label: str, sites: int, shifts: int, guide_params: int
) -> None:
    score = fit(label, load(PENGUINS, "species", "flipper_length_mm"), steps=1, seed=0)
    assert (score.latent_sites, score.shifts, score.guide_params) == (sites, shifts, guide_params)


def test_a_fit_is_reproduced_by_its_seed(table: Path) -> None:
    data: Data = load(table, "group", "value")
    first, again, other = (fit("equal std", data, steps=5, seed=s).elbo for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("losses", "settled"),
    [
        ([3.0] * 20, True),
        ([3.0] * 18 + [2.6] * 2, True),
        ([3.0] * 18 + [2.4] * 2, False),
        ([3.0] * 19, False),
        ([float("nan")] * 20, False),
    ],
)
def test_a_fit_has_settled_when_its_loss_stays(losses: list[float], settled: bool) -> None:
    assert has_settled(losses) is settled


def test_the_verdict_turns_at_twenty_to_one() -> None:
    at_odds = [(1 / 21, "does not"), (1 / 19, "undecided"), (1.0, "undecided")]
    at_odds += [(19.0, "undecided"), (21.0, "holds")]
    for odds, expected in at_odds:
        assert verdict(torch.tensor(odds).log().item()) == expected


def scores_of(converged: bool = True, **log_evidence: float) -> dict[str, Score]:
    nothing = torch.zeros(1)
    return {
        label.replace("_", " "): Score(0, 0, 0, 0.0, 0.0, value, nothing, {}, converged)
        for label, value in log_evidence.items()
    }


@pytest.mark.parametrize(
    ("equal_std", "equal_mean_and_std", "expected"),
    [
        (4.0, 8.0, ("holds", "holds")),
        (4.0, 6.0, ("holds", "undecided")),
        (4.0, 0.0, ("holds", "does not")),
        (-1.0, 4.0, ("undecided", "undecided")),
        (-4.0, 4.0, ("does not", "does not")),
    ],
)
def test_what_shares_more_holds_no_better_than_what_shares_less(
    equal_std: float, equal_mean_and_std: float, expected: tuple[str, str]
) -> None:
    scores = scores_of(
        free=0.0, equal_std=equal_std, equal_mean_and_std=equal_mean_and_std, equal_shift=0.0
    )
    answers = answers_to(scores)
    assert (answers["equal std"].verdict, answers["equal mean and std"].verdict) == expected


def test_a_fit_that_has_not_converged_decides_nothing() -> None:
    scores = scores_of(False, free=0.0, equal_std=9.0, equal_mean_and_std=18.0, equal_shift=-9.0)
    assert {answer.verdict for answer in answers_to(scores).values()} == {"undecided"}


@pytest.mark.parametrize(
    ("log_bayes_factor", "reservations", "expected"),
    [
        (1.6094, [], "the evidence is 5 to 1 for it"),
        (-300.0, [], "the evidence is over 100 to 1 against it"),
        (4.0, ["equal std: undecided"], "the evidence is 55 to 1 for it; but equal std: undecided"),
    ],
)
def test_the_reason_states_the_odds_and_what_speaks_against_them(
    log_bayes_factor: float, reservations: list[str], expected: str
) -> None:
    assert reason(Answer("", log_bayes_factor, "", reservations)) == expected
