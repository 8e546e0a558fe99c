"""Runs ``bench.py`` on this package and on a released Pyro, interleaved, and prints the ratios.

    python perf/compare.py --peer build/peer [--rounds 9] [--only trace]

Each round asks one worker process after the other for each measurement, so that whatever else
the machine does meets both alike; for the same reason it is CPU time that counts. A line shows the
round whose ratio is the median. A difference between two runs, such as the cost over the raw draw,
is of runs that took turns; where a row divides by another, both columns are that pure number.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = (
    "import time; {}; start = time.process_time(); import pyro; print(time.process_time() - start)"
)

SERVE = f"import sys; sys.path.append({str(ROOT)!r}); from perf.bench import serve; serve()"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param label: what is shown.
    :param bench: the measurement in ``bench.py``.
    :param minus: a measurement to subtract, which leaves the overhead.
    :param per: a measurement to divide by, which leaves a pure number.
    :param theirs: the measurement of the other Pyro, where it is another one.
    :param target: greatest ratio of our number to theirs.
    :param target_us: greatest number of ours, in microseconds.
    :param target_per: greatest ratio of ours to what it is divided by.
    """

    label: str
    bench: str
    minus: str = ""
    per: str = ""
    theirs: str = ""
    target: float | None = None
    target_us: float | None = None
    target_per: float | None = None


def _over_raw_draw(bench: str, raw: str = "raw draw") -> Row:
    return Row(f"{bench}: over the raw draw", bench, minus=raw, target=0.5)


def _over_trace(bench: str) -> Row:
    return Row(f"{bench}: over trace", bench, minus="trace, observed", target_us=0.3)


ROWS = [
    Row("import pyro, all told", "import"),
    Row("import pyro, after torch", "import after torch", target=1.0),
    Row("raw draw, a site", "raw draw"),
    Row("raw draw in 3 plates, a site", "raw draw in 3 plates"),
    Row("bare, a site", "bare"),
    Row("trace, a site", "trace"),
    _over_raw_draw("trace"),
    _over_raw_draw("dense trace, its edges"),
    Row("trace + replay, a site (none is drawn)", "trace + replay", target=0.5),
    Row("trace + condition, a site (none is drawn)", "trace + condition", target=0.5),
    _over_raw_draw("trace + block"),
    Row("trace + log_prob_sum, a site", "trace + log_prob_sum"),
    _over_raw_draw("trace + log_prob_sum"),
    Row("trace, 10 handlers, a site (none is drawn)", "trace, 10 handlers", target=0.5),
    Row("bare, 10 scales", "bare, 10 scales"),
    Row("trace, 10 scales", "trace, 10 scales"),
    Row("trace + replay, 10 scales", "trace + replay, 10 scales"),
    Row("trace + log_prob_sum, 10 scales", "trace + log_prob_sum, 10 scales"),
    _over_trace("equalize, no match"),
    _over_trace("equalize, 1000 patterns"),
    Row("equalize, all match, a site", "equalize, all match"),
    Row("plate with one site", "plate", target=0.45),
    _over_raw_draw("trace, 3 plates", "raw draw in 3 plates"),
    _over_raw_draw("trace, 3 plates of one site", "raw draw in 3 plates"),
    _over_raw_draw("PyroModule"),
    Row(
        "trace, a site of 10 000 / of 100, observed",
        "trace, 10 000 observed",
        per="trace, observed",
        target_per=1.2,
    ),
    Row("SVI step", "svi step", target=0.5),
    Row("SVI step, AutoDiagonalNormal", "svi step, diagonal normal", target=0.6),
    Row("SVI step, AutoMultivariateNormal", "svi step, multivariate normal", target=0.7),
    Row("SVI step, TraceMeanField_ELBO", "svi step, mean field", target=1.0),
    Row("SVI step, AutoDelta", "svi step, AutoDelta", target=1.0),
    Row("SVI step, compiled / theirs, eager", "svi step, compiled", theirs="svi step", target=0.15),
    Row("SVI step, compiled / theirs, compiled", "svi step, compiled", target=1.0),
    Row("SVI step, HMM of 40 steps and 8 states", "svi step, hmm", target=0.4),
    Row("SVI step, mixture of 500 points", "svi step, mixture", target=0.5),
    Row(
        "SVI step, HMM, compiled / theirs, eager",
        "svi step, compiled hmm",
        theirs="svi step, hmm",
        target=0.15,
    ),
    Row("SVI step, TraceTMC_ELBO", "svi step, tmc", target=1.0),
    Row("SVI step, score functions of 10 coins", "svi step, score function", target=1.0),
    Row("SVI step, TraceGraph_ELBO of 10 coins", "svi step, graph", target=1.0),
    Row("SVI step, RenyiELBO", "svi step, renyi", target=1.0),
    Row("SVI step, TraceTailAdaptive_ELBO", "svi step, tail-adaptive", target=1.0),
    Row("SVI step, Trace_MMD", "svi step, mmd", target=1.0),
    Row("SVI step, EnergyDistance", "svi step, energy", target=1.0),
    Row("SVI step, ReweightedWakeSleep", "svi step, wake-sleep", target=1.0),
    Row("CSIS step", "csis step", target=1.0),
    Row("SVGD step", "svgd step", target=1.0),
    Row("infer_discrete, HMM of 40 steps and 8 states", "decoding", target=1.0),
    Row("Importance, a run", "importance", target=1.0),
    Row("SMCFilter, a step of 100 particles", "smc filter", target=1.0),
    Row("WeighedPredictive, sequential, a draw", "weighed predictive", target=1.0),
    Row("MHResampler, a draw", "mh resampler", target=1.0),
    Row("Predictive, sequential, a draw", "predictive, sequential", target=0.4),
    Row("Predictive, parallel, a draw", "predictive, parallel", target=1.0),
    *(
        Row(f"law {law}: {task}", f"law {law}: {task}", target=1.0)
        for law in json.loads((ROOT / "perf" / "laws.json").read_text())
        for task in ("construction", "expand", "draw", "log_prob")
    ),
]
MEDIAN_OF_LAWS = 0.7  # greatest median of the ratios of what is timed of laws
WIDTH = 2 + max(len(row.label) for row in ROWS)
IMPORTS = {"import": "pass", "import after torch": "import torch, torch.distributions"}


