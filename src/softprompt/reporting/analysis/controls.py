"""Whether what must stay at chance does: by an equivalence margin, for "not significant" would be no proof."""

import pandas as pd

from softprompt.reporting.analysis.comparisons import Pair, scored_pairs
from softprompt.reporting.analysis.intervals import Scores
from softprompt.reporting.analysis.two_way import CONFIDENCE, difference
from softprompt.reporting.context import CONTROL_MARGIN

COLUMNS = [
    "suite", "backbone", "method", "split", "score", "against", "score_against", "lead", "low", "high", "margin",
    "verdict",
]  # fmt: skip


def control_verdicts(pairs: list[Pair], scores: Scores) -> pd.DataFrame:
    """A row a control: its lead with one-sided bounds, and `holds`, `fails` or `undecided`."""
    rows = []
    for pair, own, other in scored_pairs(pairs, scores):
        lead = float(own.value - other.value)
        margin = float(difference(own, other).margin(2 * CONFIDENCE - 1))  # both one-sided bounds at once
        names = (pair.suite, pair.backbone, pair.method, pair.split, float(own.value), pair.against)
        bounds = (lead - margin, lead + margin)
        rows.append((*names, float(other.value), lead, *bounds, CONTROL_MARGIN, verdict_of(*bounds)))
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict_of(low: float, high: float) -> str:
    """What one-sided bounds of a lead say about the margin; nothing where there are none (NaN)."""
    if high < CONTROL_MARGIN:
        return "holds"
    return "fails" if low > CONTROL_MARGIN else "undecided"
