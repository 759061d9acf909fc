"""The MLflow store: opened, made whole, brought up to date."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, insert, update
from sqlalchemy.exc import DatabaseError

from softprompt.errors import UserError
from softprompt.reporting.runs.run import Run
from softprompt.tracking.rows import PROFILE, dataset_rows, merged, run_rows

if TYPE_CHECKING:  # mlflow must find the quiet settings when it is imported
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

ARTIFACTS = "mlartifacts"  # below the project's root, where `mlflow ui` is started: a moved or copied one has its own
ACTIVE, DELETED = "active", "deleted"
BATCH = 200  # runs a transaction


@contextmanager
def quick_commits() -> Iterator[None]:
    """SQLite need not wait for the disk after each of MLflow's hundreds of commits: the store can be made again any
    time. Saves 3 s; a killed process still loses nothing, only a power cut could."""

    def trust_the_system(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", trust_the_system)
    try:
        yield
    finally:
        event.remove(Engine, "connect", trust_the_system)


def open_store(path: Path) -> "SqlAlchemyStore":
    """The store in this file, which is made where there is none. Raises UserError where it cannot be used."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if not path.exists():  # MLflow makes nothing of a store that was left half made
        beside = path.with_name(f"{path.name}.tmp")
        beside.unlink(missing_ok=True)
        SqlAlchemyStore(f"sqlite:///{beside}", ARTIFACTS)
        beside.replace(path)
    _refuse_unusable(path)
    return SqlAlchemyStore(f"sqlite:///{path}", ARTIFACTS)


def _refuse_unusable(path: Path) -> None:
    """What is no SQLite database, is damaged, or is held by another process: MLflow would try for minutes."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    except DatabaseError as error:
        found = str(error.orig)
    finally:
        engine.dispose()
    if found != "ok":
        raise UserError(
            f"{path}: not usable ({' '.join(found.split())}); close what else has it open, or move it "
            "away and run `dvc repro publish` again, which makes it anew from results"
        )


def experiment_of(store: "SqlAlchemyStore", name: str, what: str) -> str:
    """The id of the experiment that `what` describes. Its artifacts lie in the project's own folder in any case.

    MLflow makes every folder absolute that it is told of: a copied project would write into the original.
    """
    from mlflow.entities import ExperimentTag
    from mlflow.store.tracking.dbmodels.models import SqlExperiment

    found = store.get_experiment_by_name(name)
    number = str(found.experiment_id) if found else str(store.create_experiment(name))
    if not found:
        store.set_experiment_tag(number, ExperimentTag("mlflow.note.content", what))
        store.set_experiment_tag(number, ExperimentTag("mlflow.experimentKind", "custom_model_development"))
    with store.ManagedSessionMaker(read_only=False) as session:
        session.get_one(SqlExperiment, int(number)).artifact_location = f"{ARTIFACTS}/{name}"
    return number


def bring_up_to_date(
    store: "SqlAlchemyStore", experiment: str, folder: str, runs: Sequence[Run], root: Path, tags: Mapping[str, str]
) -> int:
    """Have the profile's runs in the experiment be these; returns how many were added.

    A run's id tells its content, so one that is there is right, and one that comes back is taken out of the trash. Runs
    are written a batch in a transaction, after their files: what a killed call left is made anew. `tags` are set on new
    runs and are no part of their content.
    """
    wanted = {run.id: run for run in runs}
    there = _lifecycles(store, experiment, tags[PROFILE])
    _move(store, [number for number, stage in there.items() if stage == ACTIVE and number not in wanted], DELETED)
    _move(store, [number for number in wanted if there.get(number) == DELETED], ACTIVE)
    missing = iter([(number, run) for number, run in wanted.items() if number not in there])
    added = 0
    while batch := dict(islice(missing, BATCH)):
        _add(store, experiment, folder, batch, root, tags)
        added += len(batch)
    return added


def _lifecycles(store: "SqlAlchemyStore", experiment: str, profile: str) -> dict[str, str]:
    """Run id -> `active` or `deleted`, of the profile's runs."""
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

    with store.ManagedSessionMaker() as session:
        found = (
            session.query(SqlRun.run_uuid, SqlRun.lifecycle_stage)
            .join(SqlTag, SqlTag.run_uuid == SqlRun.run_uuid)
            .filter(SqlRun.experiment_id == int(experiment), SqlTag.key == PROFILE, SqlTag.value == profile)
        )
        return {str(number): str(stage) for number, stage in found}


def _move(store: "SqlAlchemyStore", numbers: Sequence[str], stage: str) -> None:
    """Into the trash or out of it."""
    from mlflow.store.tracking.dbmodels.models import SqlRun

    deleted = round(1000 * time.time()) if stage == DELETED else None
    with store.ManagedSessionMaker(read_only=False) as session:
        for start in range(0, len(numbers), BATCH):
            chosen = SqlRun.run_uuid.in_(numbers[start : start + BATCH])
            session.execute(update(SqlRun).where(chosen).values(lifecycle_stage=stage, deleted_time=deleted))


def _add(
    store: "SqlAlchemyStore",
    experiment: str,
    folder: str,
    runs: Mapping[str, Run],
    root: Path,
    tags: Mapping[str, str],
) -> None:
    """Runs that are not there yet. MLflow's methods write a run in eight transactions and 18 ms; its tables take a
    batch in one, at 2 ms a run."""
    from mlflow.store.tracking.dbmodels.models import SqlDataset

    for number, run in runs.items():
        _copy_files(run.files, root / ARTIFACTS / folder / number / "artifacts")
    with store.ManagedSessionMaker(read_only=False) as session:
        known = set(session.query(SqlDataset.name, SqlDataset.digest).filter_by(experiment_id=int(experiment)))
        datasets = {dataset for run in runs.values() for dataset in run.datasets}
        rows = merged([
            dataset_rows([one for one in datasets if (one.name, one.digest) not in known], experiment),
            *(run_rows(number, run, experiment, f"{ARTIFACTS}/{folder}", tags) for number, run in runs.items()),
        ])  # fmt: skip
        for table, new in rows.items():
            session.execute(insert(table), new)


def _copy_files(files: Mapping[str, Path | str], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
