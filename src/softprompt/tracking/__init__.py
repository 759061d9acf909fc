"""Results and trials in an MLflow store. The only package that imports mlflow."""

from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.quiet import keep_quiet
from softprompt.reporting.context import ReportContext
from softprompt.reporting.runs.champions import champions
from softprompt.reporting.runs.published import Published, read_published
from softprompt.reporting.runs.results import report_run, result_runs
from softprompt.reporting.runs.trials import trial_runs
from softprompt.reporting.runs.views import RESULTS, TRIALS, views_of
from softprompt.tracking.registry import register
from softprompt.tracking.rows import PROFILE
from softprompt.tracking.store import bring_up_to_date, experiment_of, open_store, quick_commits
from softprompt.tracking.views import save_views

if TYPE_CHECKING:  # mlflow must find the quiet settings when it is imported
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

STORE = "mlflow.db"
COMMIT = "mlflow.source.git.commit"
WHAT = {
    RESULTS: "A run a method, backbone and task; `all` is the mean over a suite's tasks. The menu of views asks them.",
    TRIALS: "A run a setting that was tried on dev. Its parent is the result that it was tried for.",
}


def publish(paths: Paths, context: ReportContext, *, git_commit: str | None = None) -> int:
    """Bring the project's store up to date; returns how many runs were added.

    Experiment `results` has a run a method, backbone and task or mean over tasks, and one for the report; `trials` has
    a run a trial. A run that is there with the same content stays as it is; what is no longer among the results moves
    to MLflow's trash. Runs of other profiles, and those that a user made, stay.
    """
    keep_quiet(offline=False)
    published = read_published(paths, context)
    with quick_commits():
        return _publish(open_store(paths.root / STORE), published, git_commit)


def _publish(store: "SqlAlchemyStore", published: Published, git_commit: str | None) -> int:
    paths, context = published.paths, published.context
    experiments = {name: experiment_of(store, name, what) for name, what in WHAT.items()}
    results = list(result_runs(published, experiments[TRIALS]))
    numbers = {run.name: run.id for run in results}
    runs = {
        RESULTS: [*results, report_run(published)],
        TRIALS: list(trial_runs(published, numbers)),
    }
    tags = {PROFILE: context.profile} | ({COMMIT: git_commit} if git_commit else {})
    added = sum(bring_up_to_date(store, experiments[name], name, runs[name], paths.root, tags) for name in runs)
    register(store, champions(published), numbers, paths.root)
    save_views(store, experiments, context.profile, list(views_of(published)))
    return added
