"""Metrics by their official definitions, computed from prediction rows and nothing else.

Each takes a table with the columns of `results.Prediction` for one cell, template and split, and registers itself in
METRICS with its direction.
"""

import json
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from softprompt.tasks.entities import entities_of

POSITIVE = "1"  # MultiRC's label of an answer that is right
PARAPHRASE = "equivalent"  # MRPC's label of two sentences that say the same
P_AT = 10

PredictionTable = pd.DataFrame
Score = Callable[[PredictionTable], float]


@dataclass(frozen=True)
class Metric:
    """A number between 0 and 1 for a table of predictions with at least one row."""

    name: str
    higher_is_better: bool
    function: Score

    def __call__(self, predictions: PredictionTable) -> float:
        if predictions.empty:
            raise ValueError(f"{self.name} of no predictions is undefined")
        return self.function(predictions)


METRICS: dict[str, Metric] = {}


def metric(name: str, *, higher_is_better: bool = True) -> Callable[[Score], Score]:
    """Registers the function below it, which stays a plain function."""

    def register(function: Score) -> Score:
        if name in METRICS:
            raise ValueError(f"metric {name!r} is registered twice")
        METRICS[name] = Metric(name=name, higher_is_better=higher_is_better, function=function)
        return function

    return register


@metric("accuracy")
def accuracy(predictions: PredictionTable) -> float:
    """Share of examples whose prediction is the gold label."""
    return float((predictions["gold"] == predictions["prediction"]).mean())


def _f1(predictions: PredictionTable, label: str) -> float:
    """Harmonic mean of precision and recall for one label; 0 where neither gold nor predictions hold it."""
    gold, predicted = predictions["gold"] == label, predictions["prediction"] == label
    total = int(gold.sum() + predicted.sum())
    return 2 * int((gold & predicted).sum()) / total if total else 0.0


@metric("macro_f1")
def macro_f1(predictions: PredictionTable) -> float:
    """Mean of the F1 of every label that occurs in gold or predictions, as scikit-learn has it."""
    labels = sorted(set(predictions["gold"]) | set(predictions["prediction"]))
    return sum(_f1(predictions, label) for label in labels) / len(labels)


@metric("f1a")
def f1a(predictions: PredictionTable) -> float:
    """MultiRC: F1 of the label "1" over all answers, whatever their question."""
    return _f1(predictions, POSITIVE)


@metric("f1")
def f1(predictions: PredictionTable) -> float:
    """MRPC: F1 of the label "equivalent"."""
    return _f1(predictions, PARAPHRASE)


@metric("em")
def exact_match(predictions: PredictionTable) -> float:
    """MultiRC: share of questions all of whose answers are predicted right. Ids are question-answer."""
    correct = predictions["gold"] == predictions["prediction"]
    return float(correct.groupby(predictions["id"].str.rpartition("-")[0]).all().mean())


@metric("p_at_1")
def p_at_1(predictions: PredictionTable) -> float:
    """Share of facts whose gold object is ranked first among the candidate tokens."""
    return float((predictions["gold_rank"] == 1).mean())


@metric("p_at_10")
def p_at_10(predictions: PredictionTable) -> float:
    """Share of facts whose gold object is among the first ten candidate tokens."""
    return float((predictions["gold_rank"] <= P_AT).mean())


@metric("mrr")
def mean_reciprocal_rank(predictions: PredictionTable) -> float:
    """Mean of 1 / rank of the gold object among the candidate tokens."""
    return float((1 / predictions["gold_rank"]).mean())


@metric("record_em")
def record_em(predictions: PredictionTable) -> float:
    """ReCoRD: share of queries answered with one of the right texts, both normalised as in SQuAD."""
    return float(_best_over_golds(predictions, lambda text, gold: float(text == gold)).mean())


@metric("record_f1")
def record_f1(predictions: PredictionTable) -> float:
    """ReCoRD: mean over queries of the answer's best word F1 with a right text, both normalised as in SQuAD."""
    return float(_best_over_golds(predictions, _word_f1).mean())


def _best_over_golds(predictions: PredictionTable, score: Callable[[str, str], float]) -> "pd.Series[float]":
    pairs = zip(predictions["gold"], predictions["prediction"], strict=True)
    best = [max(score(_normalised(text), _normalised(gold)) for gold in json.loads(golds)) for golds, text in pairs]
    return pd.Series(best)


def _normalised(text: str) -> str:
    """Lower case, no punctuation, no articles, single blanks (Rajpurkar et al. 2016, evaluate-v1.1.py)."""
    bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _word_f1(text: str, gold: str) -> float:
    predicted, expected = Counter(text.split()), Counter(gold.split())
    common = (predicted & expected).total()
    return 2 * common / (predicted.total() + expected.total()) if common else 0.0


@metric("entity_f1")
def entity_f1(predictions: PredictionTable) -> float:
    """Harmonic mean of precision and recall over the entities of all sentences, as CoNLL and the package seqeval count;
    0 where there are none at all."""
    correct = predicted = expected = 0
    for gold_tags, predicted_tags in zip(predictions["gold"], predictions["prediction"], strict=True):
        gold, prediction = entities_of(json.loads(gold_tags)), entities_of(json.loads(predicted_tags))
        correct += len(gold & prediction)
        predicted, expected = predicted + len(prediction), expected + len(gold)
    return 2 * correct / (predicted + expected) if predicted + expected else 0.0


@metric("token_accuracy")
def token_accuracy(predictions: PredictionTable) -> float:
    """Share of words with the right tag, over all sentences."""
    pairs = [
        pair
        for gold, prediction in zip(predictions["gold"], predictions["prediction"], strict=True)
        for pair in zip(json.loads(gold), json.loads(prediction), strict=True)
    ]
    return sum(gold == prediction for gold, prediction in pairs) / len(pairs)
