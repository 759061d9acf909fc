"""What cells cost, their searches included: counts, which the same results always give, and seconds and memory."""

from collections.abc import Iterator

import pandas as pd

from softprompt.results import Cell, Cost

MIB = 1024**2
PLACE = ["suite", "backbone", "method"]
COUNTS = ["steps", "rows_forward", "rows_backward", "rows_inference"]
SEARCH = "search_"  # of all trials, before a name
COSTS = [
    *PLACE, "cells", *COUNTS, "search_trainings", *(SEARCH + name for name in COUNTS), "parameters_trained",
    "parameters_kept",
]  # fmt: skip
TIMINGS = [
    *PLACE, "cells", "train_seconds", "search_train_seconds", "member_steps_per_second", "peak_memory_mib",
    "search_peak_memory_mib",
]  # fmt: skip


def costs(cells: list[Cell]) -> pd.DataFrame:
    """A row a suite, backbone and method: what one cell took, mean over cells, and the largest parameter counts.

    Columns from `search_` on are of all trials of the cell's task in its study. Rows: see training/rows.py.
    """
    frame = _frame(cells)
    frame["parameters_trained"] = [cell.parameters_trained for cell in _with_cost(cells)]
    frame["parameters_kept"] = [cell.parameters_kept for cell in _with_cost(cells)]
    highest = {"parameters_trained": "max", "parameters_kept": "max"}
    means = dict.fromkeys([*COUNTS, "search_trainings", *(SEARCH + name for name in COUNTS)], "mean")
    return _grouped(frame, means | highest)[COSTS]


def timings(cells: list[Cell]) -> pd.DataFrame:
    """A row a suite, backbone and method: seconds of one cell, mean over cells, speed over all that was measured, and
    the highest memory. The only numbers of a report that differ from run to run."""
    frame = _frame(cells)
    frame["all_steps"] = frame["search_steps"].fillna(frame["steps"])
    frame["all_seconds"] = frame["search_train_seconds"].fillna(frame["train_seconds"])
    for name in ("peak_memory_mib", "search_peak_memory_mib"):
        frame[name] = frame[name.replace("_mib", "_bytes")] / MIB
    table = _grouped(
        frame,
        {
            **dict.fromkeys(["train_seconds", "search_train_seconds", "all_steps", "all_seconds"], "mean"),
            **dict.fromkeys(["peak_memory_mib", "search_peak_memory_mib"], "max"),
        },
    )
    table["member_steps_per_second"] = table["all_steps"] / table["all_seconds"]
    return table[TIMINGS]


def _with_cost(cells: list[Cell]) -> Iterator[Cell]:
    return (cell for cell in cells if cell.cost is not None)


def _frame(cells: list[Cell]) -> pd.DataFrame:
    """A row a cell with a cost: its place, the cost of its training, and that of its search where it had one."""
    names = list(Cost.model_fields)
    rows = [
        (
            cell.suite, cell.backbone, cell.method, *(getattr(cell.cost, name) for name in names),
            *(getattr(cell.search_cost, name, None) for name in names),
        )
        for cell in _with_cost(cells)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*PLACE, *names, *(SEARCH + name for name in names)])
    return frame.astype({SEARCH + name: float for name in names})


def _grouped(frame: pd.DataFrame, how: dict[str, str]) -> pd.DataFrame:
    grouped = frame.groupby(PLACE)
    return grouped.agg(how).assign(cells=grouped.size()).reset_index()
