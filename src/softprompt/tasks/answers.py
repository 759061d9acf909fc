"""Which predictions are right and which examples can be answered, told from texts alone: no backbone is needed."""

import json

import pandas as pd

from softprompt.tasks.candidates import gold_candidates
from softprompt.tasks.task import Task


def is_open(task: Task) -> bool:
    """Whether an answer is a token of the backbone's vocabulary, as in LAMA; examples without such a token are left
    out."""
    return task.answer_form == "label" and not task.labels


def correct_answers(task: Task, predictions: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows (gold, prediction, gold_rank) are right. An open vocabulary may spell a token unlike the gold word, so
    there the rank decides."""
    if is_open(task):
        return predictions["gold_rank"] == 1
    pairs = zip(predictions["gold"], predictions["prediction"], strict=True)
    if task.answer_form == "tagging":
        right = [json.loads(gold) == json.loads(said) for gold, said in pairs]
    elif task.answer_form == "candidates" and not task.labels:
        right = [said in json.loads(gold) for gold, said in pairs]
    else:
        right = [gold == said for gold, said in pairs]
    return pd.Series(right, index=predictions.index, dtype=bool)


def examples_to_answer(task: Task, examples: pd.DataFrame, words: set[str]) -> pd.DataFrame:
    """The examples that every method on a backbone has to answer: those with a right answer among what may be said.
    `words` are the answers of an open vocabulary that are one token of the backbone."""
    if is_open(task):
        return examples[examples["label"].isin(words)]
    if task.answer_form == "candidates":
        return examples[[any(right) for right in gold_candidates(task, examples)]]
    return examples
