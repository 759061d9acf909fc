"""Scores of cells, computed from their predictions and nothing else."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from softprompt.results import Score
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Task

CELL = ["suite", "task", "backbone", "method", "state", "seed", "template", "split"]
Definitions = Mapping[tuple[str, str], Task]  # (suite, task) -> what it asks and how it is scored


def score_table(predictions: pd.DataFrame, definitions: Definitions) -> pd.DataFrame:
    """Every metric of every cell, template and split; columns as in results.Score."""
    rows = []
    for values, rows_of_cell in predictions.groupby(CELL, sort=False):
        named: dict[str, Any] = dict(zip(CELL, values, strict=True))
        for name in definitions[named["suite"], named["task"]].metrics:
            metric = METRICS[name]
            score = Score(
                **named,
                metric=name,
                value=metric(rows_of_cell),
                n_examples=len(rows_of_cell),
                higher_is_better=metric.higher_is_better,
            )
            rows.append(score.model_dump())
    return pd.DataFrame(rows, columns=list(Score.model_fields))
