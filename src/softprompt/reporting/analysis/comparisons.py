"""Comparisons on the same examples, of the scores that the tables rank: effect and interval first, then p.

`key` asks what the suite is for, `controls` what must stay at chance. In the families of the tables a row is a method
against the one of its state that comes nearest to beating it, or does: then it drops out of those that may be the best.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from softprompt.reporting.analysis.best_set import verdicts
from softprompt.reporting.analysis.contributions import SCORE, Place
from softprompt.reporting.analysis.frames import groups_of, rows_of
from softprompt.reporting.analysis.intervals import ALL_TASKS, Scores
from softprompt.reporting.analysis.two_way import FEW_CLUSTERS, Scored, Spread, difference, sign_flip_p
from softprompt.reporting.context import ReportContext

COLUMNS = [
    "family", "suite", "task", "backbone", "method", "split", "against", "effect", "low", "high", "p", "smallest_p",
    "p_holm", "clusters", "replicates", "replicates_against", "needed", "drops_out",
]  # fmt: skip
KEY, CONTROLS = "key", "controls"


@dataclass(frozen=True)
class Pair:
    """Two methods to compare on one backbone, on one task or all tasks of a suite."""

    family: str
    suite: str
    task: str
    backbone: str
    method: str
    against: str
    split: str = "test"
    needed: float = float("nan")  # the lead of `against` at which `method` drops out
    drops_out: bool = False


def compare(pairs: list[Pair], scores: Scores) -> pd.DataFrame:
    """A row a pair whose two methods have a score; p is Holm-corrected within the family `key`, where `smallest_p` is
    what is left of the smallest one after the correction of all."""
    scored = scored_pairs(pairs, scores)
    rows = [_row(pair, one, other) for pair, one, other in scored if one.layout.names == other.layout.names]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    key = frame[(frame["family"] == KEY) & frame["p"].notna()]
    frame.loc[key.index, "p_holm"] = holm(key["p"].to_list())
    frame.loc[key.index, "smallest_p"] = np.minimum(key["smallest_p"] * len(key), 1.0)
    numbers = dict.fromkeys(("effect", "low", "high", "p", "smallest_p", "p_holm", "needed"), float)
    return frame.astype({**numbers, "drops_out": bool})


def scored_pairs(pairs: Sequence[Pair], scores: Scores) -> Iterator[tuple[Pair, Scored, Scored]]:
    """The pairs whose two methods have a score, with both."""
    by_method = {(p.suite, p.task, p.backbone, p.method, p.split): one for (p, m), one in scores.items() if m == SCORE}
    for pair in pairs:
        places = [(pair.suite, pair.task, pair.backbone, method, pair.split) for method in (pair.method, pair.against)]
        if all(place in by_method for place in places):
            one, other = (by_method[place] for place in places)
            yield pair, one, other


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p values, in the order given; the family is all that is passed."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(p.size, 0, -1)  # the smallest of n times n, the next times n - 1, ...
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in corrected]


def p_value(one: Scored, other: Scored, spread: Spread) -> tuple[float, float]:
    """Two-sided p of a difference, and the smallest that it could be: with few clusters the larger of Student's t and
    of all flips of their signs."""
    p = float(spread.p_value(one.value - other.value))
    if len(one.layout.names) >= FEW_CLUSTERS:
        return p, 0.0
    flipped, smallest = sign_flip_p(one.parts - other.parts)
    return max(p, flipped), smallest


def key_pairs(context: ReportContext) -> list[Pair]:
    """The question of the P-tuning paper: p_tuning against manual templates on LAMA facts, per backbone."""
    if "lama" not in context.suites or "p_tuning" not in context.methods:
        return []
    return [
        Pair(KEY, "lama", ALL_TASKS, backbone, "p_tuning", against)
        for backbone in context.backbones
        for against in ("manual", "manual_best")
        if against in context.methods
    ]


def control_pairs(context: ReportContext) -> list[Pair]:
    """What must stay at chance, against the majority answer: withheld facts, random backbone, random prompt."""
    if "lama" not in context.suites or "majority" not in context.methods:
        return []
    chance = [("p_tuning", "withheld"), ("random_backbone", "test"), ("random_prompt", "test")]
    return [
        Pair(CONTROLS, "lama", ALL_TASKS, backbone, method, "majority", split)
        for backbone in context.backbones
        for method, split in chance
        if method in context.methods
    ]


def table_pairs(scores: Scores, intervals: pd.DataFrame) -> list[Pair]:
    """Every method of a column but the highest of its state, against the one that comes nearest to beating it."""
    pairs = []
    for (suite, task, backbone, _), column in columns_of(scores, intervals):
        family = table_family(suite) if task == ALL_TASKS else tasks_family(suite)
        pairs += [
            Pair(family, suite, task, backbone, method, one.against, needed=one.needed, drops_out=one.drops_out)
            for method, one in verdicts(column).items()
        ]
    return pairs


def columns_of(scores: Scores, intervals: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], dict[str, Scored]]]:
    """(suite, task, backbone, state) -> the methods that compete there: whole ones with an interval."""
    test = intervals[(intervals["split"] == "test") & (intervals["metric"] == SCORE) & intervals["low"].notna()]
    for names, rows in groups_of(test[test["tasks"] == test["planned"]], ["suite", "task", "backbone", "state"]):
        suite, task, backbone, state = names
        places = {row.method: Place(suite, task, backbone, row.method, state, "test") for row in rows_of(rows)}
        yield names, {method: scores[place, SCORE] for method, place in places.items()}


def table_family(suite: str) -> str:
    return f"{suite} table"


def tasks_family(suite: str) -> str:
    return f"{suite} tasks"


def may_be_best(scores: Scores, intervals: pd.DataFrame, comparisons: pd.DataFrame) -> set[tuple[str, str, str, str]]:
    """(suite, task, backbone, method) of all that compete for the best of their column and do not drop out."""
    places = ["suite", "task", "backbone", "method"]
    out = set(comparisons[comparisons["drops_out"]][places].itertuples(index=False, name=None))
    competing = {
        (suite, task, backbone, method)
        for (suite, task, backbone, _), column in columns_of(scores, intervals)
        for method in column
    }
    return competing - out


def _row(pair: Pair, one: Scored, other: Scored) -> tuple[Any, ...]:
    spread, effect = difference(one, other), float(one.value - other.value)
    margin = float(spread.margin())
    p, smallest = p_value(one, other, spread)
    names = (pair.family, pair.suite, pair.task, pair.backbone, pair.method, pair.split, pair.against)
    numbers = (effect, effect - margin, effect + margin, p, smallest, None, len(one.layout.names))
    return (*names, *numbers, one.replicates, other.replicates, pair.needed, pair.drops_out)
