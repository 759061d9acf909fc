"""From scores of cells to the numbers of the tables: means over tasks, intervals over seeds."""

import pandas as pd

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.frames import groups_of, rows_at, rows_of
from softprompt.reporting.analysis.statistics import mean_interval
from softprompt.tasks.metrics import METRICS

PLACE = ["suite", "task", "backbone", "method", "state", "seed", "split"]
CELL_SCORE_COLUMNS = [*PLACE, "metric", "value", "n_examples", "higher_is_better"]


def cell_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a cell and metric, sorted: where a cell asks several templates, their mean."""
    keys = [*PLACE, "metric", "higher_is_better"]
    grouped = scores.groupby(keys, as_index=False).agg(value=("value", "mean"), n_examples=("n_examples", "first"))
    return grouped[CELL_SCORE_COLUMNS].sort_values(CELL_SCORE_COLUMNS).reset_index(drop=True)


def headline_scores(cells: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """One row a cell and split with its `score`: the mean of the metrics that form its task's score."""
    grouped = in_score(cells, collected).groupby(PLACE, as_index=False)
    return grouped.agg(score=("value", "mean"), n_examples=("n_examples", "first"))


def task_means(headline: pd.DataFrame) -> pd.DataFrame:
    """One row a task, backbone, method and split: mean over seeds with its interval and the number of seeds."""
    keys = ["suite", "task", "backbone", "method", "state", "split"]
    rows = []
    for place, group in groups_of(headline, keys):
        interval = mean_interval(group["score"].to_list())
        examples = int(group["n_examples"].iloc[0])
        rows.append((*place, interval.mean, interval.low, interval.high, interval.n, examples))
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "seeds", "n_examples"])


def suite_means(headline: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """One row a suite, backbone, method and split: `macro` over tasks with its interval over seeds, and `micro`.

    A seed counts for the interval only where it has all tasks that the method has; `tasks` of `planned` says what is
    averaged. The micro mean weighs tasks by their examples. LAMA's zero-shot probes stay out.
    """
    headline = in_headline(headline, collected)
    keys = ["suite", "backbone", "method", "state", "split"]
    rows = [(*place, *_suite_row(group, collected, str(place[0]))) for place, group in groups_of(headline, keys)]
    columns = [*keys, "macro", "low", "high", "micro", "micro_low", "micro_high", "seeds", "tasks", "planned"]
    return pd.DataFrame(rows, columns=columns)


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


def metric_means(cells: pd.DataFrame, suites: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """suite -> backbone -> method -> metric -> mean over seeds, then tasks. `score` is the headline, over `tasks`.

    `cells` are the scores of the tasks that means are over, `suites` those means.
    """
    nested: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    test = cells[cells["split"] == "test"]
    keys = ["suite", "backbone", "method", "metric"]
    by_task = test.groupby([*keys, "task"], as_index=False).agg(value=("value", "mean"))
    for (suite, backbone, method, metric), tasks in groups_of(by_task, keys):
        place = nested.setdefault(suite, {}).setdefault(backbone, {}).setdefault(method, {})
        place[metric] = round(float(tasks["value"].mean()), 4)
    for row in rows_of(suites[suites["split"] == "test"]):
        place = nested[row.suite][row.backbone][row.method]
        place["score"] = round(row.macro, 4)
        if row.suite == "lama":
            place["p_at_1_micro"] = round(row.micro, 4)
        place["tasks"] = row.tasks
    return nested


def _suite_row(group: pd.DataFrame, collected: Collected, suite: str) -> tuple[float | int | None, ...]:
    table = group.pivot_table(index="seed", columns="task", values="score", sort=True)
    sizes = group.groupby("task")["n_examples"].first().reindex(table.columns)
    complete = table.dropna()
    macro, micro = table.mean().mean(), (table.mean() * sizes).sum() / sizes.sum()
    macro_low = macro_high = micro_low = micro_high = None
    if len(complete) > 1:
        over_seeds = mean_interval(complete.mean(axis=1).to_list())
        macro_low, macro_high = over_seeds.low, over_seeds.high
        over_seeds = mean_interval(((complete * sizes).sum(axis=1) / sizes.sum()).to_list())
        micro_low, micro_high = over_seeds.low, over_seeds.high
    planned = len(collected.manifests[suite].headline_tasks)
    return macro, macro_low, macro_high, micro, micro_low, micro_high, len(complete), table.shape[1], planned
