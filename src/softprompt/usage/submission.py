"""Answers to SuperGLUE's test files, which have no labels, in the format of its leaderboard.

Format, as jiant's submission formatter writes it: a JSON-lines file a task, `{"idx": ..., "label": ...}` a row; the
labels of COPA are numbers, those of WSC True and False; MultiRC is nested as in its own files.
"""

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from softprompt.data.nlu_suites import UNANSWERED
from softprompt.data.prepared import load_split, splits
from softprompt.data.superglue import FOLDERS
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.files import write_atomically
from softprompt.inputs.label_space import keep_answerable
from softprompt.results import Cell
from softprompt.tasks.candidates import candidates_of
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Task

SUITE = "superglue"

CHOICES = {"choice1": 0, "choice2": 1}


def write_submission(trained: TrainedCells, seed: int, out: Path) -> list[Path]:
    """One file for every SuperGLUE task that the method has a finished cell of, answered by its first template.

    Raises UserError where there is no such cell, or no test file was prepared.
    """
    written = []
    for (suite, name), cells in trained.cells.items():
        chosen = [cell for cell in cells if cell.seed == seed]
        if suite == SUITE and chosen and UNANSWERED in splits(trained.paths.suite(SUITE), name):
            path = out / f"{FOLDERS[name]}.jsonl"
            rows = submission_rows(name, _answers(trained, name, chosen[0]))
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
            written.append(path)
    if not written:
        raise UserError(
            f"there is nothing to submit: {trained.name} on {trained.backbone.name} has no finished SuperGLUE cell of "
            f"seed {seed} whose test.jsonl was prepared; see results/train and data/prepared/{SUITE}/manifest.json"
        )
    return written


def _answers(trained: TrainedCells, name: str, cell: Cell) -> pd.DataFrame:
    """Columns id and prediction. The gold labels that the common path asks for are made up and never looked at."""
    task = load_task(SUITE, name, trained.paths.prepared)
    examples = load_split(trained.paths.suite(SUITE), name, UNANSWERED)
    answers = trained.label_space_of(task)
    examples = keep_answerable(answers, examples.assign(label=_any_labels(task, examples)))
    request = trained.first_request(ScoredSplit(task, answers, examples, UNANSWERED), cell)
    return trained.predict([request])[0][["id", "prediction"]]


def _any_labels(task: Task, examples: pd.DataFrame) -> list[str]:
    if task.labels:
        return [task.labels[0]] * len(examples)
    return [json.dumps(texts[:1]) for texts in candidates_of(task, examples)]


def submission_rows(task: str, predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a task's file. `predictions` has the columns id (test-<idx>) and prediction."""
    numbers = [identity.split("-")[1:] for identity in predictions["id"]]
    pairs = [
        ([int(number) for number in idx], label) for idx, label in zip(numbers, predictions["prediction"], strict=True)
    ]
    if task == "multirc":
        return _paragraphs(pairs)
    label_of: Callable[[str], object] = {"copa": CHOICES.__getitem__, "wsc": str.capitalize}.get(task, str)
    return [{"idx": idx[-1], "label": label_of(label)} for idx, label in pairs]


def _paragraphs(pairs: list[tuple[list[int], str]]) -> list[dict[str, Any]]:
    """MultiRC: paragraph, question, answer; ids of each within the one before."""
    rows = []
    for paragraph, of_paragraph in groupby(sorted(pairs), key=lambda pair: pair[0][0]):
        questions = [
            {"idx": question, "answers": [{"idx": idx[2], "label": int(label)} for idx, label in of_question]}
            for question, of_question in groupby(of_paragraph, key=lambda pair: pair[0][1])
        ]
        rows.append({"idx": paragraph, "passage": {"questions": questions}})
    return rows
