"""What examples may be answered with where the candidates are texts of their own. Examples are tables of texts."""

import json
from collections.abc import Sequence

import pandas as pd

from softprompt.tasks.task import Task


def candidates_of(task: Task, examples: pd.DataFrame) -> list[list[str]]:
    """The candidates of each example in a fixed order; one for a task that is answered by generation."""
    if task.answer_form == "candidates" and not task.labels:
        return [json.loads(texts) for texts in examples[task.candidates[0]]]
    return [list(texts) for texts in examples[list(task.candidates)].itertuples(index=False)]


def gold_candidates(task: Task, examples: pd.DataFrame) -> list[list[bool]]:
    """Which candidates are right. Without labels of its own a task's label is a JSON list of right texts."""
    if task.answer_form == "generation":
        return [[label == "true"] for label in examples["label"]]
    if task.labels:
        return [[label == gold for label in task.labels] for gold in examples["label"]]
    right = [set(json.loads(label)) for label in examples["label"]]
    candidates = candidates_of(task, examples)
    return [[text in wanted for text in texts] for texts, wanted in zip(candidates, right, strict=True)]


def candidate_names(task: Task, examples: pd.DataFrame, chosen: Sequence[int]) -> list[str]:
    """The label that each choice means, or the chosen text where the task has no labels."""
    if task.labels:
        return [task.labels[index] for index in chosen]
    return [texts[index] for texts, index in zip(candidates_of(task, examples), chosen, strict=True)]
