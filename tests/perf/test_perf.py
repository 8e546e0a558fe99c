"""The benchmarks run, and the table says what was met."""

import pytest

import pyro
from perf.bench import BENCHES, median_seconds
from perf.compare import IMPORTS, ROWS, Row, print_table, verdict


@pytest.mark.parametrize("name", BENCHES)
def test_each_benchmark_runs(name: str) -> None:
    setup, units = BENCHES[name]
    with pyro.validation_enabled(False):  # where a pattern that matches nothing draws no warning
        setup()()
    assert units > 0


def test_each_row_names_benchmarks() -> None:
    named = {name for row in ROWS for name in (row.bench, row.minus) if name}
    assert named - set(IMPORTS) == set(BENCHES)
    assert len({row.label for row in ROWS}) == len(ROWS)


def test_a_difference_takes_off_what_the_other_run_costs(
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


def test_verdicts_follow_the_targets() -> None:
    assert verdict(Row("r", "b"), 1.0, 1.0) == ""
    assert verdict(Row("r", "b", target=0.5), 0.5, 1.0).endswith("met")
    assert verdict(Row("r", "b", target=0.5), 0.51, 1.0).endswith("MISSED")
    assert verdict(Row("r", "b", target_us=0.3), 0.2e-6, 1.0).endswith("met")
    assert verdict(Row("r", "b", target_us=0.3), 0.4e-6, 1.0).endswith("MISSED")


def test_the_table_shows_microseconds_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Row("trace", "trace", target=0.5)], {"trace": [2e-6, 8e-6]})
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "trace", "2.00", "8.00", "0.25", "<=", "0.50", "x", "met",
    ]  # fmt: skip
