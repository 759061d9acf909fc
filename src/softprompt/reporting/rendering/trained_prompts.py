"""What prompts learnt: the words nearest to their vectors, and how evenly the prompts of a pool are used."""

import numpy as np
import pandas as pd

from softprompt.reporting.analysis.frames import groups_of, rows_of, select
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.context import controls_last
from softprompt.reporting.rendering.markdown import DASH, as_code, percent, table

USAGE = ["backbone", "method", "suite", "cells", "prompts", "effective", "least_effective", "largest", "unused"]
SHOWN_VECTORS = 8  # of a prompt; the others are in nearest_tokens.csv


def shown_tasks(report: Report) -> list[tuple[str, str]]:
    """The first task of every suite."""
    return [(suite, report.collected.manifests[suite].headline_tasks[0]) for suite in report.context.suites]


def likeness_table(report: Report) -> str:
    """How near a vector's nearest word is: mean cosine over vectors, tasks and replicates; a column a backbone."""
    nearest = select(report.collected.nearest_tokens, rank=1)
    means = nearest.groupby(["method", "backbone"])["cosine"].mean().to_dict()
    backbones = report.context.backbones
    rows = [
        [f"`{method}`", *(f"{means[method, one]:.2f}" if (method, one) in means else DASH for one in backbones)]
        for method in controls_last(report.context.rows())
        if any((method, one) in means for one in backbones)
    ]
    return table(["method", *backbones], rows) if rows else ""


def nearest_table(report: Report, backbone: str) -> str:
    """A row a method and vector, a column a task: three words, and the cosine of the first."""
    tasks = shown_tasks(report)
    nearest = select(report.collected.nearest_tokens, backbone=backbone)
    rows = []
    for method in controls_last(report.context.rows()):
        found = {task: _words(select(nearest, method=method, suite=task[0], task=task[1])) for task in tasks}
        vectors = list(dict.fromkeys(vector for words in found.values() for vector in words))
        for vector in vectors[:SHOWN_VECTORS]:
            rows.append([f"`{method}`", vector, *(found[task].get(vector, DASH) for task in tasks)])
    header = ["method", "vector", *(f"{suite}/{task}" for suite, task in tasks)]
    return table(header, rows, left=len(header)) if rows else ""


def usage_table(report: Report) -> str:
    """How evenly pools are used; a row a backbone, method and suite."""
    rows = [
        [
            row.backbone,
            f"`{row.method}`",
            row.suite,
            str(row.cells),
            str(row.prompts),
            f"{row.effective:.1f}",
            f"{row.least_effective:.1f}",
            percent(row.largest),
            f"{row.unused:.1f}",
        ]
        for row in rows_of(usage_summary(report.collected.pool_usage))
    ]
    header = ["backbone", "method", "suite", "cells", "prompts", "effective", "least", "largest share", "unused"]
    return table(header, rows, left=3) if rows else ""


def _words(nearest: pd.DataFrame) -> dict[str, str]:
    """vector -> its words in order of nearness."""
    found = {}
    for (vector,), group in nearest.groupby(["vector"], sort=False):
        ordered = group.sort_values("rank")
        words = " ".join(token_as_code(token) for token in ordered["token"])
        found[str(vector)] = f"{words} ({ordered['cosine'].iloc[0]:.2f})"
    return found


def token_as_code(token: str) -> str:
    """A token in a cell of a table, its blanks and line ends made visible."""
    return as_code(token.replace(" ", "␣").replace("\n", "↵") or DASH)


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
