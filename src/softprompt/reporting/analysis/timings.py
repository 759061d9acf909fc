"""What cells cost. The only numbers of a report that differ from run to run."""

import pandas as pd

from softprompt.results import Cell

MIB = 1024**2
COLUMNS = [
    "backbone", "method", "cells", "train_seconds", "member_steps_per_second", "peak_memory_mib",
    "parameters_trained", "parameters_kept",
]  # fmt: skip


def timings(cells: list[Cell]) -> pd.DataFrame:
    """A row a backbone and method: summed seconds, median speed, highest memory, largest parameter counts."""
    rows = [
        (
            cell.backbone, cell.method, cell.cost.train_seconds, cell.cost.member_steps_per_second,
            cell.cost.peak_memory_bytes / MIB, cell.parameters_trained, cell.parameters_kept,
        )
        for cell in cells
        if cell.cost is not None
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "cells"])
    return frame.groupby(["backbone", "method"], as_index=False).agg(
        cells=("train_seconds", "size"),
        train_seconds=("train_seconds", "sum"),
        member_steps_per_second=("member_steps_per_second", "median"),
        peak_memory_mib=("peak_memory_mib", "max"),
        parameters_trained=("parameters_trained", "max"),
        parameters_kept=("parameters_kept", "max"),
    )
