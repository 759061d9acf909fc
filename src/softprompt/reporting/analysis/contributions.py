"""What every example contributes to every score, from predictions alone: the raw material of all intervals.

The mean of a cell's contributions is its metric. A score of several metrics is the mean of their contributions, and a
method that asks several templates (`manual`) is averaged over them first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from softprompt.errors import UserError
from softprompt.reporting.analysis.collect import Collected
from softprompt.reporting.analysis.frames import groups_of
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Task

SCORE = "score"  # the mean of the metrics that form a task's score
CELL = ["backbone", "method", "state", "seed", "template", "split"]
SAMPLE = ["backbone", "method", "state", "split"]


@dataclass(frozen=True, order=True)
class Place:
    """What a sample is of."""

    suite: str
    task: str
    backbone: str
    method: str
    state: str
    split: str


@dataclass(frozen=True)
class Sample:
    """All replicates of a method on a task: examples in order of their ids, and what each contributes by metric."""

    seeds: tuple[int, ...]
    groups: tuple[str, ...]  # of the N examples
    values: dict[str, Float[ndarray, "R N"]]


def samples_of(collected: Collected) -> dict[Place, Sample]:
    """Every method that answered a task's split, by its place in order."""
    found: dict[Place, Sample] = {}
    for (suite, task), rows in groups_of(collected.examples, ["suite", "task"]):
        definition = collected.manifests[suite].definitions[task]
        contributions = _contributions(rows, definition)
        for names, sample in _samples(contributions, [SCORE, *shown_metrics(definition)]):
            found[Place(suite, task, *names)] = sample
    return dict(sorted(found.items()))


def shown_metrics(task: Task) -> tuple[str, ...]:
    """The metrics that get intervals of their own, beside the score: none where the score is one alone."""
    return task.metrics if len(score_of(task.score_metrics)) > 1 else ()


def score_of(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a score's metrics that enter it: where lower is better none does, so that the best is the highest."""
    return tuple(name for name in metrics if METRICS[name].higher_is_better)


def _contributions(rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    """A row an example and replicate, mean over templates; a column a metric and one for the score."""
    cells = rows.groupby(CELL).ngroup().to_numpy()
    formed = score_of(task.score_metrics)
    wanted = dict.fromkeys((*formed, *shown_metrics(task)))
    columns = {name: METRICS[name].contributions(rows, cells) for name in wanted}
    columns[SCORE] = np.mean([columns[name] for name in formed], axis=0)
    keys = [*SAMPLE, "seed", "id", "group"]
    return rows[keys].assign(**columns).groupby(keys, as_index=False).mean()


def _samples(contributions: pd.DataFrame, metrics: list[str]) -> Iterator[tuple[tuple[str, ...], Sample]]:
    for names, rows in groups_of(contributions, SAMPLE):  # sorted by seed and id
        seeds = tuple(int(seed) for seed in rows["seed"].unique())
        count = len(rows) // len(seeds)
        ids = rows["id"].to_numpy()
        if len(rows) % len(seeds) or (ids.reshape(len(seeds), count) != ids[:count]).any():
            raise UserError(f"the seeds of {names[1]} on {names[0]} answered different examples; run `dvc repro` again")
        values = {name: rows[name].to_numpy().reshape(len(seeds), count) for name in metrics}
        yield names, Sample(seeds, tuple(rows["group"].iloc[:count]), values)
