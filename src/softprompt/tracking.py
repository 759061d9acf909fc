"""Results and trials in an MLflow store. The only file that imports mlflow."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.quiet import keep_quiet
from softprompt.reporting.analysis.collect import collect
from softprompt.reporting.context import ReportContext
from softprompt.reporting.runs import Run, report_run, result_runs, trial_runs

if TYPE_CHECKING:  # mlflow must find the quiet settings when it is imported
    from mlflow import MlflowClient

RESULTS, TRIALS = "results", "trials"
PROFILE, CONTENT = "profile", "softprompt.content_key"
COMMIT = "git_commit"
PAGE = 1000  # runs a request
BATCH = 900  # metrics a request; MLflow takes 1000 values in all


def publish(
    paths: Paths,
    context: ReportContext,
    *,
    store: str,
    artifacts: Path,
    git_commit: str | None = None,
) -> int:
    """Bring the store (a URI such as sqlite:///mlflow.db) up to date; returns how many runs were added.

    Experiment `results` has a run a method, backbone and task, and one for the report; `trials` has a run a trial.
    A run that is there with the same content stays as it is; one whose content changed, or that a killed call left
    unfinished, moves to MLflow's trash and is made anew. Runs of other profiles stay.
    """
    keep_quiet(offline=False)
    from mlflow import MlflowClient

    collected = collect(paths, context)
    runs = {
        RESULTS: [*result_runs(collected, paths, context), report_run(paths.reports, context.profile)],
        TRIALS: list(trial_runs(collected.trials, context.profile)),
    }
    tags = {PROFILE: context.profile} | ({COMMIT: git_commit} if git_commit else {})
    with _quick_commits():
        _make_whole(store)
        _refuse_unusable(store)
        client = MlflowClient(store)
        return sum(_bring_up_to_date(client, _experiment(client, name, artifacts), runs[name], tags) for name in runs)


@contextmanager
def _quick_commits() -> Iterator[None]:
    """SQLite need not wait for the disk after each of the thousands of commits: the store can be made again any time.

    Four times faster; a killed process still loses nothing, only a power cut could.
    """

    def trust_the_system(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", trust_the_system)
    try:
        yield
    finally:
        event.remove(Engine, "connect", trust_the_system)


def _refuse_unusable(store: str) -> None:
    """What is no SQLite database, is damaged, or is held by another process: MLflow would try for minutes."""
    engine = create_engine(store)
    try:
        with engine.connect() as connection:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    except DatabaseError as error:
        found = str(error.orig)
    finally:
        engine.dispose()
    if found != "ok":
        raise UserError(
            f"{engine.url.database}: not usable ({' '.join(found.split())}); close what else has it open, or move it "
            "away and run `dvc repro publish` again, which makes it anew from results"
        )


def _make_whole(store: str) -> None:
    """Where there is no store, one that has all of its tables: of one that was left half made MLflow makes nothing."""
    from mlflow import MlflowClient

    path = Path(store.removeprefix("sqlite:///"))
    if path.exists():
        return
    beside = path.with_name(f"{path.name}.tmp")
    beside.unlink(missing_ok=True)
    MlflowClient(f"sqlite:///{beside}").search_experiments(max_results=1)
    beside.replace(path)


def _experiment(client: "MlflowClient", name: str, artifacts: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=(artifacts / name).resolve().as_uri()))


def _bring_up_to_date(client: "MlflowClient", experiment: str, runs: Sequence[Run], tags: dict[str, str]) -> int:
    """Trash what changed, add what is missing; returns how many runs were added."""
    there = _published(client, experiment, tags[PROFILE])
    added = 0
    for run in runs:
        key = run.content_key()
        found = there.get(run.name, {})
        for number in [number for number, content in found.items() if content != key]:
            client.delete_run(number)
        if key not in found.values():
            _add(client, experiment, run, tags, key)
            added += 1
    return added


def _published(client: "MlflowClient", experiment: str, profile: str) -> dict[str, dict[str, str]]:
    """Name -> run id -> content key (empty for an unfinished run), of the profile's runs that are not in the trash."""
    published: dict[str, dict[str, str]] = {}
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.profile = '{profile}'", max_results=PAGE, page_token=token)
        for run in page:
            published.setdefault(run.info.run_name, {})[run.info.run_id] = run.data.tags.get(CONTENT, "")
        token = page.token
        if not token:
            return published


def _add(client: "MlflowClient", experiment: str, run: Run, tags: dict[str, str], key: str) -> None:
    """A new run with everything in it. The content key comes last, so that a run which has one is whole."""
    from mlflow.entities import Metric, Param

    made = client.create_run(experiment, tags=run.tags | tags, run_name=run.name)
    number, now = made.info.run_id, made.info.start_time
    _copy_files(run.files, Path(unquote(urlparse(made.info.artifact_uri).path)))
    metrics = [Metric(v.name, v.value, now, v.step) for v in run.metrics]
    params = [Param(name, value) for name, value in run.params.items()]
    client.log_batch(number, metrics[:BATCH], params)
    for start in range(BATCH, len(metrics), BATCH):
        client.log_batch(number, metrics[start : start + BATCH])
    client.set_terminated(number, "FAILED" if run.failed else "FINISHED")
    client.set_tag(number, CONTENT, key)


def _copy_files(files: dict[str, Path], folder: Path) -> None:
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
