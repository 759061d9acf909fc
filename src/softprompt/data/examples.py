"""The examples of a raw file, checked and accounted for."""

from pathlib import Path
from typing import Any

from softprompt.data.formats import Parsed, format_of
from softprompt.data.record_files import read_rows, split_name
from softprompt.data.rows import Groups, RawSplit, Row
from softprompt.data.validation import RawRecord, UniqueIds
from softprompt.tasks.data_section import DataSection

REPEATED_ROW = "the same row once more"


def read_examples(data: DataSection, path: Path, *, labelled: bool) -> RawSplit:
    """All examples of a file of a task. Their ids begin with the name of the file's split.

    Raises UserError with file, line and field of a row that is not what the task's format expects.
    """
    parser = format_of(data)
    split, ids, groups = RawSplit(path), UniqueIds(parser.id_column), Groups()
    seen: dict[str, dict[str, Any]] = {}  # of a file without labels: id -> the row that had it first
    for record in read_rows(path):
        split.lines += 1
        for example in parser.parse(record, labelled=labelled):
            split.read += 1
            reason = example.dropped or _repeated(record, example, seen, labelled)
            if reason:
                split.dropped[reason] += 1
                continue
            ids.add(record, example.id)
            split.rows.append(_row(data, example, split_name(path), groups))
            if example.repaired:
                split.repaired[example.repaired] += 1
    return split


def _repeated(record: RawRecord, example: Parsed, seen: dict[str, dict[str, Any]], labelled: bool) -> str:
    """Unlabelled files may repeat a whole row (FewGLUE's WiC does); the same id on different rows stays an error."""
    if not labelled and seen.setdefault(example.id, record.value) is not record.value:
        return REPEATED_ROW if seen[example.id] == record.value else ""
    return ""


def _row(data: DataSection, example: Parsed, name: str, groups: Groups) -> Row:
    identity = f"{name}-{example.id}"
    group = groups.of(example.fields[data.group], identity) if data.group else identity
    return Row(identity, group, example.label, example.fields)
