"""Every score of two results side by side: what moved, by the same intervals as within a report.

Where the predictions of both are at hand and are answers to the same examples, a difference is paired by example and
has the interval and p of `two_way`, corrected by Holm in two families: the scores of suites, and those of single tasks
of a suite that has several. Else there are the two intervals of the reports, and a score moved where they do not
overlap.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from softprompt.reporting.analysis.collect import Collected, Manifest
from softprompt.reporting.analysis.comparisons import holm
from softprompt.reporting.analysis.contributions import SCORE, Place, samples_of
from softprompt.reporting.analysis.frames import groups_of, rows_at, rows_of
from softprompt.reporting.analysis.intervals import ALL_TASKS, Scores, scores_of
from softprompt.reporting.analysis.two_way import ALPHA, Scored, difference
from softprompt.usage.sides import Side

PLACE = ["suite", "task", "backbone", "method"]
NUMBERS = ["score", "low", "high"]
PAIRED = ["effect", "effect_low", "effect_high", "p"]
EXACT = ["id", "group", "gold"]
ROUNDING = 1e-6  # of scores in a report
FLIPPED, MOVED, GONE, NEW, NOISE, SAME = KINDS = (
    "verdict flipped", "moved", "gone", "new", "within noise", "the same",
)  # fmt: skip
Key = tuple[str, str, str, str]  # the values of PLACE


@dataclass(frozen=True)
class Difference:
    """Of what is after from what was before, on the same examples."""

    effect: float
    low: float
    high: float
    p: float


def moves(before: Side, after: Side, manifests: Mapping[str, Manifest]) -> pd.DataFrame:
    """A row a score on test of either side: its PLACE, `kind`, what `table_of` has of before and after; where it is
    paired, `effect`, `effect_low`, `effect_high` and `p_holm`."""
    both = table_of(before).merge(table_of(after), on=PLACE, how="outer", suffixes=("_before", "_after"))
    old, new = (both[[f"{name}_{side}" for name in NUMBERS]].to_numpy(float) for side in ("before", "after"))
    both["same"] = np.isclose(old, new, rtol=0, atol=ROUNDING / 2, equal_nan=True).all(axis=1)
    there = both["score_before"].notna() & both["score_after"].notna()
    rows = [
        (*key, one.effect, one.low, one.high, one.p)
        for key, one in differences(before, after, both[there & ~both["same"]], manifests)
    ]
    paired = pd.DataFrame(rows, columns=[*PLACE, *PAIRED]).astype(dict.fromkeys(PAIRED, float))
    both = both.merge(paired, on=PLACE, how="left").assign(p_holm=np.nan)
    for _, family in groups_of(both[both["effect"].notna()], ["of_suite_after"]):
        both.loc[family.index, "p_holm"] = holm(family["p"].to_list())
    return both.assign(kind=[_kind(row) for row in rows_of(both)]).sort_values(PLACE, ignore_index=True)


def table_of(side: Side) -> pd.DataFrame:
    """Every score on test in a report, whether its method may be the `best`, whether its column is `judged` at all (one
    that is mostly undertuned is not), and whether it is the score `of_suite`, as that of its only task is."""
    frame = side.table("intervals.csv", [*PLACE, "split", "metric", "may_be_best"], [*NUMBERS, "planned"])
    kept = (frame["split"] == "test") & (frame["metric"] == SCORE)
    kept &= (frame["task"] != ALL_TASKS) | (frame["planned"] > 1)
    frame = frame[kept].assign(best=frame["may_be_best"] == "True")
    judged = frame.groupby(PLACE[:3])["best"].transform("any")
    several = frame.loc[frame["task"] == ALL_TASKS, "suite"].unique()
    of_suite = (frame["task"] == ALL_TASKS) | ~frame["suite"].isin(several)
    return frame.assign(judged=judged, of_suite=of_suite)[[*PLACE, *NUMBERS, "best", "judged", "of_suite"]]


def _kind(row: Any) -> str:
    if pd.isna(row.score_before) or pd.isna(row.score_after):
        return NEW if pd.isna(row.score_before) else GONE
    if row.judged_before and row.judged_after and row.best_before != row.best_after:
        return FLIPPED
    if row.same:
        return SAME
    apart = row.low_before > row.high_after or row.low_after > row.high_before
    return MOVED if (apart if pd.isna(row.effect) else row.p_holm < ALPHA) else NOISE


def differences(
    before: Side, after: Side, rows: pd.DataFrame, manifests: Mapping[str, Manifest]
) -> Iterator[tuple[Key, Difference]]:
    """Of those rows of two reports whose scores follow from predictions at hand, on the same examples."""
    for (backbone,), own in groups_of(rows, ["backbone"]):
        tables = [_of_methods(side.predictions(backbone), set(own["method"]), manifests) for side in (before, after)]
        if any(table is None for table in tables):
            continue
        one, other = (_scores(table, manifests) for table in tables if table is not None)
        shared = same_examples(*(table for table in tables if table is not None))
        for row in rows_of(own):
            key = (row.suite, row.task, row.backbone, row.method)
            asked = manifests[row.suite].headline_tasks if row.task == ALL_TASKS else (row.task,)
            old, new = one.get(key), other.get(key)
            if old is None or new is None or not {(row.suite, task) for task in asked} <= shared:
                continue
            values = np.array([float(old.value), float(new.value)])
            if np.allclose(values, [row.score_before, row.score_after], rtol=0, atol=ROUNDING):
                yield key, _difference(old, new)


def same_examples(one: pd.DataFrame, other: pd.DataFrame) -> set[tuple[str, str]]:
    """(suite, task) whose examples and right answers are the same in both."""
    asked = [{place: _examples(rows) for place, rows in groups_of(side, ["suite", "task"])} for side in (one, other)]
    return {place for place, examples in asked[0].items() if asked[1].get(place) == examples}


def _examples(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(rows[EXACT].itertuples(index=False, name=None))


def _of_methods(
    predictions: pd.DataFrame | None, methods: Collection[str], manifests: Mapping[str, Manifest]
) -> pd.DataFrame | None:
    """The answers of some methods on test to tasks that are prepared here, which says how they are scored."""
    if predictions is None:
        return None
    known = {(suite, task) for suite, manifest in manifests.items() for task in manifest.definitions}
    own = predictions[predictions["method"].isin(methods) & (predictions["split"] == "test")]
    return rows_at(own, ["suite", "task"], known)


def _scores(examples: pd.DataFrame, manifests: Mapping[str, Manifest]) -> dict[Key, Scored]:
    nothing = pd.DataFrame()
    collected = Collected([], [], scores=nothing, examples=examples, coverage=nothing, manifests=dict(manifests))
    found: Scores = scores_of(samples_of(collected), collected)
    return {_key(place): one for (place, metric), one in found.items() if metric == SCORE}


def _key(place: Place) -> Key:
    return (place.suite, place.task, place.backbone, place.method)


def _difference(old: Scored, new: Scored) -> Difference:
    spread, effect = difference(new, old), new.value - old.value
    middle, margin = float(effect), float(spread.margin())
    return Difference(middle, middle - margin, middle + margin, float(spread.p_value(effect)))
