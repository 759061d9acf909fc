"""Results and trials in an MLflow store. The only file that imports mlflow.

Runs are inserted through MLflow's own tables, all in one transaction: through its client a run costs about 100 ms of
commits on an ordinary disk, minutes for a default profile, and an interruption leaves half-written runs. A test reads
everything back through the client.
"""

import os
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sqlalchemy import Connection, create_engine, insert, select, update

from softprompt.reporting.collect import collect
from softprompt.reporting.context import ReportContext
from softprompt.reporting.runs import Run, report_run, result_runs, trial_runs

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag

RESULTS, TRIALS = "results", "trials"
PROFILE, CONTENT = "profile", "softprompt.content_key"
NAME, COMMIT = "mlflow.runName", "git_commit"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else its pages take prompts for chat prompts

Rows = dict[type[Any], list[dict[str, Any]]]


def publish(
    results: Path,
    prepared: Path,
    reports: Path,
    context: ReportContext,
    *,
    store: str,
    artifacts: Path,
    git_commit: str | None = None,
) -> int:
    """Bring the store (a URI such as sqlite:///mlflow.db) up to date; returns how many runs were added.

    Experiment `results` has a run a method, backbone and task, and one for the report; `trials` has a run a trial.
    A run that is there with the same content stays as it is, one whose content changed moves to MLflow's trash and is
    made anew. Runs of other profiles, and of cells that are no longer planned, stay.
    """
    collected = collect(results, prepared, context)
    runs = {
        RESULTS: [*result_runs(collected, results, prepared, context.profile), report_run(reports, context.profile)],
        TRIALS: list(trial_runs(collected.trials, context.profile)),
    }
    client = MlflowClient(store)
    experiments = {name: _experiment(client, name, artifacts) for name in runs}
    engine = create_engine(store)
    try:
        with engine.begin() as connection:
            return sum(_bring_up_to_date(connection, experiments[name], runs[name], git_commit) for name in runs)
    finally:
        engine.dispose()


def _experiment(client: MlflowClient, name: str, artifacts: Path) -> Experiment:
    found = client.get_experiment_by_name(name)
    if found is None:
        number = client.create_experiment(name, artifact_location=(artifacts / name).resolve().as_uri(), tags=KIND)
        found = client.get_experiment(number)
    return found


def _bring_up_to_date(
    connection: Connection, experiment: Experiment, runs: Iterable[Run], git_commit: str | None
) -> int:
    """Trash what changed, add what is missing; returns how many runs were added."""
    there = _published(connection, experiment)
    rows: Rows = defaultdict(list)
    stale = []
    for run in runs:
        key = run.content_key()
        found = there.get((run.profile, run.name), {})
        stale += [number for number, content in found.items() if content != key]
        if key not in found.values():
            extra = {PROFILE: run.profile, NAME: run.name, CONTENT: key} | ({COMMIT: git_commit} if git_commit else {})
            _add_rows(rows, run, extra, experiment)
    now = _milliseconds()
    for number in stale:
        trashed = {"lifecycle_stage": "deleted", "deleted_time": now}
        connection.execute(update(SqlRun).where(SqlRun.run_uuid == number).values(**trashed))
    for model in (SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric):
        if rows[model]:
            connection.execute(insert(model), rows[model])
    return len(rows[SqlRun])


def _published(connection: Connection, experiment: Experiment) -> dict[tuple[str, str], dict[str, str]]:
    """(profile, name) -> run id -> content key, of the runs that are not in the trash."""
    of_run: dict[str, dict[str, str]] = defaultdict(dict)
    query = (
        select(SqlTag.run_uuid, SqlTag.key, SqlTag.value)
        .join(SqlRun, SqlRun.run_uuid == SqlTag.run_uuid)
        .where(SqlRun.experiment_id == int(experiment.experiment_id), SqlRun.lifecycle_stage == "active")
        .where(SqlTag.key.in_((PROFILE, NAME, CONTENT)))
    )
    for number, key, value in connection.execute(query):
        of_run[number][key] = value
    published: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for number, tags in of_run.items():
        published[tags.get(PROFILE, ""), tags.get(NAME, "")][number] = tags.get(CONTENT, "")
    return published


def _add_rows(rows: Rows, run: Run, extra_tags: dict[str, str], experiment: Experiment) -> None:
    """The rows of a new run; its artifacts are copied at once."""
    number, now = uuid.uuid4().hex, _milliseconds()
    uri = f"{experiment.artifact_location}/{number}/artifacts"
    _copy_files(run.files, Path(unquote(urlparse(uri).path)))
    rows[SqlRun].append(
        {
            "run_uuid": number,
            "name": run.name,
            "experiment_id": int(experiment.experiment_id),
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "source_version": "",
            "user_id": "softprompt",
            "status": "FAILED" if run.failed else "FINISHED",
            "start_time": now,
            "end_time": now,
            "lifecycle_stage": "active",
            "artifact_uri": uri,
        }
    )
    tags = run.tags | extra_tags
    rows[SqlTag] += [{"run_uuid": number, "key": name, "value": value} for name, value in tags.items()]
    rows[SqlParam] += [{"run_uuid": number, "key": name, "value": value} for name, value in run.params.items()]
    values: list[dict[str, Any]] = [
        {"run_uuid": number, "key": v.name, "value": v.value, "timestamp": now, "step": v.step, "is_nan": False}
        for v in run.metrics
    ]
    rows[SqlMetric] += values
    latest = {row["key"]: row for row in sorted(values, key=lambda row: row["step"])}
    rows[SqlLatestMetric] += latest.values()


def _copy_files(files: dict[str, Path], folder: Path) -> None:
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
