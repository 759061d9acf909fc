"""Learning curves averaged over tasks and seeds, and what pretraining reported."""

import math
from pathlib import Path

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


def pretraining_report(pretraining: Path | None, backbones: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Loss curves and facts known by template, with a `backbone` column; empty where nothing was pretrained here."""
    losses = [pd.DataFrame(columns=["backbone", "step", "loss"])]
    facts = [pd.DataFrame(columns=["backbone", "relation", "template", "split", "p_at_1", "n"])]
    for backbone in backbones if pretraining else ():
        folder = Path(str(pretraining)) / backbone
        if (folder / "loss.csv").is_file():
            losses.append(pd.read_csv(folder / "loss.csv").assign(backbone=backbone))
        if (folder / "facts.csv").is_file():
            facts.append(pd.read_csv(folder / "facts.csv", dtype={"template": str}).assign(backbone=backbone))
    return _stack(losses), _stack(facts)


def _filled(cell: Cell, steps: list[int], field: str) -> list[float]:
    """The curve at all steps: its latest finite value, before the first look the first. A loss may have run away."""
    curve = [(point.step, float(getattr(point, field))) for point in cell.curve]
    known = {step: value for step, value in curve if math.isfinite(value)}
    values, latest = [], next(iter(known.values()), math.nan)
    for step in steps:
        latest = known.get(step, latest)
        values.append(latest)
    return values


def _stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    columns = list(frames[0].columns)
    filled = [frame[columns] for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
