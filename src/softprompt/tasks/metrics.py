"""Metrics by their official definitions, computed from prediction rows and nothing else.

Each takes a table with the columns of `results.Prediction` and says what every row adds to the ratio that it is; it
registers itself in METRICS with its direction.
"""

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from softprompt.tasks.entities import entities_of

POSITIVE = "1"  # MultiRC's label of an answer that is right
PARAPHRASE = "equivalent"  # MRPC's label of two sentences that say the same
P_AT = 10

PredictionTable = pd.DataFrame


@dataclass(frozen=True)
class Ratios:
    """A metric of N rows: the mean over K ratios of sums, of those whose denominator is not 0; 0 where none is."""

    numerators: Float[ndarray, "K N"]
    denominators: Float[ndarray, "K N"]

    @property
    def value(self) -> float:
        """The metric of all rows."""
        pairs = zip(self.numerators.sum(axis=1), self.denominators.sum(axis=1), strict=True)
        ratios = [float(above / below) for above, below in pairs if below]
        return sum(ratios) / len(ratios) if ratios else 0.0


Score = Callable[[PredictionTable], Ratios]


@dataclass(frozen=True)
class Metric:
    """A number between 0 and 1 for a table of predictions with at least one row."""

    name: str
    higher_is_better: bool
    function: Score

    def __call__(self, predictions: PredictionTable) -> float:
        if predictions.empty:
            raise ValueError(f"{self.name} of no predictions is undefined")
        return self.function(predictions).value

    def contributions(self, predictions: PredictionTable, cells: Int[ndarray, " N"]) -> Float[ndarray, " N"]:
        """What every row adds to the metric of its cell, of several cells (counted from 0) in one table.

        Their mean over a cell is its metric, and their variance is right to first order (infinitesimal jackknife; for a
        plain mean they are the values themselves).
        """
        own_ids = predictions.assign(id=[f"{cell}/{name}" for cell, name in zip(cells, predictions["id"], strict=True)])
        return _contributions(self.function(own_ids), cells)


METRICS: dict[str, Metric] = {}


def metric(name: str, *, higher_is_better: bool = True) -> Callable[[Score], Score]:
    """Registers the function below it, which stays a plain function."""

    def register(function: Score) -> Score:
        if name in METRICS:
            raise ValueError(f"metric {name!r} is registered twice")
        METRICS[name] = Metric(name=name, higher_is_better=higher_is_better, function=function)
        return function

    return register


def _contributions(found: Ratios, cells: Int[ndarray, " N"]) -> Float[ndarray, " N"]:
    above, below = (_sums(counts, cells) for counts in (found.numerators, found.denominators))  # (K, C)
    ratios = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    terms = np.maximum((below > 0).sum(axis=0), 1)  # (C,)
    residuals = found.numerators - ratios[:, cells] * found.denominators  # (K, N)
    influences = np.divide(residuals, below[:, cells], out=np.zeros_like(residuals), where=below[:, cells] > 0)
    values = ratios.sum(axis=0) / terms  # (C,)
    return np.asarray(values[cells] + (np.bincount(cells) / terms)[cells] * influences.sum(axis=0))


def _sums(counts: Float[ndarray, "K N"], cells: Int[ndarray, " N"]) -> Float[ndarray, "K C"]:
    return np.stack([np.bincount(cells, weights=row) for row in counts])


def _mean_of(values: "pd.Series[bool] | pd.Series[float]") -> Ratios:
    numerators = values.to_numpy(dtype=np.float64)[None]  # (1, N)
    return Ratios(numerators, np.ones_like(numerators))


def _correct(predictions: PredictionTable) -> "pd.Series[bool]":
    return predictions["gold"] == predictions["prediction"]


@metric("accuracy")
def accuracy(predictions: PredictionTable) -> Ratios:
    """Share of examples whose prediction is the gold label."""
    return _mean_of(_correct(predictions))


