"""Files of rows -> records: JSON lines, CSV, tab-separated tables, and the Stanford treebank's lines."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from softprompt.data.validation import RESTORE, RawRecord
from softprompt.errors import UserError, listed, reason_of
from softprompt.user_files import read_user_bytes

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
TREEBANK = "stsa.binary."  # what the names of the Stanford treebank's files begin with


def read_rows(path: Path) -> Iterator[RawRecord]:
    """Every row of a file of examples, by the end of its name; other names are those of JSON lines."""
    if path.name.startswith(TREEBANK):
        return read_treebank(path)
    return read_tsv(path) if path.suffix == ".tsv" else read_json_lines(path)


def split_name(path: Path) -> str:
    """What the ids of a file's examples begin with: train of train.jsonl and of stsa.binary.train."""
    return path.name.removeprefix(TREEBANK).removesuffix(".tsv").removesuffix(".jsonl")


def read_treebank(path: Path) -> Iterator[RawRecord]:
    """Lines of a label, a blank and a sentence."""
    for number, line in enumerate(read_lines(path), start=1):
        label, _, sentence = line.partition(" ")
        yield RawRecord(path, number, {"label": label, "sentence": sentence})


def read_tsv(path: Path) -> Iterator[RawRecord]:
    """The rows of a tab-separated file as texts by column: a header, no quoting."""
    return _by_header(path, ((number, line.split("\t")) for number, line in enumerate(read_lines(path), start=1)))


def read_csv(path: Path) -> Iterator[RawRecord]:
    """The rows of a CSV file as texts by column: a header, and quotes around values with commas or line ends."""
    rows = csv.reader(f"{line}\n" for line in read_lines(path))
    try:
        yield from _by_header(path, ((rows.line_num, values) for values in rows))
    except csv.Error as error:  # such as a text of more than 131,072 characters, of which no backbone reads a tenth
        raise UserError(
            f"{path}:{rows.line_num}: {reason_of(error)}; close every quotation mark, shorten texts"
        ) from None


def _by_header(path: Path, rows: Iterable[tuple[int, list[str]]]) -> Iterator[RawRecord]:
    """Records of numbered rows, of which the first names the columns."""
    numbered = iter(rows)
    line, header = next(numbered)
    if len(set(header)) < len(header):
        raise UserError(f"{path}:{line}: the columns {listed(header)}; expected different names; {RESTORE}")
    number = line
    for number, values in numbered:
        if len(values) != len(header):
            raise UserError(
                f"{path}:{number}: {len(values)} columns; expected {len(header)} ({listed(header)}); {RESTORE}"
            )
        yield RawRecord(path, number, dict(zip(header, values, strict=True)))
    if number == line:
        raise UserError(f"{path}: no row below the names of the columns ({listed(header)}); put the rows there")


def read_json_lines(path: Path) -> Iterator[RawRecord]:
    """Every row of a JSON-lines file that has at least one. A missing newline after the last row is allowed."""
    lines = _lines(path, "JSON lines")
    last = len(lines)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise UserError(f"{path}:{number}: the line is empty; expected a JSON object; delete the line")
        yield RawRecord(path, number, _parse(path, number, line, last=number == last))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that has at least one, without their ends and a byte order mark."""
    lines = []
    for number, line in enumerate(_lines(path, "lines of text"), start=1):
        try:
            lines.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8; expected UTF-8 text; {RESTORE}"
            ) from None
    return lines


def _lines(path: Path, what: str) -> list[bytes]:
    content = read_user_bytes(path, what)
    if not content.strip():
        raise UserError(f"{path}: the file is empty; expected {what}; put the official file there again")
    return content.removesuffix(b"\n").split(b"\n")


def _parse(path: Path, number: int, line: bytes, *, last: bool) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
        halved = b"\\u" in line and LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8; expected UTF-8 text; {RESTORE}"
        ) from None
    except json.JSONDecodeError as error:
        why = "the last line, so the file is probably cut short; copy it again" if last else RESTORE
        raise UserError(
            f"{path}:{number}: not JSON at character {error.pos + 1} ({error.msg}); expected a JSON object; {why}"
        ) from None
    except (ValueError, RecursionError) as error:  # a whole number of thousands of digits, or brackets without end
        raise UserError(f"{path}:{number}: {reason_of(error)}; expected a JSON object; {RESTORE}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}:{number}: a {type(value).__name__}; expected a JSON object; {RESTORE}")
    if halved:
        raise UserError(f"{path}:{number}: half a character (a lone \\ud800..\\udfff); expected whole ones; {RESTORE}")
    return value
