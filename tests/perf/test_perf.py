"""The benchmarks run, and the table says what was met."""

import pytest

import pyro
from perf.bench import BENCHES, median_seconds, ratio
from perf.compare import IMPORTS, ROWS, Row, median_pair, print_table, verdict

SLOW = {"svi step, compiled hmm"}  # to compile takes long


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in BENCHES],
)
def test_each_benchmark_runs(name: str) -> None:
    setup, units = BENCHES[name]
    with pyro.validation_enabled(False):  # where a pattern that matches nothing draws no warning
        setup()()
    assert units > 0


def test_each_row_names_benchmarks() -> None:
    named = {name for row in ROWS for name in (row.bench, row.minus, row.per) if name}
    assert named - set(IMPORTS) == set(BENCHES)
    assert len({row.label for row in ROWS}) == len(ROWS)


def test_differences_and_ratios_are_to_what_the_other_run_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that only the runs themselves move."""
    clock = [0.0]

    def work() -> None:
        clock[0] += 0.25

    def twice() -> None:
        work()
        work()

    monkeypatch.setattr("time.process_time", lambda: clock[0])
    assert median_seconds(work, None) == 0.25
    assert median_seconds(twice, work) == 0.25
    assert ratio(twice, work) == 2.0


def test_verdicts_follow_the_targets() -> None:
    assert verdict(Row("r", "b"), 1.0, 1.0) == ""
    assert verdict(Row("r", "b", target=0.5), 0.5, 1.0).endswith("met")
    assert verdict(Row("r", "b", target=0.5), 0.51, 1.0).endswith("MISSED")
    assert verdict(Row("r", "b", target_us=0.3), 0.2e-6, 1.0).endswith("met")
    assert verdict(Row("r", "b", target_us=0.3), 0.4e-6, 1.0).endswith("MISSED")
    assert verdict(Row("r", "b", per="c", target_per=1.2), 1.2, 9.0).endswith("met")
    assert verdict(Row("r", "b", per="c", target_per=1.2), 1.3, 9.0).endswith("MISSED")


def test_a_line_shows_the_round_of_the_median_ratio() -> None:
    slow, fast, odd = (2.0, 8.0), (1.0, 4.1), (3.0, 4.0)
    assert median_pair([slow, odd, fast]) == slow
    assert median_pair([slow, (1.0, -0.1), (1.0, 0.0)]) == (1.0, -0.1)


def test_the_table_shows_microseconds_ratios_and_verdicts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        Row("trace", "trace", target=0.5),
        Row("plain", "bare"),
        Row("growth", "many", per="few", target_per=1.2),
    ]
    print_table(rows, {"trace": (2e-6, 8e-6), "plain": (1e-6, 1e-6), "growth": (1.5, 1.0)})
    _, *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["trace", "2.00", "8.00", "0.25", "<=", "0.50", "x", "met"],
        ["plain", "1.00", "1.00", "1.00"],
        ["growth", "1.50", "1.00", "1.50", "<=", "1.20", "MISSED"],
    ]
    assert last == "1 of 2 targets met; missed: growth"
