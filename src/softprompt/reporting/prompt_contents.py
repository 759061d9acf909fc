"""What evaluate found in trained prompts, read back: words near to their vectors, and how evenly pools are used."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from softprompt.errors import UserError
from softprompt.reporting.context import ReportContext
from softprompt.reporting.frames import groups_of
from softprompt.results import NearestToken, PoolUsage, Record

AnyRecord = TypeVar("AnyRecord", bound=Record)
USAGE = ["backbone", "method", "suite", "cells", "prompts", "effective", "least_effective", "largest", "unused"]


def _nothing_of(record: type[Record]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(record.model_fields))


@dataclass(frozen=True)
class PromptContents:
    """`nearest` has a row a NearestToken, `usage` a row a PoolUsage; empty where nothing was trained of the kind."""

    nearest: pd.DataFrame = field(default_factory=lambda: _nothing_of(NearestToken))
    usage: pd.DataFrame = field(default_factory=lambda: _nothing_of(PoolUsage))

    def __bool__(self) -> bool:
        return not (self.nearest.empty and self.usage.empty)


def read_prompt_contents(results: Path, context: ReportContext) -> PromptContents:
    """Everything inside the planned grid, in an order that the results decide alone."""
    folders = [results / "evaluate" / backbone for backbone in context.backbones]
    nearest = [_read(folder / "nearest_tokens.csv", NearestToken) for folder in folders]
    usage = [_read(folder / "pool_usage.csv", PoolUsage) for folder in folders]
    return PromptContents(_in_grid(nearest, NearestToken, context), _in_grid(usage, PoolUsage, context))


def usage_summary(usage: pd.DataFrame) -> pd.DataFrame:
    """A row a backbone, method and suite, means over cells.

    `effective` is the exponential of the entropy (nats) of a cell's shares: as many prompts, used evenly, would be as
    spread. `largest` is the largest share, `unused` the number of prompts that no dev example drew from.
    """
    rows = []
    for place, group in groups_of(usage, ["backbone", "method", "suite"]):
        shares = [cell["share"].to_numpy() for _, cell in groups_of(group, ["task", "seed"])]
        effective = [effective_prompts(own) for own in shares]
        largest, unused = np.mean([own.max() for own in shares]), np.mean([(own == 0).sum() for own in shares])
        prompts = max(map(len, shares))
        rows.append((*place, len(shares), prompts, np.mean(effective), min(effective), largest, unused))
    return pd.DataFrame(rows, columns=USAGE)


def effective_prompts(shares: np.ndarray) -> float:
    """exp of the entropy of shares that add up to 1: from 1 (one prompt is all) to their number (all alike)."""
    present = shares[shares > 0]
    return float(np.exp(-(present * np.log(present)).sum()))


def shares_by_place(usage: pd.DataFrame) -> pd.DataFrame:
    """Mean share of the prompt that a cell uses most, second most and so on; their numbers mean nothing."""
    if usage.empty:
        return pd.DataFrame(columns=["backbone", "method", "place", "share"])
    cells = usage.groupby(["backbone", "method", "suite", "task", "seed"])["share"]
    place = cells.rank(method="first", ascending=False).astype(int)
    means = usage.assign(place=place).groupby(["backbone", "method", "place"])["share"].mean()
    return means.reset_index()


def _read(path: Path, record: type[AnyRecord]) -> pd.DataFrame:
    columns = list(record.model_fields)
    if not path.is_file():
        return _nothing_of(record)
    text = {name: str for name in ("task", "vector", "token") if name in columns}
    frame = pd.read_csv(path, dtype=text, keep_default_na=False)  # a token may read "nan"
    if list(frame.columns) != columns:
        raise UserError(f"{path}: columns are {list(frame.columns)}, expected {columns}; run `dvc repro` again")
    return frame


def _in_grid(frames: list[pd.DataFrame], record: type[Record], context: ReportContext) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    frame = pd.concat(filled, ignore_index=True) if filled else _nothing_of(record)
    inside = frame["suite"].isin(context.suites) & frame["method"].isin(context.methods)
    return frame[inside].reset_index(drop=True)
