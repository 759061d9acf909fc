"""Predictions for SuperGLUE's test files, which have no labels, in the format of its leaderboard.

A JSON-lines file a task, as jiant's submission formatter writes it; a definition's `data.submission` says how the file
is called, how labels are written and which shape rows have.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from softprompt.data.prepared import load_split, splits
from softprompt.data.suite_layouts import UNANSWERED
from softprompt.errors import NotFiniteError, UserError
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.files import write_atomically
from softprompt.inputs.label_space import keep_answerable
from softprompt.results import Cell
from softprompt.tasks.candidates import candidates_of
from softprompt.tasks.data_section import Submission, Value
from softprompt.tasks.load import load_data_section, load_task
from softprompt.tasks.task import Task

SUITE = "superglue"


def write_submission(trained: TrainedCells, seed: int, out: Path) -> list[Path]:
    """One file for every SuperGLUE task that the method has a finished cell of, answered by its first template.

    Raises UserError where there is no such cell, or no test file was prepared.
    """
    written = []
    for (suite, name), cells in trained.cells.items():
        chosen = [cell for cell in cells if cell.seed == seed]
        submission = load_data_section(SUITE, name).submission if suite == SUITE else None
        if submission and chosen and UNANSWERED in splits(trained.paths.test_suite(SUITE), name):
            path = out / submission.file
            rows = submission_rows(submission, _predictions(trained, name, chosen[0]))
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
            written.append(path)
    if not written:
        raise UserError(
            f"there is nothing to submit: {trained.name} on {trained.backbone.name} has no finished SuperGLUE cell of "
            f"seed {seed} whose test.jsonl was prepared; see results/train and data/test/{SUITE}/manifest.json"
        )
    return written


def _predictions(trained: TrainedCells, name: str, cell: Cell) -> pd.DataFrame:
    """Columns id and prediction. The gold labels that the common path needs are made up and go nowhere."""
    task = load_task(SUITE, name, trained.paths.prepared)
    examples = load_split(trained.paths.test_suite(SUITE), name, UNANSWERED)
    label_space = trained.label_space_of(task)
    examples = keep_answerable(label_space, examples.assign(label=_any_labels(task, examples)))
    request = trained.first_request(ScoredSplit(task, label_space, examples, UNANSWERED), cell)
    answers = trained.predict([request])[0]
    if isinstance(answers, NotFiniteError):
        raise UserError(f"{trained.name} on {trained.backbone.name}, {task.key}, seed {cell.seed}: {answers}")
    return answers[["id", "prediction"]]


def _any_labels(task: Task, examples: pd.DataFrame) -> list[str]:
    if task.labels:
        return [task.labels[0]] * len(examples)
    return [json.dumps(texts[:1]) for texts in candidates_of(task, examples)]


def submission_rows(submission: Submission, predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a task's file. `predictions` has the columns id (test-<numbers>) and prediction."""
    ids = [[int(number) for number in identity.split("-")[1:]] for identity in predictions["id"]]
    labels = [submission.labels.get(label, label) for label in predictions["prediction"]]
    pairs = list(zip(ids, labels, strict=True))
    if submission.shape == "paragraphs":
        return _paragraphs(pairs)
    return [{"idx": numbers[-1], "label": label} for numbers, label in pairs]


def _paragraphs(pairs: list[tuple[list[int], Value]]) -> list[dict[str, Any]]:
    """MultiRC: paragraph, question, answer; ids of each within the one before."""
    rows = []
    for paragraph, of_paragraph in groupby(sorted(pairs, key=lambda pair: pair[0]), key=lambda pair: pair[0][0]):
        questions = [
            {"idx": question, "answers": [{"idx": numbers[2], "label": label} for numbers, label in of_question]}
            for question, of_question in groupby(of_paragraph, key=lambda pair: pair[0][1])
        ]
        rows.append({"idx": paragraph, "passage": {"questions": questions}})
    return rows
