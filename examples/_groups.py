"""Reads the groups of a CSV file and puts them on a common scale.

Everything that can be wrong with a file is a :class:`UserError`: one line that says what and where.
"""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

PENGUINS = Path(__file__).parent / "data" / "penguins.csv"
NOT_AVAILABLE = {"", "na", "n/a", "nan", "null", "none"}
FEWEST_ROWS = 3


class UserError(Exception):
    """Something that the person at the keyboard can mend."""


class Data(NamedTuple):
    """Groups of standardised values: ``value in the file = centre + scale * value``.

    ``spread`` is the pooled standard deviation within the groups, on the standardised scale.
    """

    column: str
    groups: dict[str, Tensor]
    centre: float
    scale: float
    spread: float
    dropped: int


def load(path: Path, group_column: str, value_column: str) -> Data:
    """Read, check and standardise one column of a CSV file.

    :param path: a comma-separated file with a header line.
    :param group_column: the column that says which group a row belongs to.
    :param value_column: the column of numbers.
    :raises UserError: if the file, a column or a group cannot be used.
    """
    rows, dropped = _read_rows(path, group_column, value_column)
    groups: dict[str, list[float]] = {}
    for name, value in rows:
        members = groups.setdefault(name, [])
        if value is not None:
            members.append(value)
    _check_groups(groups, path.name, value_column)
    return _standardised(value_column, groups, dropped)


def _read_rows(
    path: Path, group_column: str, value_column: str
) -> tuple[list[tuple[str, float | None]], int]:
    """The (group, value) of each row, the value None where it is not available; rows with NA."""
    rows: list[tuple[str, float | None]] = []
    dropped = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            header = [name.strip() for name in next(reader, [])]
            group_at, value_at = (_position(c, header, path) for c in (group_column, value_column))
            for cells in filter(None, reader):
                where = f"{path.name}, line {reader.line_num}"
                if len(cells) != len(header):
                    raise UserError(f"{where}: {len(cells)} cells under {len(header)} columns")
                group = " ".join(cells[group_at].split())
                value = _number(cells[value_at], f"{where}, column {value_column!r}")
                dropped += value is None or _is_missing(group)
                if not _is_missing(group):
                    rows.append((group, value))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    return rows, dropped


def _position(column: str, header: list[str], path: Path) -> int:
    if column not in header:
        known = ", ".join(header) or "none: the file is empty"
        raise UserError(f"{path.name} has no column {column!r}; its columns: {known}")
    return header.index(column)


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in NOT_AVAILABLE


def _number(cell: str, where: str) -> float | None:
    if _is_missing(cell):
        return None
    try:
        value = float(cell)
    except ValueError:
        raise UserError(f"{where}: {cell!r} is not a number") from None
    if not math.isfinite(value):
        raise UserError(f"{where}: {cell!r} is not finite")
    return value


def _check_groups(groups: dict[str, list[float]], file: str, column: str) -> None:
    if not groups:
        raise UserError(f"{file} has no rows")
    for name, values in groups.items():
        if not values:
            raise UserError(f"group {name!r} is empty: every {column!r} in it is NA")
        if len(values) < FEWEST_ROWS:
            raise UserError(
                f"group {name!r} has too few rows: {len(values)}, at least {FEWEST_ROWS} are needed"
            )
        if len(set(values)) == 1:
            raise UserError(f"group {name!r} is constant: every {column!r} in it is {values[0]:g}")
    if len(groups) == 1:
        raise UserError(f"there is a single group, {next(iter(groups))!r}: nothing can be shared")


def _standardised(column: str, groups: dict[str, list[float]], dropped: int) -> Data:
    values = {name: torch.tensor(group, dtype=torch.float64) for name, group in groups.items()}
    everything = torch.cat(list(values.values()))
    centre, scale = everything.mean(), everything.std()
    scaled = {name: (group - centre) / scale for name, group in values.items()}
    squares = sum(((group - group.mean()) ** 2).sum().item() for group in scaled.values())
    spread = math.sqrt(squares / (len(everything) - len(scaled)))
    single = {name: group.float() for name, group in scaled.items()}
    return Data(column, single, centre.item(), scale.item(), spread, dropped)
