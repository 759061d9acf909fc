"""Paired comparisons on the same examples, in families that are corrected together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from softprompt.reporting.analysis.frames import groups_of, rows_of
from softprompt.reporting.analysis.statistics import ALPHA, holm, paired_difference
from softprompt.reporting.context import ReportContext

COLUMNS = [
    "family", "suite", "task", "backbone", "method", "split", "against", "effect", "low", "high", "p", "p_holm",
    "family_size", "tasks", "clusters", "examples",
]  # fmt: skip
EXAMPLE_KEYS = ["suite", "task", "backbone", "method", "split", "id", "group"]
ALL_TASKS = "all"
ExampleMeans = dict[tuple[str, str, str, str], pd.DataFrame]


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


def example_means(examples: pd.DataFrame) -> ExampleMeans:
    """(suite, backbone, method, split) -> share of correct answers per example, over seeds and templates."""
    means = examples.groupby(EXAMPLE_KEYS, as_index=False).agg(correct=("correct", "mean"))
    columns = ["task", "id", "group", "correct"]
    return {place: group[columns] for place, group in groups_of(means, ["suite", "backbone", "method", "split"])}


def compare(pairs: list[Pair], means: ExampleMeans, headline: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row a pair whose two methods share examples; p is Holm-corrected within the pair's family.

    `headline` holds the tasks of each suite that a pair over all tasks is over.
    """
    rows = [row for pair in pairs if (row := _compare(pair, means, headline[pair.suite])) is not None]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("effect", "low", "high", "p", "p_holm"), float))
    for _, family in frame.groupby("family"):
        tested = family[family["p"].notna()]
        frame.loc[tested.index, "p_holm"] = holm(tested["p"].to_list())
        frame.loc[family.index, "family_size"] = len(tested)
    return frame


def key_pairs(context: ReportContext) -> list[Pair]:
    """The question of the P-tuning paper: p_tuning against manual templates on LAMA facts, per backbone."""
    if "lama" not in context.suites or "p_tuning" not in context.methods:
        return []
    return [
        Pair("key", "lama", ALL_TASKS, backbone, "p_tuning", against)
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
        Pair("controls", "lama", ALL_TASKS, backbone, method, "majority", split)
        for backbone in context.backbones
        for method, split in chance
        if method in context.methods
    ]


def against_best(suites: pd.DataFrame, tasks: pd.DataFrame) -> list[Pair]:
    """The best method of every column of the tables against each other one; a suite's tables are a family each."""
    pairs = []
    whole = suites[(suites["split"] == "test") & (suites["tasks"] == suites["planned"])]
    for (suite, backbone), column in groups_of(whole, ["suite", "backbone"]):
        pairs += _column_pairs(table_family(suite), suite, ALL_TASKS, backbone, column.set_index("method")["macro"])
    for (suite, task, backbone), column in groups_of(tasks[tasks["split"] == "test"], ["suite", "task", "backbone"]):
        pairs += _column_pairs(tasks_family(suite), suite, task, backbone, column.set_index("method")["mean"])
    return pairs


def table_family(suite: str) -> str:
    return f"{suite} table"


def tasks_family(suite: str) -> str:
    return f"{suite} tasks"


def places_of(comparisons: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    """(family, task, backbone, method) -> `best` or `tie`, for what is not distinguishable from the best at ALPHA.

    The best has the highest score, an F1 perhaps; the paired test counts correct answers. Where it speaks against the
    best, it does not set the best apart.
    """
    places = {}
    for row in rows_of(comparisons):
        places[row.family, row.task, row.backbone, row.method] = "best"
        if not (row.effect > 0 and row.p_holm < ALPHA):
            places[row.family, row.task, row.backbone, row.against] = "tie"
    return places


def _column_pairs(family: str, suite: str, task: str, backbone: str, scores: pd.Series) -> list[Pair]:
    best = scores.idxmax()
    return [Pair(family, suite, task, backbone, str(best), str(other)) for other in scores.index if other != best]


def _compare(pair: Pair, means: ExampleMeans, headline: Sequence[str]) -> tuple[object, ...] | None:
    """The row of a pair, on the examples that both methods answered; None where there is none."""
    places = [(pair.suite, pair.backbone, method, pair.split) for method in (pair.method, pair.against)]
    if any(place not in means for place in places):
        return None
    tasks = headline if pair.task == ALL_TASKS else [pair.task]
    left, right = (means[place][means[place]["task"].isin(tasks)] for place in places)
    both = left.merge(right, on=["task", "id", "group"], suffixes=("", "_against"))
    if both.empty:
        return None
    by_relation = pair.suite == "lama" and pair.task == ALL_TASKS
    result = paired_difference(
        (both["correct"] - both["correct_against"]).to_numpy(),
        both["task" if by_relation else "group"].to_list(),
        [pair.suite] * len(both) if by_relation else both["task"].to_list(),
        macro=by_relation,
        stream=f"{pair.suite}/{pair.task}/{pair.backbone}/{pair.method}/{pair.against}/{pair.split}",
    )
    names = (pair.family, pair.suite, pair.task, pair.backbone, pair.method, pair.split, pair.against)
    numbers = (result.effect, result.low, result.high, result.p, None, 0)
    return (*names, *numbers, both["task"].nunique(), result.clusters, result.examples)
