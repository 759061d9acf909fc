"""Reads everything a report is made of, checks that it fits together, and changes nothing."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softprompt.data.manifest import MANIFEST
from softprompt.data.prepared import read_manifest
from softprompt.files import sha256_of_file
from softprompt.reporting.context import ReportContext
from softprompt.result_files import empty_table, read_table, read_train_result
from softprompt.results import (
    Cell,
    Coverage,
    NearestToken,
    PoolUsage,
    Prediction,
    Record,
    Score,
    TrainResult,
    TrialRecord,
)
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

EXAMPLE = [
    "suite", "task", "backbone", "method", "state", "seed", "template", "split", "id", "group", "gold", "prediction",
    "gold_rank",
]  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A trial and the stage it belongs to."""

    method: str
    backbone: str
    record: TrialRecord


@dataclass(frozen=True)
class Manifest:
    """What `prepare` says about a suite, and the digest by which a report names that data."""

    suite: str
    content: dict[str, Any]
    fingerprint: str
    definitions: dict[str, Task]  # task -> what it asks and how it is scored
    types: dict[str, str]  # of LAMA's relations: 1-1, N-1, N-M, or `sentence`

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(sorted(self.content["tasks"]))

    @property
    def wordings(self) -> dict[tuple[str, str], str]:
        """(task, id of a manual template) -> its text."""
        return {(name, one.id): one.text for name, task in self.definitions.items() for one in task.manual}

    @property
    def headline_tasks(self) -> tuple[str, ...]:
        """The tasks that means are over: those with something to learn from, so that every method can meet them."""
        return tuple(task for task in self.tasks if task not in self.probes) or self.tasks

    @property
    def probes(self) -> tuple[str, ...]:
        """LAMA's zero-shot probes: no train or no dev facts."""
        entries = self.content["tasks"]
        return tuple(
            task for task in self.tasks if self.suite == "lama" and not {"train", "dev"} <= set(entries[task]["splits"])
        )


@dataclass(frozen=True)
class Collected:
    """All results inside the planned grid. `examples` has a row a Prediction, of the columns in EXAMPLE; of the other
    tables each has the columns of its record."""

    cells: list[Cell]
    trials: list[Trial]
    scores: pd.DataFrame
    examples: pd.DataFrame
    coverage: pd.DataFrame
    manifests: dict[str, Manifest]
    nearest_tokens: pd.DataFrame = field(default_factory=lambda: empty_table(NearestToken))
    pool_usage: pd.DataFrame = field(default_factory=lambda: empty_table(PoolUsage))

    @property
    def has_prompts(self) -> bool:
        """Whether evaluation found trained prompts to describe."""
        return not (self.nearest_tokens.empty and self.pool_usage.empty)

    def cells_of(self, backbone: str, method: str) -> list[Cell]:
        """The cells of one stage."""
        return self._by_stage.get((backbone, method), [])

    @cached_property
    def _by_stage(self) -> dict[tuple[str, str], list[Cell]]:
        stages: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            stages.setdefault((cell.backbone, cell.method), []).append(cell)
        return stages


def collect(results: Path, prepared: Path, context: ReportContext) -> Collected:
    """Everything under `results/` that lies in the planned grid; what is absent is found later, by `gaps`."""
    train = read_train_results(results, context)

    def evaluated(name: str, record: type[Record], columns: list[str] | None = None) -> pd.DataFrame:
        tables = [read_table(results / "evaluate" / backbone / name, record) for backbone in context.backbones]
        return _in_grid(_concat([table[columns] if columns else table for table in tables]), context)

    return Collected(
        cells=[cell for result in train for cell in result.cells if cell.suite in context.suites],
        trials=[Trial(result.method, result.backbone, trial) for result in train for trial in result.trials],
        scores=evaluated("scores.csv", Score),
        examples=evaluated("predictions.parquet", Prediction, EXAMPLE),
        coverage=evaluated("coverage.csv", Coverage),
        manifests={suite: describe_suite(prepared, suite) for suite in context.suites},
        nearest_tokens=evaluated("nearest_tokens.csv", NearestToken),
        pool_usage=evaluated("pool_usage.csv", PoolUsage),
    )


def read_train_results(results: Path, context: ReportContext) -> list[TrainResult]:
    """The result of every planned (backbone, method) that was trained, in grid order."""
    folders = [
        results / "train" / backbone / context.run.folder_of(method)
        for backbone in context.backbones
        for method in context.methods
    ]
    return [read_train_result(path) for folder in folders if (path := folder / "result.json").is_file()]


def read_pretraining(
    pretraining: Path | None, name: str, record: type[Record], backbones: tuple[str, ...]
) -> pd.DataFrame:
    """The file of that name of every backbone, which a column `backbone` tells apart; empty without pretraining."""
    columns = ["backbone", *record.model_fields]
    if pretraining is None:
        return pd.DataFrame(columns=columns)
    tables = [read_table(pretraining / backbone / name, record).assign(backbone=backbone) for backbone in backbones]
    return _concat(tables)[columns]


def describe_suite(prepared: Path, suite: str) -> Manifest:
    """A suite's manifest with its digest, the definitions of its tasks, and the types of LAMA's relations."""
    folder = prepared / suite
    content = read_manifest(folder)
    definitions = {task: load_task(suite, task, prepared) for task in sorted(content["tasks"])}
    types = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["type"]
        for path in sorted(folder.glob("*/templates.json"))
    }
    return Manifest(suite, content, sha256_of_file(folder / MANIFEST), definitions, types)


def _in_grid(frame: pd.DataFrame, context: ReportContext) -> pd.DataFrame:
    """The rows of suites, backbones and methods in the plan; not every table has all three columns."""
    planned = {"suite": context.suites, "backbone": context.backbones, "method": context.methods}
    inside = [frame[column].isin(names) for column, names in planned.items() if column in frame]
    return frame[np.logical_and.reduce(inside)].reset_index(drop=True)


def _concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
