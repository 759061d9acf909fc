"""Ranks of methods over the tasks of a suite: frozen and tuned in one ranking, 1 for the best.

Replicates are ranked one by one (the first of every method, the second of every method, ...; a method with fewer, such
as `manual`, comes again), so that a mean rank has the same two sources of uncertainty as a score: tasks and replicates.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.contributions import SCORE, Place, Sample
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.two_way import ALPHA, Layout, Scored, score, spread_of

FEWEST_TASKS = 5  # of a critical difference
COLUMNS = ["suite", "task", "backbone", "method", "state", "rank", "low", "high", "tasks"]


@dataclass(frozen=True)
class Ranking:
    """All methods that have all tasks of a suite on a backbone, best first."""

    suite: str
    backbone: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    states: tuple[str, ...]
    by_task: Float[ndarray, "M T"]  # mean over replicates
    scored: tuple[Scored, ...]  # mean ranks with their sources of variance

    @property
    def means(self) -> Float[ndarray, " M"]:
        """Mean ranks over tasks."""
        return np.asarray(self.by_task.mean(axis=1))

    def friedman_p(self) -> float:
        """Whether ranks differ between methods at all (Friedman's test over tasks)."""
        return float(stats.friedmanchisquare(*self.by_task).pvalue)

    def critical_difference(self) -> float:
        """Nemenyi's: mean ranks further apart differ at 5 %, all pairs of methods together (Demsar 2006)."""
        count = len(self.methods)
        quantile = stats.studentized_range.ppf(1 - ALPHA, count, np.inf) / np.sqrt(2)
        return float(quantile * np.sqrt(count * (count + 1) / (6 * len(self.tasks))))


def rankings(samples: Mapping[Place, Sample], collected: Collected) -> list[Ranking]:
    """A ranking a suite and backbone that has at least two whole methods."""
    columns: dict[tuple[str, str], dict[tuple[str, str], dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for place, sample in samples.items():
        if place.split == "test" and place.task in collected.manifests[place.suite].headline_tasks:
            columns[place.suite, place.backbone][place.method, place.state][place.task] = sample
    found = []
    for (suite, backbone), methods in sorted(columns.items()):
        planned = collected.manifests[suite].headline_tasks
        whole = {method: tasks for method, tasks in methods.items() if len(tasks) == len(planned)}
        if len(whole) > 1:
            found.append(_ranking(suite, backbone, planned, whole))
    return found


def has_critical_difference(ranking: Ranking) -> bool:
    """Whether there are enough tasks and methods for Friedman's test."""
    return len(ranking.tasks) >= FEWEST_TASKS and len(ranking.methods) > 2


def rank_table(found: list[Ranking]) -> pd.DataFrame:
    """A row a method and task, and one over all tasks with the interval of its mean rank."""
    rows = [row for ranking in found for row in _rows(ranking)]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:4]).reset_index(drop=True)


def _ranking(
    suite: str, backbone: str, tasks: tuple[str, ...], methods: Mapping[tuple[str, str], Mapping[str, Sample]]
) -> Ranking:
    cells = np.stack([_ranks([own[task] for own in methods.values()]) for task in tasks], axis=-1)  # (M, R, T)
    layout = Layout(tasks, np.full(len(tasks), 1 / len(tasks)), np.zeros(len(tasks), dtype=np.int64))
    by_task = cells.mean(axis=1)
    order = np.argsort(by_task.mean(axis=1), kind="stable")
    names = list(methods)
    return Ranking(
        suite,
        backbone,
        tasks,
        tuple(names[number][0] for number in order),
        tuple(names[number][1] for number in order),
        by_task[order],
        tuple(score(cells[number], layout) for number in order),
    )


def _ranks(samples: list[Sample]) -> Float[ndarray, "M R"]:
    """Ranks within every replicate, equals sharing the mean of their places."""
    most = max(len(sample.seeds) for sample in samples)
    means = np.stack([np.resize(sample.values[SCORE].mean(axis=1).round(12), most) for sample in samples])  # (M, R)
    return np.asarray(stats.rankdata(-means, axis=0))


def _rows(ranking: Ranking) -> Iterator[tuple[object, ...]]:
    for number, (method, state) in enumerate(zip(ranking.methods, ranking.states, strict=True)):
        place = (ranking.suite, ranking.backbone)
        for task, rank in zip(ranking.tasks, ranking.by_task[number], strict=True):
            yield (place[0], task, place[1], method, state, float(rank), np.nan, np.nan, 1)
        if len(ranking.tasks) > 1:
            mean, margin = float(ranking.means[number]), float(spread_of(ranking.scored[number]).margin())
            count = len(ranking.methods)
            bounds = max(1.0, mean - margin), min(float(count), mean + margin)
            yield (place[0], ALL_TASKS, place[1], method, state, mean, *bounds, len(ranking.tasks))
