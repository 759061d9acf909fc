"""ReCoRD's F1 and exact match against the words of SQuAD's evaluate-v1.1, rebuilt with lists and loops."""

import json
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.tasks.metrics import METRICS

WORDS = st.sampled_from(["The", "a", "an", "Ann", "ann,", "Bob.", "new-york", "New", "York", "'s", "I'm", "U.S.", "--"])
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
ROWS = st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS), min_size=1, max_size=10)


def words_of(text: str) -> list[str]:
    letters = [letter for letter in text.lower() if letter not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]
    return re.sub(r"\b(a|an|the)\b", " ", "".join(letters)).split()


def exact(said: str, gold: str) -> float:
    return float(words_of(said) == words_of(gold))


def f1(said: str, gold: str) -> float:
    left, common = words_of(gold), 0
    for word in words_of(said):
        if word in left:
            left.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(words_of(said)), common / len(words_of(gold))
    return 2 * precision * recall / (precision + recall)


@given(ROWS)
def test_record_metrics_are_the_best_over_the_right_texts(rows: list[tuple[list[str], str]]) -> None:
    predictions = pd.DataFrame([(json.dumps(golds), said) for golds, said in rows], columns=["gold", "prediction"])
    for name, score in (("record_em", exact), ("record_f1", f1)):
        expected = sum(max(score(said, gold) for gold in golds) for golds, said in rows) / len(rows)
        assert METRICS[name](predictions) == pytest.approx(expected)
