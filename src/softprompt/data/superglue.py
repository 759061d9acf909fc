"""SuperGLUE and FewGLUE in their official files: a folder a task, a JSON-lines file a split."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from softprompt.data import nlu_rows
from softprompt.data.nlu_rows import Parsed, Parser
from softprompt.data.rows import Groups, RawSplit, Row
from softprompt.data.validation import Record, UniqueIds, read_records

REPEATED_ROW = "the same row once more"

FOLDERS = {
    "boolq": "BoolQ",
    "cb": "CB",
    "copa": "COPA",
    "multirc": "MultiRC",
    "record": "ReCoRD",
    "rte": "RTE",
    "wic": "WiC",
    "wsc": "WSC",
}
PARSERS: dict[str, Parser] = {
    "boolq": nlu_rows.boolq,
    "cb": nlu_rows.cb,
    "copa": nlu_rows.copa,
    "multirc": nlu_rows.multirc,
    "record": nlu_rows.record,
    "rte": nlu_rows.rte,
    "wic": nlu_rows.wic,
    "wsc": nlu_rows.wsc,
}


def read_nlu_split(task: str, path: Path, name: str, *, labelled: bool) -> RawSplit:
    """All examples of one official file, checked. Their ids begin with the split's `name`."""
    return read_split(read_records(path), PARSERS[task], path, name, labelled=labelled)


def read_split(
    records: Iterable[Record], parse: Parser, path: Path, name: str, *, labelled: bool, id_field: str = "idx"
) -> RawSplit:
    """The examples that a parser finds in the records of a file, checked and accounted for."""
    split, ids, groups = RawSplit(path), UniqueIds(id_field), Groups()
    seen: dict[str, dict[str, Any]] = {}  # of a file without labels: what a row with this id held
    for record in records:
        split.lines += 1
        for example in parse(record, labelled):
            split.read += 1
            reason = example.dropped or _repeated(record, example, seen, labelled)
            if reason:
                split.dropped[reason] += 1
                continue
            ids.add(record, example.id)
            split.rows.append(_row(example, name, groups))
            if example.repaired:
                split.repaired[example.repaired] += 1
    return split


def _repeated(record: Record, example: Parsed, seen: dict[str, dict[str, Any]], labelled: bool) -> str:
    """Unlabelled files may repeat a whole row (FewGLUE's WiC does); the same id on different rows stays an error."""
    if not labelled and seen.setdefault(example.id, record.value) is not record.value:
        return REPEATED_ROW if seen[example.id] == record.value else ""
    return ""


def _row(example: Parsed, name: str, groups: Groups) -> Row:
    identity = f"{name}-{example.id}"
    group = identity if example.shared is None else groups.of(example.shared, identity)
    return Row(identity, group, example.label, example.fields)
