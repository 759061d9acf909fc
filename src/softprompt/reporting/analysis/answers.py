"""Which methods to take: those that may be the best of a suite, backbone and state, with what they cost."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.report import Report

PLACE = ["suite", "backbone", "method"]
COLUMNS = [*PLACE, "state", "score", "low", "high", "rows", "kept", "undertuned"]


@dataclass(frozen=True)
class Answer:
    """Rows of `with_costs`, highest score first. Where most of a column is undertuned none may be the best, and `taken`
    is the highest one."""

    suite: str
    backbone: str
    state: str
    settled: bool  # whether those taken may be called the best
    taken: tuple[Any, ...]  # that no other one which may be the best beats in score, rows and parameters kept at once
    others: tuple[Any, ...]  # which may be the best too


def with_costs(report: Report) -> pd.DataFrame:
    """A row a method that has all tasks of a suite: its score on test, the `rows` that a cell passes forward with all
    trials of its search (0: it trains nothing), the most parameters `kept`, and the share of its cells that is
    undertuned (NaN: it tunes nothing)."""
    test = select(report.suites, split="test")
    means = test[test["tasks"] == test["planned"]].rename(columns={"macro": "score"})
    costs = report.costs.assign(rows=report.costs["search_rows_forward"].fillna(report.costs["rows_forward"]))
    costs = costs.rename(columns={"parameters_kept": "kept"})[[*PLACE, "rows", "kept"]]
    shares = report.undertuned.groupby(PLACE, as_index=False).agg(undertuned=("undertuned", "mean"))
    found = means.merge(costs, on=PLACE, how="left").merge(shares, on=PLACE, how="left")
    return found.fillna({"rows": 0, "kept": 0})[COLUMNS]


def answers(report: Report) -> list[Answer]:
    """Suites and backbones in the order of the plan, frozen before tuned."""
    by_column = dict(groups_of(with_costs(report), ["suite", "backbone", "state"]))
    return [
        _answer(report, suite, backbone, state, by_column[suite, backbone, state])
        for suite in report.context.suites
        for backbone in report.context.backbones
        for state in ("frozen", "tuned")
        if (suite, backbone, state) in by_column
    ]


def _answer(report: Report, suite: str, backbone: str, state: str, column: pd.DataFrame) -> Answer:
    ordered = list(rows_of(column.sort_values(["score", "method"], ascending=[False, True])))
    best = [row for row in ordered if (suite, ALL_TASKS, backbone, row.method) in report.best]
    taken = [row for row in best or ordered[:1] if not any(is_beaten(row, other) for other in best)]
    return Answer(suite, backbone, state, bool(best), tuple(taken), tuple(row for row in best if row not in taken))


def is_beaten(row: Any, other: Any) -> bool:
    """Whether the other one is nowhere worse and somewhere better."""
    own, its = ((-one.score, one.rows, one.kept) for one in (row, other))
    return own != its and all(mine >= yours for mine, yours in zip(own, its, strict=True))