def _f1(predictions: PredictionTable, labels: list[str]) -> Ratios:
    """Harmonic mean of precision and recall for each label."""
    gold = np.stack([predictions["gold"] == label for label in labels]).astype(np.float64)
    predicted = np.stack([predictions["prediction"] == label for label in labels]).astype(np.float64)
    return Ratios(2 * gold * predicted, gold + predicted)


@metric("macro_f1")
def macro_f1(predictions: PredictionTable) -> Ratios:
    """Mean of the F1 of every label that occurs in gold or predictions, as scikit-learn has it."""
    return _f1(predictions, sorted(set(predictions["gold"]) | set(predictions["prediction"])))


@metric("f1a")
def f1a(predictions: PredictionTable) -> Ratios:
    """MultiRC: F1 of the label "1" over all answers, whatever their question; 0 where nothing has it."""
    return _f1(predictions, [POSITIVE])


@metric("f1")
def f1(predictions: PredictionTable) -> Ratios:
    """MRPC: F1 of the label "equivalent"; 0 where nothing has it."""
    return _f1(predictions, [PARAPHRASE])


@metric("em")
def exact_match(predictions: PredictionTable) -> Ratios:
    """MultiRC: share of questions all of whose answers are predicted right. Ids are question-answer.

    A question counts at the first of its answers, which share a passage.
    """
    questions = predictions["id"].str.rpartition("-")[0]
    right = _correct(predictions).groupby(questions).transform("all").to_numpy(dtype=np.float64)[None]
    first = (~questions.duplicated()).to_numpy(dtype=np.float64)[None]  # (1, N)
    return Ratios(right * first, first)


@metric("p_at_1")
def p_at_1(predictions: PredictionTable) -> Ratios:
    """Share of facts whose gold object is ranked first among the candidate tokens."""
    return _mean_of(predictions["gold_rank"] == 1)


@metric("p_at_10")
def p_at_10(predictions: PredictionTable) -> Ratios:
    """Share of facts whose gold object is among the first ten candidate tokens."""
    return _mean_of(predictions["gold_rank"] <= P_AT)


@metric("mrr")
def mean_reciprocal_rank(predictions: PredictionTable) -> Ratios:
    """Mean of 1 / rank of the gold object among the candidate tokens."""
    return _mean_of(1 / predictions["gold_rank"])


@metric("record_em")
def record_em(predictions: PredictionTable) -> Ratios:
    """ReCoRD: share of queries answered with one of the right texts, both normalised as in SQuAD."""
    return _mean_of(_best_over_golds(predictions, lambda text, gold: float(text == gold)))


@metric("record_f1")
def record_f1(predictions: PredictionTable) -> Ratios:
    """ReCoRD: mean over queries of the answer's best word F1 with a right text, both normalised as in SQuAD."""
    return _mean_of(_best_over_golds(predictions, _word_f1))


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
def entity_f1(predictions: PredictionTable) -> Ratios:
    """Harmonic mean of precision and recall over the entities of all sentences, as CoNLL and the package seqeval count;
    0 where there are none at all."""
    found = [(entities_of(gold), entities_of(said)) for gold, said in _tags(predictions)]
    hits = np.array([[2.0 * len(gold & said) for gold, said in found]])
    return Ratios(hits, np.array([[float(len(gold) + len(said)) for gold, said in found]]))


@metric("token_accuracy")
def token_accuracy(predictions: PredictionTable) -> Ratios:
    """Share of words with the right tag, over all sentences."""
    tags = list(_tags(predictions))
    hits = [float(sum(gold == said for gold, said in zip(*pair, strict=True))) for pair in tags]
    return Ratios(np.array([hits]), np.array([[float(len(gold)) for gold, _ in tags]]))


def _tags(predictions: PredictionTable) -> Iterator[tuple[list[str], list[str]]]:
    for gold, said in zip(predictions["gold"], predictions["prediction"], strict=True):
        yield json.loads(gold), json.loads(said)
