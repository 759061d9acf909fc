"""Reads what is published: the records of training, and the numbers of the report, which are not computed again."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import (
    PREDICTIONS,
    Manifest,
    describe_suite,
    read_train_results,
    with_failures,
)
from softprompt.reporting.context import ReportContext
from softprompt.reporting.rendering.digests import digest_of, read_provenance
from softprompt.result_files import FAILURES, FailedCell, read_table, refuse_changed
from softprompt.results import Cell, Prediction, TrialRecord

NAMES = ("suite", "task", "backbone", "method", "state", "split", "metric", "vector", "token")
Place = tuple[str, str, str, str]  # suite, task, backbone, method
PLACE = ["suite", "task", "backbone", "method"]


@dataclass(frozen=True)
class Published:
    """The planned grid's cells and trials by what made them, and the tables of the report by the place of a row."""

    paths: Paths
    context: ReportContext
    cells: dict[Place, list[Cell]]
    trials: dict[tuple[str, str], list[TrialRecord]]  # backbone, method
    manifests: dict[str, Manifest]

    @cached_property
    def intervals(self) -> dict[Place, pd.DataFrame]:
        return _by_place(self._table("intervals.csv"))

    @cached_property
    def scores(self) -> dict[Place, pd.DataFrame]:
        return _by_place(self._table("scores.csv"))

    @cached_property
    def words(self) -> dict[Place, pd.DataFrame]:
        return _by_place(self._table("nearest_tokens.csv"))

    @cached_property
    def predictions(self) -> dict[Place, pd.DataFrame]:
        folders = [self.paths.evaluate(backbone) for backbone in self.context.backbones]
        return _by_place(pd.concat([read_table(folder / PREDICTIONS, Prediction) for folder in folders]))

    @cached_property
    def means(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """metrics.json: suite -> backbone -> method -> score, low, high."""
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads(self._whole("metrics.json").read_bytes())
        return found

    def _table(self, name: str) -> pd.DataFrame:
        return _read_csv(self._whole(name))

    def _whole(self, name: str) -> Path:
        """A file of the report. Raises UserError where it is not what `aggregate` wrote."""
        path = self.paths.reports / name
        if not path.is_file() or digest_of(path.read_bytes()) != self._digests.get(name):
            raise UserError(f"{path}: changed since the report was made; run `dvc repro aggregate`")
        return path

    @cached_property
    def _digests(self) -> dict[str, str]:
        digests: dict[str, str] = read_provenance(self.paths.reports)["report"]
        return digests

    def made_at(self, cell: Cell) -> float:
        """When training wrote its last file of a cell, in seconds since 1970."""
        folder = self.paths.train(self.context.run.folder_of(cell.method), cell.backbone)
        parts = self.parts_of(cell)
        return (parts if parts.is_file() else folder / "result.json").stat().st_mtime

    def parts_of(self, cell: Cell) -> Path:
        """The file of what a cell kept from training, which may not be there."""
        folder = self.paths.train(self.context.run.folder_of(cell.method), cell.backbone)
        return folder / "parts" / f"{cell.key}.safetensors"


def read_published(paths: Paths, context: ReportContext) -> Published:
    """Cells that could not answer count as failed, and those that are not applicable are left out."""
    for backbone in context.backbones:
        refuse_changed(paths.evaluate(backbone))
    results = read_train_results(paths, context)
    failures = pd.concat([read_table(paths.evaluate(name) / FAILURES, FailedCell) for name in context.backbones])
    cells: dict[Place, list[Cell]] = {}
    for cell in with_failures([cell for result in results for cell in result.cells], failures):
        if cell.suite in context.suites and cell.status != "not_applicable":
            cells.setdefault((cell.suite, cell.task, cell.backbone, cell.method), []).append(cell)
    trials = {(result.backbone, result.method): result.trials for result in results}
    return Published(paths, context, cells, trials, {suite: describe_suite(paths, suite) for suite in context.suites})


def _read_csv(path: Path) -> pd.DataFrame:
    """Only numbers may be missing: a token or a task may be called `nan`."""
    columns = pd.read_csv(path, nrows=0).columns
    texts = [name for name in columns if name in NAMES]
    missing = {name: [""] for name in columns if name not in NAMES}
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=missing)


def _by_place(table: pd.DataFrame) -> dict[Place, pd.DataFrame]:
    return {(str(a), str(b), str(c), str(d)): rows for (a, b, c, d), rows in table.groupby(PLACE, sort=False)}
