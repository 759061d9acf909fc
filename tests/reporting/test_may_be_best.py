"""Which rows of a table stand apart from the best one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from softprompt.reporting.analysis.comparisons import against_best, compare, example_means, places_of
from softprompt.reporting.analysis.statistics import ALPHA

EXAMPLES = 60


def answers(method: str, right: int) -> list[dict[str, Any]]:
    """As many right answers as said, the first ones; every example is a group of its own."""
    place = {"suite": "superglue", "task": "cb", "backbone": "b", "method": method, "split": "test"}
    return [{**place, "id": f"{n}", "group": f"{n}", "correct": float(n < right)} for n in range(EXAMPLES)]


def places(scores: dict[str, float], right: dict[str, int]) -> tuple[dict[str, str], pd.DataFrame]:
    """Method -> place, of a column with these scores and right answers; and the comparisons behind it."""
    tasks = pd.DataFrame(
        [
            {"suite": "superglue", "task": "cb", "backbone": "b", "method": method, "split": "test", "mean": score}
            for method, score in scores.items()
        ]
    )
    suites = tasks.assign(macro=tasks["mean"], tasks=1, planned=2)
    examples = pd.DataFrame([row for method, count in right.items() for row in answers(method, count)])
    found = compare(against_best(suites, tasks), example_means(examples), {"superglue": ["cb"]})
    return {method: place for (_, _, _, method), place in places_of(found).items()}, found


@pytest.mark.parametrize(
    ("right_of_other", "place"), [(58, "tie"), (29, "tie"), (5, None)], ids=["answers more", "as many", "answers less"]
)
def test_only_a_difference_in_favour_of_the_best_sets_it_apart(right_of_other: int, place: str | None) -> None:
    """The best by F1 answers 30 of 60 right."""
    found, comparisons = places({"best": 0.6, "other": 0.5}, {"best": 30, "other": right_of_other})
    assert found.get("best") == "best"
    assert found.get("other") == place
    row = comparisons.iloc[0]
    assert row["effect"] == pytest.approx((30 - right_of_other) / EXAMPLES)
    assert (row["p_holm"] < ALPHA) == (abs(30 - right_of_other) > 1)


def test_an_unknown_p_value_sets_nothing_apart() -> None:
    _, comparisons = places({"best": 0.6, "other": 0.5}, {"best": 30, "other": 5})
    unknown = places_of(comparisons.assign(p_holm=np.nan))
    assert set(unknown.values()) == {"best", "tie"}
