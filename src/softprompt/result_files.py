"""Files of records read back through the models of results.py, so that a file of another version is refused."""

import math
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pandas as pd
from pydantic import ValidationError

from softprompt.errors import UserError, listed, reason_of
from softprompt.files import sha256_of_file, write_csv
from softprompt.records import Record, SealedRecord, write_record
from softprompt.results import Cell, Cost, TrainResult

UNKNOWN: dict[str, Any] = {"train_seconds": math.nan, "peak_memory_bytes": 0}
PREFIXES = {"cost": "", "search_cost": "search_"}  # of UNKNOWN's among the fields of Timing
FAILURES = "failures.csv"  # of a backbone's evaluation
WRITTEN = "files.json"


class WrittenFiles(SealedRecord):
    """The digests of all other files of a folder: WRITTEN."""

    digests: dict[str, str]


def seal_folder(folder: Path) -> None:
    """Record what the files of a folder are; to be called last."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != WRITTEN)
    write_record(folder / WRITTEN, WrittenFiles(digests={path.name: sha256_of_file(path) for path in files}))


def refuse_changed(folder: Path) -> None:
    """Raises UserError where a file of a sealed folder is missing or was changed. One that is not there is whole."""
    if not folder.is_dir():
        return
    try:
        written = WrittenFiles.read(folder / WRITTEN).digests
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / WRITTEN}: {reason_of(error)}; run `dvc repro` again") from None
    for name, digest in written.items():
        if not (folder / name).is_file() or sha256_of_file(folder / name) != digest:
            raise UserError(f"{folder / name}: not the file that was written there; run `dvc repro` again")


class FailedCell(Record):
    """A row of FAILURES: a trained cell that answered with what is no number, and so counts as failed."""

    suite: str
    task: str
    backbone: str
    method: str
    seed: int
    reason: str


class Timing(Record):
    """A row of `results/timings/BACKBONE/METHOD.csv`: what of a cell's costs no other run would find again."""

    suite: str
    task: str
    seed: int
    train_seconds: float
    peak_memory_bytes: int
    search_train_seconds: float  # missing, as the next, where there was no search
    search_peak_memory_bytes: float


def read_train_result(path: Path) -> TrainResult:
    """A `result.json`. Raises UserError where it cannot be read or was changed, or naming the first field that is
    wrong."""
    try:
        return TrainResult.read(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; make it readable, or run `dvc repro` again") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: field {field!r}: {first['msg']}; delete it and run `dvc repro` again") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete it and run `dvc repro` again") from error


def write_train_result(path: Path, timings: Path, result: TrainResult) -> None:
    """A `result.json` that every run of the same makes byte by byte, and beside it what the cells took."""
    rows = [_timing(cell, cell.cost) for cell in result.cells if cell.cost is not None]
    write_csv(timings, pd.DataFrame(rows, columns=list(Timing.model_fields)))
    cells = [_with_costs(cell, dict.fromkeys(PREFIXES, UNKNOWN)) for cell in result.cells]
    write_record(path, result.model_copy(update={"cells": cells}))


def with_timings(result: TrainResult, timings: Path) -> TrainResult:
    """The result with what its cells took, where the file says."""
    rows = read_table(timings, Timing).to_dict("records")
    known = {(row["suite"], row["task"], row["seed"]): row for row in rows}
    cells = [_timed(cell, known.get((cell.suite, cell.task, cell.seed))) for cell in result.cells]
    return result.model_copy(update={"cells": cells})


def _timing(cell: Cell, cost: Cost) -> tuple[Any, ...]:
    search = cell.search_cost
    searched = (search.train_seconds, search.peak_memory_bytes) if search else (math.nan, math.nan)
    return (cell.suite, cell.task, cell.seed, cost.train_seconds, cost.peak_memory_bytes, *searched)


def _timed(cell: Cell, row: dict[Any, Any] | None) -> Cell:
    if row is None:
        return cell
    return _with_costs(
        cell, {name: {part: row[f"{prefix}{part}"] for part in UNKNOWN} for name, prefix in PREFIXES.items()}
    )


def _with_costs(cell: Cell, spent: dict[str, dict[str, Any]]) -> Cell:
    costs = {name: getattr(cell, name) for name in PREFIXES}
    return cell.model_copy(
        update={name: cost.model_copy(update=spent[name]) for name, cost in costs.items() if cost is not None}
    )


def read_table(path: Path, record: type[Record]) -> pd.DataFrame:
    """A .csv or .parquet file with a row a record; empty where there is none.

    Raises UserError where its columns are not the record's fields, or a value has another type.
    """
    if not path.is_file():
        return empty_table(record)
    try:
        with catch_warnings(action="error", category=RuntimeWarning):  # a number that is no whole one, taken for one
            frame = pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, record)
    except (ValueError, TypeError, ArithmeticError, OSError, RuntimeWarning) as error:
        raise UserError(f"{path}: {reason_of(error)}; run `dvc repro` again") from error
    expected = list(record.model_fields)
    if list(frame.columns) != expected:
        held = f"columns are {listed(frame.columns)}, expected {listed(expected)}"
        raise UserError(f"{path}: {held}; run `dvc repro` again")
    return frame


def empty_table(record: type[Record]) -> pd.DataFrame:
    """No rows, a column a field."""
    return pd.DataFrame(columns=list(record.model_fields))


def _read_csv(path: Path, record: type[Record]) -> pd.DataFrame:
    """Only numbers may be missing: a token or a task may be called `nan`."""
    types: dict[str, type] = {name: _column_type(field.annotation) for name, field in record.model_fields.items()}
    missing = {name: [""] for name, kind in types.items() if kind is float}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing)


def _column_type(annotation: Any) -> type:
    """A number or a truth value as such, all else as text."""
    return annotation if annotation in (bool, int, float) else str
