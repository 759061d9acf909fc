"""Learning curves averaged over tasks and seeds."""

import math

import numpy as np
import pandas as pd

from softprompt.results import Cell

COLUMNS = ["suite", "backbone", "method", "step", "dev_score", "train_loss", "cells", "running"]


def mean_curves(cells: list[Cell]) -> pd.DataFrame:
    """A row a step: dev score averaged over tasks and seeds. A cell that stopped early keeps its last value, so that
    the mean never drifts towards the cells that are still running (`running` of `cells`)."""
    with_curve = [cell for cell in cells if cell.status == "done" and cell.curve]
    places = sorted({(cell.suite, cell.backbone, cell.method) for cell in with_curve})
    rows = []
    for place in places:
        group = [cell for cell in with_curve if (cell.suite, cell.backbone, cell.method) == place]
        steps = sorted({point.step for cell in group for point in cell.curve})
        scores = np.mean([_filled(cell, steps, "dev_score") for cell in group], axis=0)
        losses = np.mean([_filled(cell, steps, "train_loss") for cell in group], axis=0)
        for number, step in enumerate(steps):
            running = sum(cell.curve[-1].step >= step for cell in group)
            rows.append((*place, step, scores[number], losses[number], len(group), running))
    return pd.DataFrame(rows, columns=COLUMNS)


def _filled(cell: Cell, steps: list[int], field: str) -> list[float]:
    """The curve at all steps: its latest finite value, before the first evaluation the first. A loss may diverge."""
    curve = [(point.step, float(getattr(point, field))) for point in cell.curve]
    known = {step: value for step, value in curve if math.isfinite(value)}
    values, latest = [], next(iter(known.values()), math.nan)
    for step in steps:
        latest = known.get(step, latest)
        values.append(latest)
    return values
