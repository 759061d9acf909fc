"""Reads everything a report is made of, checks that it fits together, and changes nothing."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from softprompt.data.manifest import MANIFEST
from softprompt.data.prepared import read_manifest
from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.reporting.context import ReportContext
from softprompt.reporting.prompt_contents import PromptContents, read_prompt_contents
from softprompt.results import Cell, Coverage, Prediction, Score, TrainResult, TrialRecord
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

EXAMPLE = ["suite", "task", "backbone", "method", "seed", "template", "split", "id", "group", "correct"]


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
    """All results inside the planned grid. `scores` has a row per Score, `examples` a row per Prediction, `coverage` a
    row per backbone, LAMA task and split."""

    cells: list[Cell]
    trials: list[Trial]
    scores: pd.DataFrame
    examples: pd.DataFrame
    coverage: pd.DataFrame
    manifests: dict[str, Manifest]
    prompts: PromptContents = field(default_factory=PromptContents)

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
    folders = [results / "evaluate" / backbone for backbone in context.backbones]
    return Collected(
        cells=[cell for result in train for cell in result.cells if cell.suite in context.suites],
        trials=[Trial(result.method, result.backbone, trial) for result in train for trial in result.trials],
        scores=_in_grid(_concat([read_scores(folder / "scores.csv") for folder in folders]), context),
        examples=_in_grid(_concat([read_examples(folder / "predictions.parquet") for folder in folders]), context),
        coverage=_covered([read_coverage(folder / "coverage.csv") for folder in folders], context),
        manifests={suite: describe_suite(prepared, suite) for suite in context.suites},
        prompts=read_prompt_contents(results, context),
    )


def read_train_results(results: Path, context: ReportContext) -> list[TrainResult]:
    """The result of every planned (backbone, method) that was trained, in grid order."""
    found = []
    for backbone in context.backbones:
        for method in context.methods:
            path = results / "train" / backbone / method / "result.json"
            if path.is_file():
                found.append(_parse_train_result(path))
    return found


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


def read_scores(path: Path) -> pd.DataFrame:
    """A backbone's `scores.csv`; empty where it was not evaluated."""
    columns = list(Score.model_fields)
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    frame = pd.read_csv(path, dtype={"template": str, "task": str}, keep_default_na=False)
    if list(frame.columns) != columns:
        raise UserError(f"{path}: columns are {list(frame.columns)}, expected {columns}; run `dvc repro` again")
    return frame.astype({"value": float, "n_examples": int, "seed": int, "higher_is_better": bool})


def read_examples(path: Path) -> pd.DataFrame:
    """The columns of a backbone's `predictions.parquet` that comparisons need; empty where it was not evaluated."""
    if not path.is_file():
        return pd.DataFrame(columns=EXAMPLE)
    frame = pd.read_parquet(path)
    missing = [column for column in Prediction.model_fields if column not in frame.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; run `dvc repro evaluate` again")
    return frame[EXAMPLE]


def read_coverage(path: Path) -> pd.DataFrame:
    """A backbone's `coverage.csv`; empty where it was not evaluated."""
    columns = list(Coverage.model_fields)
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    frame = pd.read_csv(path, dtype={"task": str})
    if list(frame.columns) != columns:
        raise UserError(f"{path}: columns are {list(frame.columns)}, expected {columns}; run `dvc repro` again")
    return frame


def _parse_train_result(path: Path) -> TrainResult:
    try:
        return TrainResult.model_validate_json(path.read_text())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: field {field!r}: {first['msg']}; delete it and run `dvc repro` again") from error


def _in_grid(frame: pd.DataFrame, context: ReportContext) -> pd.DataFrame:
    inside = (
        frame["suite"].isin(context.suites)
        & frame["backbone"].isin(context.backbones)
        & frame["method"].isin(context.methods)
    )
    return frame[inside].reset_index(drop=True)


def _covered(frames: list[pd.DataFrame], context: ReportContext) -> pd.DataFrame:
    frame = _concat(frames)
    return frame[frame["suite"].isin(context.suites)].reset_index(drop=True)


def _concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
