"""Every score of the tables with its two-way interval: of tasks, of means over tasks, of single metrics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.contributions import SCORE, Place, Sample
from softprompt.reporting.analysis.frames import rows_of
from softprompt.reporting.analysis.two_way import Layout, Scored, score, spread_of
from softprompt.tasks.load import LAMA

ALL_TASKS = "all"
FEWEST_REPLICATES = 3  # that say how far a method scatters: Student's t of two is 12.7
MICRO = "micro"  # LAMA's score with relations weighted by their facts
COLUMNS = [
    "suite", "task", "backbone", "method", "state", "split", "metric", "score", "low", "high", "replicates",
    "clusters", "examples", "tasks", "planned",
]  # fmt: skip
ScoreKey = tuple[Place, str]  # and the metric
Scores = dict[ScoreKey, Scored]


def scores_of(samples: Mapping[Place, Sample], collected: Collected) -> Scores:
    """Every sample's metrics, and of every suite, method and split the score over the tasks that means are over."""
    found: Scores = {}
    together: dict[Place, dict[str, Sample]] = defaultdict(dict)
    for place, sample in samples.items():
        for metric in sample.values:
            cells, layout = by_group(sample, metric)
            found[place, metric] = score(cells, layout)
        if place.task in collected.manifests[place.suite].headline_tasks:
            together[replace(place, task=ALL_TASKS)][place.task] = sample
    for place, tasks in together.items():
        if place.suite == LAMA and len(tasks) > 1:
            for metric, micro in ((SCORE, False), (MICRO, True)):
                found[place, metric] = score(*by_relation(tasks, micro=micro))
        else:
            found[place, SCORE] = score(*over_tasks(tasks))
            if place.suite == LAMA:
                found[place, MICRO] = found[place, SCORE]
    return found


def by_group(sample: Sample, metric: str = SCORE) -> tuple[Float[ndarray, "R G"], Layout]:
    """Mean contributions of every cluster of examples, which weighs as many as it has."""
    names, codes = np.unique(np.array(sample.groups), return_inverse=True)
    sizes = np.bincount(codes)
    cells = np.stack([np.bincount(codes, weights=row) / sizes for row in sample.values[metric]])
    return cells, Layout(tuple(names), sizes / sizes.sum(), np.zeros(len(names), dtype=np.int64))


def by_relation(tasks: Mapping[str, Sample], *, micro: bool) -> tuple[Float[ndarray, "R G"], Layout]:
    """Relations as clusters, all in one stratum, which weigh the same or as many as they have facts."""
    seeds = _seeds(tasks.values())
    cells = np.stack([_at(seeds, sample, sample.values[SCORE].mean(axis=1)) for sample in tasks.values()], axis=1)
    sizes = np.array([len(sample.groups) if micro else 1 for sample in tasks.values()], dtype=np.float64)
    return cells, Layout(tuple(tasks), sizes / sizes.sum(), np.zeros(len(tasks), dtype=np.int64))


def over_tasks(tasks: Mapping[str, Sample]) -> tuple[Float[ndarray, "R G"], Layout]:
    """Clusters of examples in strata, which are the tasks and weigh the same."""
    seeds = _seeds(tasks.values())
    found = {task: by_group(sample) for task, sample in tasks.items()}
    cells = np.concatenate([_at(seeds, tasks[task], own) for task, (own, _) in found.items()], axis=1)
    names = tuple((task, name) for task, (_, layout) in found.items() for name in layout.names)
    weights = np.concatenate([layout.weights / len(tasks) for _, layout in found.values()])
    strata = np.repeat(np.arange(len(tasks)), [len(layout.names) for _, layout in found.values()])
    return cells, Layout(names, weights, strata)


def interval_table(scores: Scores, samples: Mapping[Place, Sample], collected: Collected) -> pd.DataFrame:
    """A row a score; no interval for a lone cluster, or where of several replicates only one is there."""
    examples = {place: len(sample.groups) for place, sample in samples.items()}
    rows: list[tuple[Any, ...]] = []
    for (place, metric), scored in scores.items():
        headline = collected.manifests[place.suite].headline_tasks
        among = headline if place.task == ALL_TASKS else (place.task,)
        sizes = [examples[own] for task in among if (own := replace(place, task=task)) in examples]
        planned = {cell.seed for cell in collected.cells_of(place.backbone, place.method)}
        margin = float("nan") if scored.replicates < min(2, len(planned)) else float(spread_of(scored).margin())
        value = float(scored.value)
        names = (place.suite, place.task, place.backbone, place.method, place.state, place.split, metric)
        numbers = (value, value - margin, value + margin, scored.replicates, len(scored.layout.names), sum(sizes))
        rows.append((*names, *numbers, len(sizes), len(among)))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:7]).reset_index(drop=True)


def shown_intervals(intervals: pd.DataFrame, collected: Collected) -> pd.DataFrame:
    """The same without bounds where a method that draws has too few replicates: it still competes, by its wide ones."""
    places = [(row.backbone, row.method) for row in rows_of(intervals)]
    drawing = {place for place in set(places) if collected.draws(*place)}
    few = np.array([place in drawing for place in places], dtype=bool) & (intervals["replicates"] < FEWEST_REPLICATES)
    return intervals.assign(low=intervals["low"].mask(few), high=intervals["high"].mask(few))


def _seeds(samples: Any) -> list[int]:
    return sorted({seed for sample in samples for seed in sample.seeds})


def _at(seeds: Sequence[int], sample: Sample, values: Float[ndarray, "R ..."]) -> Float[ndarray, "S ..."]:
    """The values in the rows of their seeds; NaN where a seed is missing."""
    found = np.full((len(seeds), *values.shape[1:]), np.nan)
    found[[seeds.index(seed) for seed in sample.seeds]] = values
    return found
