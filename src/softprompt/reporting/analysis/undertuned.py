"""Cells that more training or a wider search might have moved: undertuned ones, and why.

`last_step`: at the last step that the budget has, the score on dev was higher than ever before. `edge`: a chosen
setting sits on a border of its range that could be moved (`SearchedSetting.on_edge`). `tie`: several settings share the
best score on dev, so that it was the order of trials that chose. Of LAMA a trial's score is a mean over relations: all
relations of a study tie.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from softprompt.config import Budget
from softprompt.reporting.analysis.collect import Collected, Trial
from softprompt.reporting.analysis.frames import select
from softprompt.results import Cell, TrialRecord

REASONS = ["last_step", "edge", "tie"]
CELL = ["suite", "task", "backbone", "method", "seed"]
COLUMN = ["suite", "task", "backbone"]
EVERY_TASK = ""  # in place of a task, where a column is a mean over them
MARKS = ("", "△", "▲")  # none, some, most of the cells behind a number are undertuned


def undertuned_cells(collected: Collected, budget: Budget) -> pd.DataFrame:
    """A row a finished cell that was trained or searched for: which reasons it has, and whether it has any."""
    ties = _ties(collected.trials)
    rows = [
        (
            cell.suite, cell.task, cell.backbone, cell.method, cell.seed, best_at_the_end(cell, budget),
            any(setting.on_edge() for setting in cell.searched), _is_tied(cell, ties),
        )
        for cell in collected.cells
        if cell.status == "done" and (cell.curve or cell.searched)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*CELL, *REASONS]).astype(dict.fromkeys(REASONS, bool))
    return frame.assign(undertuned=frame[REASONS].any(axis=1)).sort_values(CELL, ignore_index=True)


def best_at_the_end(cell: Cell, budget: Budget) -> bool:
    """Whether the last evaluation scored higher than all before it, and came when the budget's steps were used up. What
    ends by itself, such as weights of wordings without descent, has no more steps to take. A search that keeps the
    lowest loss (autoprompt on facts) is judged by its score too."""
    ends_by_itself = len(cell.curve) == 1 and not cell.parameters_trained
    if cell.best_step is None or not cell.curve or ends_by_itself:
        return False
    *before, last = cell.curve
    rising = all(last.dev_score > point.dev_score for point in before)
    return rising and cell.best_step == last.step > budget.steps - budget.eval_every


def trials_tie(trials: Sequence[TrialRecord]) -> bool:
    """Whether different settings share the best score of a study."""
    scores = [round(trial.dev_score, 9) for trial in trials]  # means of the same numbers may differ in the last bits
    best = [trial.settings for trial, score in zip(trials, scores, strict=True) if score == max(scores)]
    return any(settings != best[0] for settings in best)


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every column, a mean over tasks or a single task on a backbone: its cells, and the share of them that is
    undertuned, by reason too."""
    over_tasks = frame.assign(task=EVERY_TASK)
    tables = [table.groupby(COLUMN) for table in (over_tasks, frame)]
    found = [table[["undertuned", *REASONS]].mean().assign(cells=table.size()).reset_index() for table in tables]
    columns = [*COLUMN, "cells", "undertuned", *REASONS]
    return pd.concat(found, ignore_index=True).sort_values(COLUMN, ignore_index=True)[columns]


def mostly_undertuned(frame: pd.DataFrame, suite: str, backbone: str, task: str = EVERY_TASK) -> bool:
    """Whether more than half of a column's cells are undertuned, so that nothing in it may be called the best."""
    return _share(frame, suite, backbone, task) > 0.5


def undertuned_mark(frame: pd.DataFrame, suite: str, backbone: str, method: str, task: str = EVERY_TASK) -> str:
    """What stands beside a number: see `MARKS`."""
    share = _share(select(frame, method=method), suite, backbone, task)
    return MARKS[(share > 0) + (share > 0.5)]


def _share(frame: pd.DataFrame, suite: str, backbone: str, task: str) -> float:
    """0 where no cell was trained or searched for."""
    column = select(frame, suite=suite, backbone=backbone, **({} if task == EVERY_TASK else {"task": task}))
    return 0.0 if column.empty else float(column["undertuned"].mean())


def _ties(trials: Sequence[Trial]) -> dict[tuple[str, str, str], dict[int, bool]]:
    """(backbone, method, study) -> its seed, of which there is one a replicate or one for all -> whether trials tie."""
    studies: dict[tuple[str, str, str], dict[int, list[TrialRecord]]] = {}
    for trial in trials:
        place = (trial.backbone, trial.method, trial.record.study)
        studies.setdefault(place, {}).setdefault(trial.record.seed, []).append(trial.record)
    return {
        place: {seed: trials_tie(records) for seed, records in by_seed.items()} for place, by_seed in studies.items()
    }


def _is_tied(cell: Cell, ties: Mapping[tuple[str, str, str], Mapping[int, bool]]) -> bool:
    """Of the cell's own study, or of the one that all seeds share."""
    by_seed = ties.get((cell.backbone, cell.method, cell.study), {})
    return by_seed.get(cell.seed, len(by_seed) == 1 and any(by_seed.values()))
