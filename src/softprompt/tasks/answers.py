"""Which examples can be answered, told from texts alone: no backbone is needed."""

import pandas as pd

from softprompt.tasks.candidates import gold_candidates
from softprompt.tasks.task import Task


def is_open(task: Task) -> bool:
    """Whether an answer is a token of the backbone's vocabulary, as in LAMA; examples without such a token are left
    out."""
    return task.answer_form == "label" and not task.labels


def examples_to_answer(task: Task, examples: pd.DataFrame, words: set[str]) -> pd.DataFrame:
    """The examples that every method on a backbone has to answer: those with a right answer among what may be said.
    `words` are the answers of an open vocabulary that are one token of the backbone."""
    if is_open(task):
        return examples[examples["label"].isin(words)]
    if task.answer_form == "candidates":
        return examples[[any(right) for right in gold_candidates(task, examples)]]
    return examples
