"""Entities in BIO tags, and the share of them that was found: the CoNLL definition, as the package seqeval counts."""

import json
from collections.abc import Sequence

import pandas as pd

Entity = tuple[str, int, int]  # type, first word, last word


def entities_of(tags: Sequence[str]) -> set[Entity]:
    """An entity begins at B-X, or at an I-X that goes on with nothing; it ends before O, another B, another type."""
    found, begun = set(), 0
    for place, tag in enumerate(tags):
        kind, before = tag[2:], tags[place - 1] if place else "O"
        if tag.startswith("B-") or before[2:] != kind:
            begun = place
        after = tags[place + 1] if place + 1 < len(tags) else "O"
        if kind and after != f"I-{kind}":
            found.add((kind, begun, place))
    return found


def entity_f1(predictions: pd.DataFrame) -> float:
    """Harmonic mean of precision and recall over the entities of all sentences; 0 where there are none at all."""
    right = said = wanted = 0
    for gold, predicted in zip(predictions["gold"], predictions["prediction"], strict=True):
        truth, guess = entities_of(json.loads(gold)), entities_of(json.loads(predicted))
        right, said, wanted = right + len(truth & guess), said + len(guess), wanted + len(truth)
    return 2 * right / (said + wanted) if said + wanted else 0.0


def token_accuracy(predictions: pd.DataFrame) -> float:
    """Share of words with the right tag, over all sentences."""
    pairs = [
        (wanted, said)
        for gold, predicted in zip(predictions["gold"], predictions["prediction"], strict=True)
        for wanted, said in zip(json.loads(gold), json.loads(predicted), strict=True)
    ]
    return sum(wanted == said for wanted, said in pairs) / len(pairs)
