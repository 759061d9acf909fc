"""The first tables of a report: which methods to take, and what they cost."""

import math
from collections.abc import Mapping
from typing import Any

from softprompt.reporting.analysis.answers import Answer, answers
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.rendering.markdown import DASH, joined, table, whole_percent, with_margin

HEADER = ["backbone", "weights", "method", "score", "rows passed", "kept", "undertuned"]


def answer_tables(report: Report) -> Mapping[str, str]:
    """suite -> a row a method to take, and below the others that may be the best too."""
    found: dict[str, list[Answer]] = {}
    for answer in answers(report):
        found.setdefault(answer.suite, []).append(answer)
    return {suite: "\n\n".join(filter(None, (_taken(own), _others(own)))) for suite, own in found.items()}


def _taken(found: list[Answer]) -> str:
    rows = []
    for answer in found:
        remark = "" if answer.settled else " (?)"
        rows += [[answer.backbone, answer.state, f"`{row.method}`{remark}", *_numbers(row)] for row in answer.taken]
    return table(HEADER, rows, left=3)


def _others(found: list[Answer]) -> str:
    lines = [
        f"{answer.backbone}, {answer.state}: {joined([f'`{row.method}`' for row in answer.others])}"
        for answer in found
        if answer.others
    ]
    return f"May be the best too, though one above is as good and costs no more: {'; '.join(lines)}." if lines else ""


def _numbers(row: Any) -> list[str]:
    undertuned = DASH if math.isnan(row.undertuned) else whole_percent(row.undertuned)
    return [with_margin(row.score, row.low, row.high), f"{row.rows:,.0f}", f"{row.kept:,.0f}", undertuned]
