"""From scores of cells to the numbers of the tables: scores and means over tasks with their intervals."""

import math

import pandas as pd

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.contributions import SCORE
from softprompt.reporting.analysis.frames import rows_at, rows_of
from softprompt.reporting.analysis.intervals import ALL_TASKS, MICRO
from softprompt.tasks.metrics import METRICS

PLACE = ["suite", "task", "backbone", "method", "state", "seed", "split"]
CELL_SCORE_COLUMNS = [*PLACE, "metric", "value", "n_examples", "higher_is_better"]
SUITE_PLACE = ["suite", "backbone", "method", "state", "split"]
SUITE_COLUMNS = [
    *SUITE_PLACE, "macro", "low", "high", "micro", "micro_low", "micro_high", "replicates", "tasks", "planned",
]  # fmt: skip
TASK_COLUMNS = [
    "suite", "task", "backbone", "method", "state", "split", "mean", "low", "high", "replicates", "n_examples",
]  # fmt: skip


def cell_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a cell and metric, sorted: where a cell asks several templates, their mean."""
    keys = [*PLACE, "metric", "higher_is_better"]
    grouped = scores.groupby(keys, as_index=False).agg(value=("value", "mean"), n_examples=("n_examples", "first"))
    return grouped[CELL_SCORE_COLUMNS].sort_values(CELL_SCORE_COLUMNS).reset_index(drop=True)


def headline_scores(cells: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """One row a cell and split with its `score`: the mean of the metrics that form its task's score."""
    grouped = in_score(cells, collected).groupby(PLACE, as_index=False)
    return grouped.agg(score=("value", "mean"), n_examples=("n_examples", "first"))


def task_means(intervals: pd.DataFrame) -> pd.DataFrame:
    """One row a task, backbone, method and split: its score with interval, replicates and number of examples."""
    shown = intervals[(intervals["task"] != ALL_TASKS) & (intervals["metric"] == SCORE)]
    return shown.rename(columns={"score": "mean", "examples": "n_examples"})[TASK_COLUMNS].reset_index(drop=True)


def suite_means(intervals: pd.DataFrame) -> pd.DataFrame:
    """One row a suite, backbone, method and split: `macro` over tasks, of LAMA also `micro`, both with intervals.

    `tasks` of `planned` says what is averaged. LAMA's zero-shot probes stay out.
    """
    means = intervals[intervals["task"] == ALL_TASKS]
    macro = means[means["metric"] == SCORE].rename(columns={"score": "macro"})
    names = {"score": "micro", "low": "micro_low", "high": "micro_high"}
    micro = means[means["metric"] == MICRO].rename(columns=names)[[*SUITE_PLACE, *names.values()]]
    return macro.merge(micro, on=SUITE_PLACE, how="left")[SUITE_COLUMNS]


def in_score(frame: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """The rows of metrics that form the score of their task, as its definition says.

    Metrics where lower is better never enter a score, so the best of a column is always its highest.
    """
    places = {
        (suite, name, metric)
        for suite, manifest in collected.manifests.items()
        for name, task in manifest.definitions.items()
        for metric in task.score_metrics
        if METRICS[metric].higher_is_better
    }
    return rows_at(frame, ["suite", "task", "metric"], places)


def in_headline(frame: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """The rows of tasks that means are over."""
    places = {(suite, task) for suite, manifest in collected.manifests.items() for task in manifest.headline_tasks}
    return rows_at(frame, ["suite", "task"], places)


def headline_means(suites: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """suite -> backbone -> the highest frozen and the highest tuned method -> `score`, and `low` and `high` where there
    is an interval: few enough for `dvc metrics show`. Those of all methods are in intervals.csv."""
    nested: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    whole = suites[(suites["split"] == "test") & (suites["tasks"] == suites["planned"])].dropna(subset="macro")
    for row in rows_of(whole.loc[whole.groupby(["suite", "backbone", "state"])["macro"].idxmax()]):
        found = {"score": row.macro, "low": row.low, "high": row.high}
        rounded = {name: round(value, 4) for name, value in found.items() if not math.isnan(value)}
        nested.setdefault(row.suite, {}).setdefault(row.backbone, {})[row.method] = rounded
    return nested
