"""The findings in words and small tables: effect and interval first, then p."""

from typing import Any

from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.gaps import Gap
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.analysis.wordings import WIDE
from softprompt.reporting.rendering.markdown import (
    as_text,
    counted,
    interval,
    joined,
    p_value,
    percent,
    points,
    table,
    whole_percent,
)

OPPONENTS = {"manual": "the mean manual template", "manual_best": "the best one chosen on dev"}
CONTROL_NAMES = {
    "p_tuning": "p_tuning on withheld facts",
    "random_backbone": "p_tuning on a random backbone",
    "random_prompt": "random prompt",
}
SHOWN_CELLS = 3


def key_lines(report: Report) -> list[str]:
    """A line a backbone: p_tuning against manual templates on held-out facts."""
    lines = []
    for backbone in report.context.backbones:
        sentences = [_against(report, row) for row in rows_of(_family(report, "key", backbone=backbone))]
        if sentences:
            own = percent(suite_mean(report, backbone, "p_tuning", "test"))
            lines.append(f"**{backbone}**: `p_tuning` reaches {own}: {joined(sentences)}.")
    return lines


def control_table(report: Report) -> str:
    """What must stay at chance, against the majority answer on the same facts."""
    rows = []
    for row in rows_of(report.controls):
        scores = [percent(row.score), percent(row.score_against)]
        lead = f"{points(row.lead)} ({interval(row.low, row.high)})"
        rows.append([CONTROL_NAMES[row.method], row.backbone, *scores, lead, row.verdict])
    header = ["control", "backbone", "P@1", "majority", "lead (one-sided bounds)", "verdict"]
    return table(header, rows, left=2) if rows else ""


def control_verdict(report: Report) -> str:
    """How many controls stay within the margin, and which do not."""
    verdicts = report.controls["verdict"]
    within = f"{(verdicts == 'holds').sum()} of {counted(len(verdicts), 'control')} hold"
    others = report.controls[verdicts != "holds"]
    if others.empty:
        return f"{within}."
    names = [f"{CONTROL_NAMES[row.method]} on {row.backbone} ({row.verdict})" for row in rows_of(others)]
    return f"{within}; **not shown to hold: {joined(names)}.**"


def spread_lines(report: Report, suite: str) -> list[str]:
    """A line a backbone: how far wordings of one relation lie apart."""
    lines = []
    for backbone in report.context.backbones:
        spread = select(report.spread, suite=suite, backbone=backbone)
        ranges = 100 * spread[spread["templates"] > 1]["range"]
        if not ranges.empty:
            wide = int((ranges >= 100 * WIDE).sum())
            lines.append(
                f"**{backbone}**: best and worst wording of a relation lie {ranges.median():.1f} points apart "
                f"(median; {ranges.min():.1f} to {ranges.max():.1f}), "
                f"{100 * WIDE:.0f} or more in {wide} of {len(ranges)} relations."
            )
    return lines


def dropped_lines(report: Report, suite: str) -> list[str]:
    """A line a backbone that cannot answer every test example."""
    reasons = {"not_one_token": "not one token", "outside_vocabulary": "not in the restricted vocabulary"}
    lines = []
    for backbone in report.context.backbones:
        counts = select(report.collected.coverage, suite=suite, backbone=backbone, split="test")
        dropped = counts["examples"] - counts["kept"]
        if dropped.sum():
            why = joined([words for reason, words in reasons.items() if counts[reason].sum()]).replace(" and ", " or ")
            lines.append(
                f"**{backbone}**: {dropped.sum()} of {counts['examples'].sum()} test examples left out, "
                f"in {(dropped > 0).sum()} of {len(counts)} tasks, because their answer is {why}."
            )
    return lines


def edge_sentence(report: Report) -> str:
    """How many chosen hyper-parameters sit on the edge of their range."""
    values = len(report.settings)
    edges = int((report.settings["edge"] != "").sum())
    if not edges:
        return f"None of the {values} chosen values sits on the edge of its range."
    return (
        f"{edges} of the {values} chosen values sit on the edge of their range: there a wider search might do better."
    )


def gap_lines(gaps: list[Gap]) -> list[str]:
    """A line a reason."""
    return [
        f"{gap.status}: `{gap.method}` on {gap.backbone}, {gap.suite} ({_cells(gap)}): {as_text(gap.reason)}"
        for gap in gaps
    ]


def suite_mean(report: Report, backbone: str, method: str, split: str) -> float | None:
    """LAMA's macro mean, or nothing."""
    rows = select(report.suites, suite="lama", backbone=backbone, method=method, split=split)
    return None if rows.empty else float(rows["macro"].iloc[0])


def _against(report: Report, row: Any) -> str:
    """`+12.3 points (95 % interval +8.1 to +16.5; p < 0.001) against the mean manual template at 72.7`"""
    other = percent(suite_mean(report, row.backbone, row.against, "test"))
    numbers = f"{whole_percent(CONFIDENCE)} interval {interval(row.low, row.high)}; {p_value(row.p_holm)}"
    if row.smallest_p > 0:
        numbers += f", smallest possible {row.smallest_p:.2g}"
    few = row.smallest_p >= ALPHA and not row.low <= 0 <= row.high
    reason = " by so few relations" if few else ""
    verdict = "" if row.p_holm < ALPHA else f"; not distinguishable{reason}"
    return f"{points(row.effect)} points ({numbers}{verdict}) against {OPPONENTS[row.against]} at {other}"


def _family(report: Report, family: str, **place: str) -> Any:
    return select(report.comparisons, family=family, **place)


def _cells(gap: Gap) -> str:
    if len(gap.cells) <= SHOWN_CELLS:
        return "; ".join(gap.cells)
    return f"{len(gap.cells)} cells, first {gap.cells[0]}"
