"""How much of a report is undertuned: a sentence for its first lines, a table, and the marks explained."""

import pandas as pd

from softprompt.reporting.analysis.frames import rows_of
from softprompt.reporting.analysis.undertuned import EVERY_TASK, MARKS, shares
from softprompt.reporting.rendering.markdown import joined, table, whole_percent

WORDS = {
    "last_step": "are best at the last step of the budget",
    "edge": "have a setting on the edge of its range",
    "tie": "were chosen among trials that tie on dev",
}


def undertuned_sentence(frame: pd.DataFrame) -> str:
    """The share of undertuned cells and why, or nothing where nothing was tuned."""
    if frame.empty:
        return ""
    count = int(frame["undertuned"].sum())
    reasons = joined([f"{int(frame[reason].sum())} {words}" for reason, words in WORDS.items()])
    return (
        f"{count} of {len(frame)} tuned cells ({whole_percent(count / len(frame))}) are undertuned, so that more steps "
        f"or a wider search might move them: {reasons}. {marks_in_words()}"
    )


def marks_in_words() -> str:
    """What stands beside numbers in the tables."""
    return f"{MARKS[1]} and {MARKS[2]} mark numbers some and most of whose cells are undertuned."


def undertuned_table(frame: pd.DataFrame) -> str:
    """A row a suite and backbone."""
    means = shares(frame)
    rows = [
        [
            row.suite,
            row.backbone,
            str(row.cells),
            *(whole_percent(share) for share in (row.undertuned, row.last_step, row.edge, row.tie)),
        ]
        for row in rows_of(means[means["task"] == EVERY_TASK])
    ]
    return table(["suite", "backbone", "tuned cells", "undertuned", "last step", "edge", "tie"], rows, left=2)
