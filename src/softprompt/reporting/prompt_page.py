"""The page on what prompts learnt: the words nearest to their vectors, and how much of a pool is used."""

import pandas as pd

from softprompt.reporting.frames import rows_of, select
from softprompt.reporting.markdown import DASH, percent, table
from softprompt.reporting.prompt_contents import usage_summary
from softprompt.reporting.report import Report

SHOWN_VECTORS = 8  # of a prompt; the others are in nearest_tokens.csv


def shown_tasks(report: Report) -> list[tuple[str, str]]:
    """The first task of every suite."""
    return [(suite, report.collected.manifests[suite].headline_tasks[0]) for suite in report.context.suites]


def nearest_table(report: Report, backbone: str) -> str:
    """A row a method and vector, a column a task: three words, and the cosine of the first."""
    tasks = shown_tasks(report)
    nearest = select(report.collected.prompts.nearest, backbone=backbone)
    rows = []
    for method in report.context.rows():
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
        for row in rows_of(usage_summary(report.collected.prompts.usage))
    ]
    header = ["backbone", "method", "suite", "cells", "prompts", "effective", "least", "largest share", "unused"]
    return table(header, rows, left=3) if rows else ""


def _words(nearest: pd.DataFrame) -> dict[str, str]:
    """vector -> its words in order of nearness."""
    found = {}
    for (vector,), group in nearest.groupby(["vector"], sort=False):
        ordered = group.sort_values("rank")
        words = " ".join(as_code(token) for token in ordered["token"])
        found[str(vector)] = f"{words} ({ordered['cosine'].iloc[0]:.2f})"
    return found


def as_code(token: str) -> str:
    """A token in a cell of a table: blanks made visible, marks that would end the code or the cell replaced."""
    visible = token.replace(" ", "␣").replace("\n", "↵").replace("`", "ˋ").replace("|", "\\|")
    return f"`{visible or DASH}`"
