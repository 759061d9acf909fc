"""Texts that a user wants answered -> the fields of a task. Nothing here needs a label.

A row may hold all fields of the task, or the ones that the task's official rows have; the fields that templates need
beside them are then derived as `prepare` derives them.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from softprompt.data import glue, superglue
from softprompt.data.nlu_rows import Parser
from softprompt.data.validation import Record, read_lines, read_records
from softprompt.errors import UserError
from softprompt.tasks.load import LAMA
from softprompt.tasks.task import Task

COMMAND_LINE = Path("command line")
MEND = "mend the row"
# GLUE's official column names, and the fields that stand for them.
COLUMNS = {
    "glue/mrpc": {"#1 String": "sentence1", "#2 String": "sentence2"},
    "glue/rte": {"sentence1": "premise", "sentence2": "hypothesis"},
}


# What a row has to hold; WSC and ReCoRD, and MultiRC if it is not flat, in the nested form of their official files.
NEEDED = {
    "boolq": ("question", "passage"),
    "cb": ("premise", "hypothesis"),
    "copa": ("premise", "choice1", "choice2", "question"),
    "mrpc": ("sentence1", "sentence2"),
    "multirc": ("passage", "question", "answer"),
    "record": ("passage", "qas"),
    "rte": ("premise", "hypothesis"),
    "sst2": ("sentence",),
    "wic": ("word", "sentence1", "sentence2"),
    "wsc": ("text", "target"),
}


def read_inputs(task: Task, file: Path | None, texts: Sequence[str]) -> pd.DataFrame:
    """One row an example: `row` (the line of the file, or the how manieth text), then the task's fields.

    Reads a CSV file with a header, JSON lines, any other file as one text a line where the task has a single field, or
    `texts`: of a task with one field a text each, of others one example as field=text. Raises UserError naming file,
    row and field.
    """
    records = _file_records(task, file) if file is not None else _text_records(task, texts)
    rows = [{"row": record.line, **fields} for record in records for fields in _fields_of(task, record)]
    if not rows:
        raise UserError(f"{file or COMMAND_LINE}: nothing to answer; expected {_expected(task)}")
    return pd.DataFrame(rows, columns=["row", *task.fields], dtype=object)


def _file_records(task: Task, file: Path) -> Iterator[Record]:
    if file.suffix == ".csv":
        yield from _csv_records(file)
    elif file.suffix in (".jsonl", ".json"):
        yield from read_records(file)
    elif len(task.fields) == 1:
        for number, line in enumerate(read_lines(file), start=1):
            if line.strip():
                yield Record(file, number, {task.fields[0]: line.strip()})
    else:
        raise UserError(
            f"{file}: {task.key} has several fields, which lines of text cannot hold; "
            f"write a .csv or .jsonl file with {_expected(task)}"
        )


def _csv_records(file: Path) -> Iterator[Record]:
    rows = csv.reader(f"{line}\n" for line in read_lines(file))
    header = next(rows)
    for values in rows:
        if len(values) != len(header):
            raise UserError(
                f"{file}:{rows.line_num}: {len(values)} columns; expected {len(header)} ({', '.join(header)}); {MEND}"
            )
        yield Record(file, rows.line_num, dict(zip(header, values, strict=True)))


def _text_records(task: Task, texts: Sequence[str]) -> list[Record]:
    if len(task.fields) == 1:
        return [Record(COMMAND_LINE, number, {task.fields[0]: text}) for number, text in enumerate(texts, start=1)]
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not equals or not name.isidentifier():
            raise UserError(f"{text!r} is not of the form field=text; {task.key} needs {_expected(task)}")
    return [Record(COMMAND_LINE, 1, {name: value for name, _, value in pairs})] if pairs else []


def _fields_of(task: Task, record: Record) -> Iterator[dict[str, str]]:
    """The examples of a record: one, or of MultiRC and ReCoRD what an official row holds."""
    parse, given = _parser(task), record.value
    if parse is None or (set(task.fields) <= set(given) and set(task.fields) != set(NEEDED[task.name])):
        _refuse_missing(task, record, task.fields)
        yield {name: record.text(name, may_be_empty=len(task.fields) > 1) for name in task.fields}
        return
    if not isinstance(given.get("passage"), dict):
        _refuse_missing(task, record, NEEDED[task.name])
    official = OFFICIAL.get(task.name, dict)(given) | {"idx": record.line, "index": str(record.line)}
    for theirs, ours in COLUMNS.get(task.key, {}).items():
        official.setdefault(theirs, given[ours])
    for example in parse(Record(record.path, record.line, official), False):
        if not example.dropped:
            yield example.fields


def _refuse_missing(task: Task, record: Record, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in record.value]
    if missing:
        raise UserError(
            f"{record.path}:{record.line}: field `{missing[0]}` is missing (there is {', '.join(record.value)}); "
            f"{task.key} needs {', '.join(needed)}"
        )


def _parser(task: Task) -> Parser | None:
    parsers = glue.PARSERS if task.suite == "glue" else {} if task.suite == LAMA else superglue.PARSERS
    return parsers.get(task.name)


def _multirc(value: dict[str, Any]) -> dict[str, Any]:
    """An official row around the single answer that a flat row holds."""
    if not {"passage", "question", "answer"} <= set(value) or not isinstance(value["passage"], str):
        return value
    answers = [{"idx": 0, "text": value["answer"]}]
    return {
        "passage": {
            "text": value["passage"],
            "questions": [{"idx": 0, "question": value["question"], "answers": answers}],
        }
    }


def _wic(value: dict[str, Any]) -> dict[str, Any]:
    """The offsets of the word, which no template reads: where they are missing, the whole sentence."""
    spans: dict[str, Any] = {}
    for number in "12":
        sentence = value.get(f"sentence{number}")
        if isinstance(sentence, str) and f"start{number}" not in value:
            spans |= {f"sentence{number}": sentence.strip(), f"start{number}": 0, f"end{number}": len(sentence.strip())}
    return value | spans


OFFICIAL: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"multirc": _multirc, "wic": _wic}


def _expected(task: Task) -> str:
    return f"the fields {', '.join(NEEDED.get(task.name, task.fields) if task.suite != LAMA else task.fields)}"