class Worker:
    """A process that serves the measurements of one Pyro."""

    def __init__(self, label: str, path: Path) -> None:
        self.label = label
        self.path = path
        self.environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
        # Both run from bytecode, as a user's second import does.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            cwd=path,  # `python -c` looks there first
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.version, _, source = self._answer().partition(" ")
        if not Path(source).resolve().is_relative_to(path.resolve()):
            raise SystemExit(f"{label}: timed {source}, expected a package under {path}")

    def seconds(self, row: Row, validation: bool) -> float:
        if row.bench in IMPORTS:
            return self._import_seconds(IMPORTS[row.bench])
        assert self.process.stdin is not None
        bench = row.theirs if row.theirs and self.label == "theirs" else row.bench
        self.process.stdin.write(f"{bench}|{row.minus}|{row.per}|{int(validation)}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.label}: the benchmark failed, see above")
        return line.strip()

    def _import_seconds(self, before: str) -> float:
        command = [sys.executable, "-W", "ignore", "-c", IMPORT.format(before)]
        done = subprocess.run(
            command,
            cwd=self.path,  # `python -c` looks there first
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return float(done.stdout)


def measure(
    workers: Sequence[Worker], rows: Sequence[Row], rounds: int, validation: bool
) -> dict[str, tuple[float, float]]:
    """Ours and theirs of each row, from the round whose ratio is the median."""
    ours, theirs = workers
    times: dict[str, list[tuple[float, float]]] = {row.label: [] for row in rows}
    for round in range(rounds):
        for row in rows:
            order = (theirs, ours) if round % 2 else (ours, theirs)
            seconds = {worker.label: worker.seconds(row, validation) for worker in order}
            times[row.label].append((seconds[ours.label], seconds[theirs.label]))
    return {label: median_pair(pairs) for label, pairs in times.items()}


def median_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The pair whose ratio is the median: the two were measured one right after the other."""

    def ratio(pair: tuple[float, float]) -> float:
        return pair[0] / pair[1] if pair[1] > 0 else math.inf

    return sorted(pairs, key=ratio)[len(pairs) // 2]


def verdict(row: Row, ours: float, theirs: float) -> str:
    """What the row's target says, such as ``<= 0.50 x  met``; empty where there is none."""
    if row.target is not None:
        bound, met = f"{row.target:.2f} x ", ours <= row.target * theirs
    elif row.target_us is not None:
        bound, met = f"{row.target_us:.2f} us", ours * 1e6 <= row.target_us
    elif row.target_per is not None:
        bound, met = f"{row.target_per:.2f}   ", ours <= row.target_per
    else:
        return ""
    return f"<= {bound} {'met' if met else 'MISSED'}"


def print_table(rows: Sequence[Row], medians: Mapping[str, tuple[float, float]]) -> None:
    print(f"{'':{WIDTH}}{'ours, us':>12}{'theirs, us':>12}{'ratio':>8}  target")
    met: list[str] = []
    missed: list[str] = []
    for row in rows:
        ours, theirs = medians[row.label]
        said = verdict(row, ours, theirs)
        if said:
            (missed if said.endswith("MISSED") else met).append(row.label)
        ratio = f"{ours / theirs:8.2f}" if ours > 0 and theirs > 0 else f"{'-':>8}"
        unit = 1.0 if row.per else 1e6
        line = f"{row.label:{WIDTH}}{ours * unit:12.2f}{theirs * unit:12.2f}{ratio}  {said}"
        print(line.rstrip())
    ratios = [
        ours / theirs for label, (ours, theirs) in medians.items() if label.startswith("law ")
    ]
    if ratios:
        median = statistics.median(ratios)
        said = "met" if median <= MEDIAN_OF_LAWS else "MISSED"
        print(
            f"{'median of the laws':{WIDTH + 24}}{median:8.2f}  <= {MEDIAN_OF_LAWS:.2f} x  {said}"
        )
        (met if said == "met" else missed).append("median of the laws")
    summary = f"{len(met)} of {len(met) + len(missed)} targets met"
    print("; missed: ".join([summary, ", ".join(missed)]) if missed else summary)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time this package beside a released Pyro.")
    parser.add_argument("--peer", type=Path, required=True, help="folder that holds the other pyro")
    parser.add_argument("--ours", type=Path, default=ROOT, help="folder that holds this pyro")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.only in row.bench]
    workers = [Worker("ours", arguments.ours.resolve()), Worker("theirs", arguments.peer.resolve())]
    for validation in (True, False):
        if not validation:  # an import knows nothing of it
            rows = [row for row in rows if row.bench not in IMPORTS]
        medians = measure(workers, rows, arguments.rounds, validation)
        versions = " beside ".join(worker.version for worker in workers)
        print(f"\n{versions}, one thread, validation {'on' if validation else 'off'}")
        print_table(rows, medians)
    for worker in workers:
        worker.close()


if __name__ == "__main__":
    main()
