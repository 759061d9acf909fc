"""What is published about a run of the pipeline, before any tracking store is opened."""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from softprompt.data.prepared import fingerprint
from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Collected, Trial
from softprompt.reporting.analysis.curves import mean_curves
from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.summary import cell_scores
from softprompt.reporting.context import ReportContext
from softprompt.reporting.rendering.digests import digest_of, read_provenance
from softprompt.results import Cell

MIB = 1024**2


@dataclass(frozen=True)
class Value:
    """One value of a metric. `step` is a training step, a seed or 0."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Run:
    """A run to be: what it is of, and what it holds. The name is unique within a profile and experiment."""

    profile: str
    name: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Value] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)  # name of the artifact -> file
    failed: bool = False

    def content_key(self) -> str:
        """Changes with anything that is published but timing pages, which differ from run to run."""
        files = {name: sha256_of_file(path) for name, path in self.files.items() if not name.startswith("timings.")}
        metrics = [(value.name, value.value, value.step) for value in self.metrics]
        content = [self.profile, self.name, self.tags, self.params, metrics, files, self.failed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def result_runs(collected: Collected, paths: Paths, context: ReportContext) -> Iterator[Run]:
    """A run a method, backbone and task: means over seeds, each seed as a step, the mean curve, the trained parts.

    Cells that are not applicable have none.
    """
    scores = cell_scores(collected.scores)
    groups: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    for cell in collected.cells:
        if cell.status != "not_applicable":
            groups[cell.suite, cell.task, cell.backbone, cell.method].append(cell)
    for (suite, task, backbone, method), cells in groups.items():
        place = {"suite": suite, "task": task, "backbone": backbone, "method": method}
        done = [cell for cell in cells if cell.status == "done"]
        status = "done" if len(done) == len(cells) else f"{len(done)} of {len(cells)} seeds done"
        data = {"data": fingerprint(paths.suite(suite), task), "test_data": fingerprint(paths.test_suite(suite), task)}
        yield Run(
            profile=context.profile,
            name=f"{method} {backbone} {suite}/{task}",
            tags={**place, "state": cells[0].state, "status": status, **data},
            params={name: str(value) for name, value in cells[0].settings.items()},
            metrics=[*_score_values(select(scores, **place)), *_curve_values(done), *_cost_values(done)],
            files=_parts(paths.train(context.run.folder_of(method), backbone) / "parts", done),
            failed=not done,
        )


def trial_runs(trials: list[Trial], profile: str) -> Iterator[Run]:
    """A run a hyper-parameter setting of a study, with its dev score."""
    for trial in trials:
        record = trial.record
        place = {"study": record.study, "backbone": trial.backbone, "method": trial.method, "seed": str(record.seed)}
        yield Run(
            profile=profile,
            name=f"{trial.method} {trial.backbone} {record.study} seed {record.seed} #{record.number}",
            tags={**place, "suite": record.study.partition("/")[0], "paper": str(record.paper).lower()},
            params={name: str(value) for name, value in record.settings.items()},
            metrics=[Value("dev/score", record.dev_score)],
        )


def report_run(reports: Path, profile: str) -> Run:
    """Pages, tables and plots, and the means of metrics.json."""
    path = reports / "metrics.json"
    if not path.is_file() or digest_of(path.read_bytes()) != read_provenance(reports)["report"].get(path.name):
        raise UserError(f"{path}: changed since the report was made; run `dvc repro aggregate`")
    means = json.loads(path.read_bytes())
    metrics = [
        Value(f"{suite}/{backbone}/{method}/{metric}", float(value))
        for suite, backbones in means.items()
        for backbone, methods in backbones.items()
        for method, metrics in methods.items()
        for metric, value in metrics.items()
    ]
    paths = sorted(path for path in reports.rglob("*") if path.suffix in (".md", ".csv", ".svg", ".json"))
    files = {path.relative_to(reports).as_posix(): path for path in paths}
    return Run(profile=profile, name="report", tags={}, metrics=metrics, files=files)


def _score_values(scores: pd.DataFrame) -> list[Value]:
    """The mean over seeds, and where there are several seeds each of them, its number as the step."""
    found = []
    for (split, metric), group in groups_of(scores, ["split", "metric"]):
        name = f"{split}/{metric}"
        found.append(Value(name, float(group["value"].mean())))
        if len(group) > 1:
            found += [Value(f"{name}/by_seed", row.value, row.seed) for row in rows_of(group)]
    return found


def _curve_values(done: list[Cell]) -> list[Value]:
    curve = list(rows_of(mean_curves(done)))
    scores = [Value("dev/score", float(row.dev_score), row.step) for row in curve]
    losses = [Value("train/loss", float(row.train_loss), row.step) for row in curve]
    return scores + [loss for loss in losses if math.isfinite(loss.value)]


def _cost_values(done: list[Cell]) -> list[Value]:
    if not done:
        return []
    costs = [cell.cost for cell in done if cell.cost is not None]
    values = [
        Value("parameters/trained", float(max(cell.parameters_trained for cell in done))),
        Value("parameters/kept", float(max(cell.parameters_kept for cell in done))),
        Value("cost/train_seconds", sum(cost.train_seconds for cost in costs)),
        Value("cost/peak_memory_mib", max((cost.peak_memory_bytes / MIB for cost in costs), default=0.0)),
    ]
    return values if costs else values[:2]


def _parts(folder: Path, done: list[Cell]) -> dict[str, Path]:
    paths = {f"parts/seed_{cell.seed}.safetensors": folder / f"{cell.key}.safetensors" for cell in done}
    return {name: path for name, path in paths.items() if path.is_file()}
