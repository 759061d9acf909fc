"""Reads everything a report is made of, checks that it fits together, and changes nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softprompt.data.manifest import MANIFEST, VOCABULARY
from softprompt.data.prepared import SCORED_SPLITS, load_split, splits, whole_manifest
from softprompt.files import sha256_of_file
from softprompt.paths import Paths
from softprompt.records import Record
from softprompt.reporting.analysis.evidence import Asked, Evidence
from softprompt.reporting.analysis.frames import select
from softprompt.reporting.analysis.scoring import score_table
from softprompt.reporting.context import ReportContext
from softprompt.result_files import (
    FAILURES,
    FailedCell,
    empty_table,
    read_table,
    read_train_result,
    refuse_changed,
    with_timings,
)
from softprompt.results import (
    Cell,
    Coverage,
    KnownFacts,
    NearestToken,
    PoolUsage,
    Prediction,
    PretrainingLoss,
    StatedFacts,
    TrainResult,
    TrialRecord,
)
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

PREDICTIONS = "predictions.parquet"
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
    """What `prepare` says about a suite in both its manifests, and the digest by which a report names that data."""

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
    """All results inside the planned grid. `examples` has a row a Prediction, of the columns in EXAMPLE, from which
    `scores` are computed; of the other tables each has the columns of its record. Those of pretraining have a column
    `backbone` besides."""

    cells: list[Cell]
    trials: list[Trial]
    scores: pd.DataFrame
    examples: pd.DataFrame
    coverage: pd.DataFrame
    manifests: dict[str, Manifest]
    nearest_tokens: pd.DataFrame = field(default_factory=lambda: empty_table(NearestToken))
    pool_usage: pd.DataFrame = field(default_factory=lambda: empty_table(PoolUsage))
    losses: pd.DataFrame = field(default_factory=lambda: empty_table(PretrainingLoss))
    known_facts: pd.DataFrame = field(default_factory=lambda: empty_table(KnownFacts))
    stated_facts: pd.DataFrame = field(default_factory=lambda: empty_table(StatedFacts))

    @property
    def has_prompts(self) -> bool:
        """Whether evaluation found trained prompts to describe."""
        return not (self.nearest_tokens.empty and self.pool_usage.empty)

    def cells_of(self, backbone: str, method: str) -> list[Cell]:
        """The cells of one stage."""
        return self._by_stage.get((backbone, method), [])

    def draws(self, backbone: str, method: str) -> bool:
        """Whether another replicate of the method could have scored differently."""
        cells = self.cells_of(backbone, method)
        learnt = any(cell.curve or cell.searched or cell.parameters_kept for cell in cells)
        return learnt or len({cell.seed for cell in cells}) > 1

    @cached_property
    def _by_stage(self) -> dict[tuple[str, str], list[Cell]]:
        stages: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            stages.setdefault((cell.backbone, cell.method), []).append(cell)
        return stages


def collect(paths: Paths, context: ReportContext) -> Collected:
    """All results that lie in the planned grid; what is absent is found later, by `gaps`.

    Raises UserError where predictions are not what the prepared test splits ask for.
    """
    results, evaluations = paths.results, paths.results / "evaluate"
    for backbone in context.backbones:
        refuse_changed(paths.evaluate(backbone))
    train = read_train_results(paths, context)
    cells = [cell for result in train for cell in result.cells if cell.suite in context.suites]
    manifests = {suite: describe_suite(paths, suite) for suite in context.suites}

    def evaluated(name: str, record: type[Record]) -> pd.DataFrame:
        tables = [read_table(paths.evaluate(backbone) / name, record) for backbone in context.backbones]
        return _in_grid(_concat(tables), context)

    cells = with_failures(cells, evaluated(FAILURES, FailedCell))
    predictions, coverage = evaluated(PREDICTIONS, Prediction), evaluated("coverage.csv", Coverage)
    definitions = {(suite, name): task for suite in manifests for name, task in manifests[suite].definitions.items()}
    asked = Asked(_test_tables(paths, manifests), definitions, _restricted(manifests))
    for backbone in context.backbones:
        own = [cell for cell in cells if cell.backbone == backbone and cell.status == "done"]
        evidence = Evidence(backbone, paths.evaluate(backbone) / PREDICTIONS, select(predictions, backbone=backbone))
        evidence.check(asked, own, coverage)
    return Collected(
        cells=cells,
        trials=[Trial(result.method, result.backbone, trial) for result in train for trial in result.trials],
        scores=score_table(predictions, definitions),
        examples=predictions[EXAMPLE],
        coverage=coverage,
        manifests=manifests,
        nearest_tokens=evaluated("nearest_tokens.csv", NearestToken),
        pool_usage=evaluated("pool_usage.csv", PoolUsage),
        losses=read_pretraining(results / "pretraining", "loss.csv", PretrainingLoss, context.backbones),
        known_facts=read_pretraining(evaluations, "facts.csv", KnownFacts, context.backbones),
        stated_facts=read_pretraining(evaluations, "stated_facts.csv", StatedFacts, context.backbones),
    )


def with_failures(cells: Sequence[Cell], failures: pd.DataFrame) -> list[Cell]:
    """The cells, of which those that could not answer have failed, though they were trained."""
    place = ["suite", "task", "backbone", "method", "seed"]
    reasons = dict(zip(failures[place].itertuples(index=False, name=None), failures["reason"], strict=True))
    return [
        cell if reason is None else cell.model_copy(update={"status": "failed", "reason": reason})
        for cell in cells
        for reason in (reasons.get(tuple(getattr(cell, name) for name in place)),)
    ]


def _test_tables(paths: Paths, manifests: Mapping[str, Manifest]) -> dict[tuple[str, str, str], pd.DataFrame]:
    """(suite, task, split) -> the examples of every split that is evaluated on."""
    return {
        (suite, task, split): load_split(paths.test_suite(suite), task, split)
        for suite, manifest in manifests.items()
        for task in manifest.tasks
        for split in splits(paths.test_suite(suite), task)
        if split in SCORED_SPLITS
    }


def _restricted(manifests: Mapping[str, Manifest]) -> frozenset[str]:
    return frozenset(suite for suite, manifest in manifests.items() if VOCABULARY in manifest.content["files"])


def inputs_of(paths: Paths, context: ReportContext) -> list[Path]:
    """Every file that a report on the planned grid is made of, as far as it is there, sorted. Manifests stand for the
    tables whose digests they hold."""
    folders = [side(suite) for suite in context.suites for side in (paths.suite, paths.test_suite)]
    wanted = [folder / MANIFEST for folder in folders]
    for backbone in context.backbones:
        wanted += [paths.train(context.run.folder_of(name), backbone) / "result.json" for name in context.methods]
        wanted += [path for path in paths.evaluate(backbone).glob("*") if path.suffix in (".csv", ".parquet")]
        wanted.append(paths.pretraining(backbone) / "loss.csv")
    return sorted({path for path in wanted if path.is_file()})


def read_train_results(paths: Paths, context: ReportContext) -> list[TrainResult]:
    """The result of every planned (backbone, method) that was trained, in grid order."""
    places = [(context.run.folder_of(method), backbone) for backbone in context.backbones for method in context.methods]
    files = [(paths.train(*place) / "result.json", paths.timings(*place)) for place in places]
    return [with_timings(read_train_result(path), timings) for path, timings in files if path.is_file()]


def read_pretraining(folder: Path, name: str, record: type[Record], backbones: tuple[str, ...]) -> pd.DataFrame:
    """The file of that name below `folder` of every backbone, which a column `backbone` tells apart."""
    tables = [read_table(folder / backbone / name, record).assign(backbone=backbone) for backbone in backbones]
    return _concat(tables)[["backbone", *record.model_fields]]


def describe_suite(paths: Paths, suite: str) -> Manifest:
    """A suite's two manifests as one with their digest, the definitions of its tasks, and the types of LAMA's
    relations."""
    folder = paths.suite(suite)
    content = whole_manifest(paths, suite)
    definitions = {task: load_task(suite, task, paths.prepared) for task in sorted(content["tasks"])}
    types = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["type"]
        for path in sorted(folder.glob("*/templates.json"))
    }
    digests = [sha256_of_file(one / MANIFEST) for one in (folder, paths.test_suite(suite))]
    return Manifest(suite, content, hashlib.sha256("".join(digests).encode()).hexdigest(), definitions, types)


def _in_grid(frame: pd.DataFrame, context: ReportContext) -> pd.DataFrame:
    """The rows of suites, backbones and methods in the plan; not every table has all three columns."""
    planned = {"suite": context.suites, "backbone": context.backbones, "method": context.methods}
    inside = [frame[column].isin(names) for column, names in planned.items() if column in frame]
    return frame[np.logical_and.reduce(inside)].reset_index(drop=True)


def _concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
