"""Numbers and tables as Markdown: one way to write each, so that reports can be compared line by line."""

import math
import re
from collections.abc import Mapping, Sequence

DASH = "–"
NOT_APPLICABLE = "n/a"
MAY_BE_BEST = "●"
COLUMNS_A_TABLE = 8  # of a score with its interval and marks: ten are wider than a page
MEANT = re.compile(r"[\\`*\[\]<>&|~]|(?<!\w)_|_(?!\w)")
BACKTICKS = re.compile("`+")


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal; a dash where there is none."""
    if value is None or math.isnan(value):
        return DASH
    return f"{100 * value + 0.0:.1f}".replace("-0.0", "0.0")


def whole_percent(share: float) -> str:
    """`95 %`, of a level of confidence or significance."""
    return f"{100 * share:.0f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, always signed."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or math.isnan(low):
        return "no interval"
    return f"{points(low)} to {points(high)}"


def with_margin(mean: float, low: float | None, high: float | None) -> str:
    """`63.1 ±1.2`, the half width of a symmetric interval; the mean alone where there is no interval."""
    if low is None or high is None or math.isnan(low):
        return percent(mean)
    return f"{percent(mean)} ±{percent((high - low) / 2)}"


def p_value(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table whose first `left` columns are text and the others numbers, aligned right."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def wrapped_table(rows: Sequence[str], columns: Mapping[str, Sequence[str]], *, corner: str = "method") -> str:
    """Tables below each other: names of the rows, and as many columns, by their heads, as a page is wide."""
    heads = list(columns)
    parts = [heads[start : start + COLUMNS_A_TABLE] for start in range(0, len(heads), COLUMNS_A_TABLE)]
    return "\n\n".join(
        table([corner, *part], [[name, *(columns[head][row] for head in part)] for row, name in enumerate(rows)])
        for part in parts
    )


def as_text(text: str) -> str:
    """Data within a line or a cell: none of its letters means anything to Markdown or HTML, nor ends the line."""
    return MEANT.sub(r"\\\g<0>", _in_one_line(text))


def as_code(text: str) -> str:
    """Data as code within a line or a cell. Only a bar would end the cell all the same."""
    line = _in_one_line(text)
    fence = "`" * (max(map(len, BACKTICKS.findall(line)), default=0) + 1)
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", r"\|") if line else ""


def _in_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def counted(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
