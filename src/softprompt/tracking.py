"""Results and trials as MLflow runs. The only file that imports mlflow.

Experiment `results` has one run a method, backbone and task: means over seeds as plain metrics, the seeds themselves as
steps of `<metric>/by_seed` (a child run a seed would cost five times the time and crowd the table), the mean learning
curve over training steps, and the trained prompts as artifacts. One more run, `report`, holds pages and plots.
Experiment `trials` has one run a trial. Runs carry a content key; publishing again adds only what is new or changed.
"""

import hashlib
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd

from softprompt.data.prepared import fingerprint
from softprompt.files import sha256_of_file
from softprompt.reporting.collect import Collected, Trial, collect
from softprompt.reporting.context import ReportContext
from softprompt.reporting.curves import mean_curves
from softprompt.reporting.frames import rows_of, select
from softprompt.reporting.summary import cell_scores
from softprompt.results import Cell

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

IDENTITY, CONTENT = "softprompt.run", "softprompt.content_key"
COMMIT = "mlflow.source.git.commit"  # MLflow's own name: its pages show it
MAX_RUNS = 50_000  # one page of MLflow's search
MIB = 1024**2


@dataclass(frozen=True)
class Entry:
    """A run to be: what it is of (`identity`), what it holds. `metrics` are (name, value, step)."""

    identity: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)  # name of the artifact -> file
    failed: bool = False

    def content_key(self) -> str:
        """Changes when anything that is published changes, but for the commit, which cached results outlive."""
        tags = {name: value for name, value in self.tags.items() if name != COMMIT}
        files = {name: sha256_of_file(path) for name, path in self.files.items() if not name.startswith("timings.")}
        content = [self.identity, tags, self.params, self.metrics, files, self.failed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def publish(
    results: Path, prepared: Path, reports: Path, context: ReportContext, *, store: str, artifacts: Path, commit: str
) -> int:
    """Bring the store up to date and return how many runs were added.

    `store` is a URI such as sqlite:///mlflow.db. A run whose content changed is deleted and made anew; a run that an
    interrupted call left unfinished too.
    """
    collected = collect(results, prepared, context)
    common = {"profile": context.profile, COMMIT: commit}
    cells = [*result_entries(collected, results, prepared, common), report_entry(reports, common)]
    trials = [trial_entry(trial, common) for trial in collected.trials]
    client = MlflowClient(store)
    return sum(
        _bring_up_to_date(client, experiment, entries, artifacts)
        for experiment, entries in (("results", cells), ("trials", trials))
    )


def result_entries(collected: Collected, results: Path, prepared: Path, common: dict[str, str]) -> Iterator[Entry]:
    """An entry a method, backbone and task; cells that are not applicable have none."""
    scores = cell_scores(collected.scores)
    groups: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    for cell in collected.cells:
        if cell.status != "not_applicable":
            groups[cell.suite, cell.task, cell.backbone, cell.method].append(cell)
    for (suite, task, backbone, method), cells in groups.items():
        place = {"suite": suite, "task": task, "backbone": backbone, "method": method}
        done = [cell for cell in cells if cell.status == "done"]
        status = "done" if len(done) == len(cells) else f"{len(done)} of {len(cells)} seeds done"
        data = fingerprint(prepared / suite, task)
        prompts = results / "train" / backbone / method / "prompts"
        yield Entry(
            identity=f"{context_name(common)}/{suite}/{task}/{backbone}/{method}",
            tags={**common, **place, "state": cells[0].state, "status": status, "data": data},
            params={name: str(value) for name, value in cells[0].settings.items()},
            metrics=[*_score_metrics(select(scores, **place)), *_curve_metrics(done), *_cost_metrics(done)],
            files={
                f"prompts/seed_{cell.seed}.safetensors": path
                for cell in done
                if (path := prompts / f"{cell.key}.safetensors").is_file()
            },
            failed=not done,
        )


def trial_entry(trial: Trial, common: dict[str, str]) -> Entry:
    """One hyper-parameter setting of a study and its dev score."""
    record = trial.record
    place = {"study": record.study, "backbone": trial.backbone, "method": trial.method}
    return Entry(
        identity=f"{context_name(common)}/{record.study}/{trial.backbone}/{trial.method}/{record.number}",
        tags={**common, **place, "suite": record.study.partition("/")[0], "paper": str(record.paper).lower()},
        params={name: str(value) for name, value in record.settings.items()},
        metrics=[("dev/score", record.dev_score, record.number)],
    )


def report_entry(reports: Path, common: dict[str, str]) -> Entry:
    """Pages, tables and plots, and the means of metrics.json."""
    means = json.loads((reports / "metrics.json").read_text())
    metrics = [
        (f"{suite}/{backbone}/{method}/{metric}", float(value), 0)
        for suite, backbones in means.items()
        for backbone, methods in backbones.items()
        for method, metrics in methods.items()
        for metric, value in metrics.items()
    ]
    paths = sorted(path for path in reports.rglob("*") if path.suffix in (".md", ".csv", ".svg", ".json"))
    files = {path.relative_to(reports).as_posix(): path for path in paths}
    return Entry(identity=f"{context_name(common)}/report", tags=common, metrics=metrics, files=files)


def context_name(common: dict[str, str]) -> str:
    """Profiles live side by side in one store."""
    return common["profile"]


def _score_metrics(scores: pd.DataFrame) -> list[tuple[str, float, int]]:
    """The mean over seeds, and where there are several seeds each of them, its number as the step."""
    found = []
    for (split, metric), group in scores.groupby(["split", "metric"]):
        name = f"{split}/{metric}"
        found.append((name, float(group["value"].mean()), 0))
        if len(group) > 1:
            found += [(f"{name}/by_seed", float(row.value), int(row.seed)) for row in rows_of(group)]
    return found


def _curve_metrics(done: list[Cell]) -> list[tuple[str, float, int]]:
    curve = mean_curves(done)
    scores = [("dev/score", float(row.dev_score), int(row.step)) for row in rows_of(curve)]
    return scores + [("train/loss", float(row.train_loss), int(row.step)) for row in rows_of(curve)]


def _cost_metrics(done: list[Cell]) -> list[tuple[str, float, int]]:
    metrics: list[tuple[str, float, int]] = []
    if done:
        metrics.append(("parameters/trained", float(max(cell.parameters_trained for cell in done)), 0))
        metrics.append(("parameters/kept", float(max(cell.parameters_kept for cell in done)), 0))
    costs = [cell.cost for cell in done if cell.cost is not None]
    if costs:
        metrics.append(("cost/train_seconds", sum(cost.train_seconds for cost in costs), 0))
        metrics.append(("cost/peak_memory_mib", max(cost.peak_memory_bytes for cost in costs) / MIB, 0))
    return metrics


def _bring_up_to_date(client: MlflowClient, experiment: str, entries: list[Entry], artifacts: Path) -> int:
    """Add the entries that the experiment does not hold as they are; returns their number."""
    number = _experiment(client, experiment, artifacts)
    there = defaultdict(list)
    for run in client.search_runs([number], max_results=MAX_RUNS):
        there[run.data.tags.get(IDENTITY)].append(run)
    added = 0
    for entry in entries:
        key, runs = entry.content_key(), there[entry.identity]
        finished = [run for run in runs if run.data.tags.get(CONTENT) == key and run.info.status != "RUNNING"]
        for stale in runs:
            if stale not in finished[:1]:
                client.delete_run(stale.info.run_id)
        if not finished:
            _add(client, number, entry, key)
            added += 1
    return added


def _add(client: MlflowClient, experiment: str, entry: Entry, key: str) -> None:
    """The content key goes in last, so that a run cut short never counts as published."""
    now = time.time_ns() // 1_000_000
    name = entry.identity.partition("/")[2]
    run = client.create_run(experiment, tags={**entry.tags, IDENTITY: entry.identity}, run_name=name)
    folder = Path(unquote(urlparse(run.info.artifact_uri).path))
    for artifact, path in entry.files.items():
        (folder / artifact).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / artifact)
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, now, step) for name, value, step in entry.metrics],
        params=[Param(name, value) for name, value in entry.params.items()],
        tags=[RunTag(CONTENT, key)],
    )
    client.update_run(run.info.run_id, status="FAILED" if entry.failed else "FINISHED")


def _experiment(client: MlflowClient, name: str, artifacts: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=(artifacts / name).resolve().as_uri()))
