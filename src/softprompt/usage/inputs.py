"""Texts of a user -> the fields of a task, for predictions. Nothing here needs a label.

A row may hold all fields of the task, or the ones that the task's official rows have; the fields that templates need
beside them are then derived as `prepare` derives them.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from softprompt.data.formats import Format, format_of
from softprompt.data.record_files import LONE_SURROGATE, read_csv, read_json_lines, read_lines
from softprompt.data.validation import RawRecord
from softprompt.errors import UserError, listed, shown
from softprompt.tasks.load import LAMA, load_data_section
from softprompt.tasks.task import Task

COMMAND_LINE, TABLE = Path("command line"), Path("table")


def read_inputs(task: Task, file: Path | None, texts: Sequence[str]) -> pd.DataFrame:
    """One row an example: `row` (the line of the file, or the number of the text), then the task's fields.

    Reads a CSV file with a header, JSON lines, any other file as one text a line where the task has a single field, or
    `texts`: of a task with one field a text each, of others one example as field=text. Raises UserError naming file,
    row and field.
    """
    for text in texts:
        if not text.isprintable() and LONE_SURROGATE.search(text):
            raise UserError(f"{shown(text)}: bytes that are not UTF-8; write UTF-8 text, or put it into a file")
    records = _file_records(task, file) if file is not None else _text_records(task, texts)
    return _inputs(task, records, file or COMMAND_LINE)


def inputs_of(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """The same of a table with a row an example, which `row` counts from 1."""
    rows = enumerate(frame.to_dict("records"), start=1)
    return _inputs(task, [RawRecord(TABLE, n, {str(name): row[name] for name in row}) for n, row in rows], TABLE)


def _inputs(task: Task, records: Iterable[RawRecord], place: Path) -> pd.DataFrame:
    rows = [{"row": record.line, **fields} for record in records for fields in _fields_of(task, record)]
    if not rows:
        raise UserError(f"{place}: no text to predict for; expected {_expected(task)}")
    return pd.DataFrame(rows, columns=["row", *task.fields], dtype=object)


def _file_records(task: Task, file: Path) -> Iterator[RawRecord]:
    if file.suffix == ".csv":
        yield from read_csv(file)
    elif file.suffix in (".jsonl", ".json"):
        yield from read_json_lines(file)
    elif len(task.fields) == 1:
        for number, line in enumerate(read_lines(file), start=1):
            if line.strip():
                yield RawRecord(file, number, {task.fields[0]: line.strip()})
    else:
        raise UserError(
            f"{file}: {task.key} has several fields, which lines of text cannot hold; "
            f"write a .csv or .jsonl file with {_expected(task)}"
        )


def _text_records(task: Task, texts: Sequence[str]) -> list[RawRecord]:
    if len(task.fields) == 1:
        return [RawRecord(COMMAND_LINE, number, {task.fields[0]: text}) for number, text in enumerate(texts, start=1)]
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not equals or not name.isidentifier():
            raise UserError(f"{shown(text)} is not of the form field=text; {task.key} needs {_expected(task)}")
    return [RawRecord(COMMAND_LINE, 1, {name: value for name, _, value in pairs})] if pairs else []


def _fields_of(task: Task, record: RawRecord) -> Iterator[dict[str, str]]:
    """The examples of a record: one, or as many as an official row holds (MultiRC, ReCoRD)."""
    parser, given, inputs = _parser_of(task), record.value, _inputs_of(task)
    if parser is None or (set(task.fields) <= set(given) and set(task.fields) != set(inputs)):
        _refuse_missing(task, record, task.fields)
        yield {name: record.text(name, may_be_empty=len(task.fields) > 1) for name in task.fields}
        return
    if not isinstance(given.get("passage"), dict):  # a nested passage is that of an official row
        _refuse_missing(task, record, inputs)
    official = parser.official_row(given) | {"idx": record.line, "index": str(record.line)}
    for example in parser.parse(RawRecord(record.path, record.line, official), labelled=False):
        if not example.dropped:
            yield example.fields


def _parser_of(task: Task) -> Format | None:
    """What derives the other fields from those that a row needs; None where a row needs all of them."""
    if task.suite == LAMA:
        return None
    data = load_data_section(task.suite, task.name)
    return format_of(data) if data.inputs else None


def _inputs_of(task: Task) -> tuple[str, ...]:
    """What a row has to hold."""
    return (() if task.suite == LAMA else load_data_section(task.suite, task.name).inputs) or task.fields


def _refuse_missing(task: Task, record: RawRecord, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in record.value]
    if missing:
        raise UserError(
            f"{record.path}:{record.line}: field `{missing[0]}` is missing (there is {listed(record.value)}); "
            f"{task.key} needs {', '.join(needed)}"
        )


def _expected(task: Task) -> str:
    return f"the fields {', '.join(_inputs_of(task))}"
