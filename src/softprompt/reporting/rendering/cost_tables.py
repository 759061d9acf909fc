"""Costs as tables: what one cell took by itself and with the search that led to it."""

import math
from typing import Any

import pandas as pd

from softprompt.reporting.analysis.costs import COUNTS, SEARCH
from softprompt.reporting.analysis.frames import rows_of
from softprompt.reporting.rendering.markdown import DASH, table

PLACE = ["suite", "backbone", "method"]


def training_table(costs: pd.DataFrame) -> str:
    """Counts of one cell's own training."""
    return _counts(costs, "cells", "")


def search_table(costs: pd.DataFrame) -> str:
    """Counts of all trials that led to one cell; nothing where none was searched for."""
    searched = costs[costs["search_trainings"].notna()]
    return "" if searched.empty else _counts(searched, "search_trainings", SEARCH)


def _counts(costs: pd.DataFrame, number: str, before: str) -> str:
    header = [*PLACE, "trials" if before else "cells", "steps", "rows forward", "backward", "inference"]
    counts = [number, *(before + name for name in COUNTS)]
    rows = [_place(row) + [_number(getattr(row, name)) for name in counts] for row in rows_of(costs)]
    return table(header, rows, left=len(PLACE))


def timing_table(timings: pd.DataFrame) -> str:
    """Seconds of one cell and of its search, speed, memory."""
    header = [*PLACE, "cells", "seconds", "of all trials", "member-steps/s", "peak MiB", "of all trials"]
    rows = [
        [
            *_place(row),
            _number(row.cells),
            _number(row.train_seconds, 2),
            _number(row.search_train_seconds, 2),
            _number(row.member_steps_per_second, 1),
            _number(row.peak_memory_mib),
            _number(row.search_peak_memory_mib),
        ]
        for row in rows_of(timings)
    ]
    return table(header, rows, left=len(PLACE))


def _place(row: Any) -> list[str]:
    return [row.suite, row.backbone, f"`{row.method}`"]


def _number(value: float, decimals: int = 0) -> str:
    return DASH if math.isnan(value) else f"{value:,.{decimals}f}"
