"""Writing prepared tasks: parquet tables, further files, and the manifests that account for every row.

A suite has two folders of the same shape: one of what may be learnt from, one of what is only evaluated on. No table
and no count in the first depends on a row of the second. Only pretraining text tells facts of all splits; where it
does, withheld subjects are drawn among all, and relations without train or dev files have such rows from the test file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from softprompt.data.prepared_task import TEST_SPLITS, PreparedTask, overlap, repeated
from softprompt.data.rows import RawSplit
from softprompt.files import sha256_of_file

MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.json"  # the words that answers are chosen among, where the source restricts them
CLOSED_LABELS = 10  # more different labels than this are counted, not listed


def write_learnable(task: PreparedTask, folder: Path, root: Path) -> dict[str, Any]:
    """Write what may be learnt from of a task, and what it is asked with; returns its entry in the manifest."""
    folder.mkdir(parents=True)
    for name, content in task.files.items():
        (folder / name).write_text(content, encoding="utf-8")
    tables = {split: table for split, table in task.tables.items() if split not in TEST_SPLITS}
    return {
        "licence": task.licence,
        "note": task.note,
        "splits": _write_tables(tables, folder),
        "files": {name: sha256_of_file(folder / name) for name in task.files},
        "raw": describe_raw(task.raw, root),
    }


def write_test(task: PreparedTask, folder: Path, root: Path) -> dict[str, Any]:
    """Write what a task is only evaluated on; returns its entry in the manifest of test splits."""
    folder.mkdir(parents=True)
    tables = {split: table for split, table in task.tables.items() if split in TEST_SPLITS}
    learnt_from = [split for split in ("train", "dev") if split in task.tables]
    return {
        "splits": _write_tables(tables, folder),
        "also_in_test": {split: overlap(task.tables[split], tables["test"]) for split in learnt_from},
        "files": {},
        "raw": describe_raw(task.test_raw, root),
    }


def _write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> dict[str, Any]:
    return {split: _write_table(table, folder / f"{split}.parquet") for split, table in tables.items()}


def _write_table(table: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Plain string columns without pandas metadata, so that equal tables are equal bytes."""
    columns = {name: pa.array(table[name].tolist(), pa.string()) for name in table.columns}
    pq.write_table(pa.table(columns), path, compression="zstd")
    counts = {str(label): int(count) for label, count in table["label"].value_counts().items()}
    labels = {"labels": counts} if len(counts) <= CLOSED_LABELS else {}
    return {
        "file": path.name,
        "rows": len(table),
        "distinct_labels": len(counts),
        **labels,
        "repeated": repeated(table),
        "sha256": sha256_of_file(path),
    }


def describe_raw(raw: list[RawSplit], root: Path) -> dict[str, Any]:
    """Per raw file what was read, dropped and repaired, by its path below the source's root."""
    return {
        split.path.relative_to(root).as_posix(): {
            "lines": split.lines,
            "read": split.read,
            "dropped": dict(split.dropped),
            "repaired": dict(split.repaired),
            "sha256": sha256_of_file(split.path),
        }
        for split in raw
    }


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Deterministic bytes: sorted keys, no dates, no absolute paths."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
