"""`softprompt diff`: what moved between two results, as Markdown for a pull request, and an exit status for a gate."""

from typing import Any

import pandas as pd

from softprompt.data.manifest import MANIFEST
from softprompt.errors import shown
from softprompt.paths import Paths
from softprompt.reporting.analysis.collect import Manifest, describe_suite
from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.rendering.digests import CODE
from softprompt.reporting.rendering.markdown import (
    DASH,
    MAY_BE_BEST,
    as_code,
    as_text,
    counted,
    interval,
    p_value,
    points,
    table,
    whole_percent,
    with_margin,
)
from softprompt.usage.moves import FLIPPED, GONE, KINDS, MOVED, NEW, NOISE, moves
from softprompt.usage.sides import Side, git, open_side, working_copy
from softprompt.usage.verdicts import changed_settings, flipped_verdicts

SOMETHING_MOVED = 3  # the exit status: 1 is an error, and 2 what argparse makes of a wrong command line
SHOWN_ROWS, SHOWN_LINES = 40, 25  # of a table, of settings or commits
SHORT = 12  # letters of a commit


def diff(rev: str, other: str | None = None) -> tuple[str, int]:
    """The page and the exit status: 0 where no score moved, no verdict flipped and nothing is gone."""
    before, after = open_side(rev), open_side(other) if other else working_copy(Paths().root)
    scores = moves(before, after, prepared_manifests(Paths()))
    verdicts = flipped_verdicts(before, after)
    moved = bool(verdicts) or scores["kind"].isin([FLIPPED, MOVED, GONE]).any()
    return render_diff(before, after, scores, verdicts), SOMETHING_MOVED if moved else 0


def prepared_manifests(paths: Paths) -> dict[str, Manifest]:
    """Of the suites whose data is prepared here."""
    there = [path.parent.name for path in sorted(paths.prepared.glob(f"*/{MANIFEST}"))]
    return {name: describe_suite(paths, name) for name in there if (paths.test_suite(name) / MANIFEST).is_file()}


def render_diff(before: Side, after: Side, scores: pd.DataFrame, verdicts: list[tuple[str, str, str]]) -> str:
    """Markdown: counts, what moved, verdicts, settings, commits; what lies within noise is folded away."""
    counts = scores["kind"].value_counts()
    summary = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in KINDS)
    parts = [
        f"## What moved from {as_code(before.name)} to {as_code(after.name)}",
        f"{profile_words(before, after)}Of {counted(len(scores), 'score')}: {summary}.",
        *(score_table(select(scores, kind=kind), kind) for kind in (FLIPPED, MOVED, GONE, NEW)),
        list_of("Verdicts that flipped", [f"{as_text(what)}: {old} → {new}" for what, old, new in verdicts]),
        folded(score_table(select(scores, kind=NOISE), NOISE)),
        score_words(scores),
        settings_list(before.settings, after.settings),
        commit_list(before, after),
    ]
    return "\n\n".join(part for part in parts if part)


def profile_words(before: Side, after: Side) -> str:
    """Where the profiles differ."""
    old, new = before.provenance["profile"], after.provenance["profile"]
    return "" if old == new else f"Profile {as_code(str(old))} before, {as_code(str(new))} after. "


def score_table(rows: pd.DataFrame, kind: str) -> str:
    """A row a score of one kind: those of suites first, then the largest difference."""
    if rows.empty:
        return ""
    size = (rows["score_after"] - rows["score_before"]).abs()
    of_suite = rows["of_suite_before"].eq(True) | rows["of_suite_after"].eq(True)
    order = rows.assign(single=~of_suite, size=-size).sort_values(["single", "size"], kind="stable")
    lines = [_line(row) for row in rows_of(order.head(SHOWN_ROWS))]
    more = f"\n\n... and {len(rows) - SHOWN_ROWS} more." if len(rows) > SHOWN_ROWS else ""
    header = ["suite", "task", "backbone", "method", "before", "after", "difference", "p"]
    return f"### {kind[0].upper()}{kind[1:]}: {len(rows)}\n\n{table(header, lines, left=4)}{more}"


def score_words(scores: pd.DataFrame) -> str:
    """How to read the tables."""
    paired, both = int(scores["effect"].notna().sum()), scores["score_before"].notna() & scores["score_after"].notna()
    alone = int((both & scores["effect"].isna() & (scores["kind"] != KINDS[-1])).sum())
    level, alpha = whole_percent(CONFIDENCE), whole_percent(ALPHA)
    words = (
        f"Scores in %, ± half of the {level} interval, differences in points; {MAY_BE_BEST}: may be the best of its "
        "column, which is its verdict. Columns that are mostly undertuned have none."
    )
    if paired:
        words += (
            f" {counted(paired, 'difference')} paired on the same examples: {level} interval over replicates and "
            f"examples, p Holm-corrected over suites and over single tasks; moved: p below {alpha}."
        )
    if alone:
        words += (
            f" {counted(alone, 'difference')} without predictions of both sides on the same examples: moved where the "
            "two intervals do not overlap."
        )
    return words


def settings_list(before: Any, after: Any) -> str:
    """What differs between two params.yaml."""
    lines = [f"{as_code(key)}: {_value(old)} → {_value(new)}" for key, old, new in changed_settings(before, after)]
    return list_of("Settings", lines) or "Settings (`params.yaml`) are the same."


def commit_list(before: Side, after: Side) -> str:
    """The commits to code and settings that lie between, newest first."""
    if not (before.commit and after.commit):
        return ""
    found = _log(f"{before.commit}..{after.commit}")
    without = len(_log(f"{after.commit}..{before.commit}"))
    lines = [f"{as_code(line[:SHORT])} {as_text(line[41:])}" for line in found]
    if without:
        lines.append(f"without {counted(without, 'commit')} that only {as_code(before.name)} has")
    return list_of("Commits to code and settings", lines) or "No commit to code or settings lies between them."


def list_of(title: str, lines: list[str]) -> str:
    """A heading and a bullet a line; nothing where there are none."""
    more = [f"... and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return "\n".join([f"### {title}\n", *(f"- {line}" for line in (*lines[:SHOWN_LINES], *more))]) if lines else ""


def folded(text: str) -> str:
    """A part that a click opens."""
    title, _, rest = text.removeprefix("### ").partition("\n")
    return f"<details><summary>{title}</summary>\n{rest}\n\n</details>" if text else ""


def _line(row: Any) -> list[str]:
    sides = [_side(getattr(row, f"score_{side}"), row, side) for side in ("before", "after")]
    paired = pd.notna(row.effect)
    effect = row.effect if paired else row.score_after - row.score_before
    difference = DASH if pd.isna(effect) else points(effect)
    if paired:
        difference += f" ({interval(row.effect_low, row.effect_high)})"
    names = [as_text(str(name)) for name in (row.suite, row.task, row.backbone)]
    return [*names, as_code(row.method), *sides, difference, p_value(row.p_holm) if paired else DASH]


def _side(score: float, row: Any, side: str) -> str:
    if pd.isna(score):
        return DASH
    text = with_margin(score, getattr(row, f"low_{side}"), getattr(row, f"high_{side}"))
    return f"{text} {MAY_BE_BEST}" if getattr(row, f"best_{side}") else text


def _value(text: str) -> str:
    return as_code(shown(text)[1:-1])


def _log(commits: str) -> list[str]:
    found = git("log", "--no-merges", "--format=%H %s", commits, "--", *CODE, "dvc.yaml")
    return found.splitlines() if found else []
