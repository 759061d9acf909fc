"""Metrics against scikit-learn, brute force and the majority baselines of the real validation sets."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from helpers.task_files import FOLDERS, examples_of
from softprompt.tasks.metrics import METRICS

LABELS = st.sampled_from(["0", "1", "2"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30)
ANSWERS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from("01"), st.sampled_from("01")),
    min_size=1,
    max_size=30,
)


def labelled(pairs: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["gold", "prediction"])


def ranked(ranks: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"gold_rank": ranks})


@given(PAIRS)
def test_accuracy_and_macro_f1_equal_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = zip(*pairs, strict=True)
    assert METRICS["accuracy"](labelled(pairs)) == pytest.approx(accuracy_score(gold, predicted))
    assert METRICS["macro_f1"](labelled(pairs)) == pytest.approx(f1_score(gold, predicted, average="macro"))


@given(ANSWERS)
def test_f1a_equals_scikit_learn_and_em_equals_brute_force(answers: list[tuple[int, int, str, str]]) -> None:
    rows = [(f"val-{p}-{q}-{number}", gold, said) for number, (p, q, gold, said) in enumerate(answers)]
    predictions = pd.DataFrame(rows, columns=["id", "gold", "prediction"])
    expected = f1_score(predictions["gold"], predictions["prediction"], pos_label="1", zero_division=0.0)
    assert METRICS["f1a"](predictions) == pytest.approx(expected)
    questions: dict[tuple[int, int], bool] = {}
    for p, q, gold, said in answers:
        questions[p, q] = questions.get((p, q), True) and gold == said
    assert METRICS["em"](predictions) == pytest.approx(sum(questions.values()) / len(questions))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_rank_metrics_equal_brute_force(ranks: list[int]) -> None:
    count = len(ranks)
    assert METRICS["p_at_1"](ranked(ranks)) == pytest.approx(sum(rank == 1 for rank in ranks) / count)
    assert METRICS["p_at_10"](ranked(ranks)) == pytest.approx(sum(rank <= 10 for rank in ranks) / count)
    assert METRICS["mrr"](ranked(ranks)) == pytest.approx(sum(1 / rank for rank in ranks) / count)


def test_multirc_by_hand() -> None:
    """Two questions of one paragraph: the first right in both answers, the second wrong in one of three."""
    rows = [("1", "1"), ("0", "0"), ("1", "0"), ("0", "0"), ("1", "1")]
    ids = ["val-4-0-0", "val-4-0-1", "val-4-1-2", "val-4-1-3", "val-4-1-4"]
    predictions = labelled(rows).assign(id=ids)
    assert METRICS["em"](predictions) == 0.5
    assert METRICS["f1a"](predictions) == pytest.approx(2 * 1.0 * (2 / 3) / (1.0 + 2 / 3))
    assert METRICS["accuracy"](predictions) == pytest.approx(0.8)


def test_a_metric_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="p_at_1 of no predictions"):
        METRICS["p_at_1"](ranked([]))


def test_names_and_directions() -> None:
    assert set(METRICS) == {
        "accuracy",
        "macro_f1",
        "f1a",
        "f1",
        "em",
        "record_f1",
        "record_em",
        "p_at_1",
        "p_at_10",
        "mrr",
        "entity_f1",
        "token_accuracy",
    }
    assert all(metric.name == name and metric.higher_is_better for name, metric in METRICS.items())


MAJORITY = {
    ("boolq", "accuracy"): 62.17,
    ("cb", "accuracy"): 50.00,
    ("cb", "macro_f1"): 22.22,
    ("copa", "accuracy"): 55.00,
    ("multirc", "accuracy"): 57.20,
    ("rte", "accuracy"): 52.71,
    ("wic", "accuracy"): 50.00,
    ("wsc", "accuracy"): 63.46,
}


@pytest.mark.parametrize(("task", "metric"), MAJORITY)
def test_the_majority_class_of_the_real_validation_set_scores_as_published(
    real_data: Path, task: str, metric: str
) -> None:
    path = real_data / "superglue" / FOLDERS[task] / "val.jsonl"
    gold = [row.label for row in examples_of(task, path, labelled=True).rows]
    majority = Counter(gold).most_common(1)[0][0]
    score = METRICS[metric](labelled([(label, majority) for label in gold]))
    assert 100 * score == pytest.approx(MAJORITY[task, metric], abs=0.005)
