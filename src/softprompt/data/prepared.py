"""Reading what `prepare` wrote. `folder` is always one of a suite's: data/prepared/<suite>, which holds what may be
learnt from, or data/test/<suite>, which holds the test splits."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from softprompt.data.manifest import MANIFEST, VOCABULARY
from softprompt.data.prepared_task import TEST_SPLITS
from softprompt.errors import UserError, reason_of
from softprompt.files import sha256_of_file
from softprompt.paths import Paths

SCORED_SPLITS = ("test", "withheld")  # answered in evaluation


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a suite."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a prepared suite; run `dvc repro prepare@{folder.name}` first")
    manifest = _read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tasks"), dict):
        raise UserError(f"{path}: not a manifest; run `dvc repro prepare@{folder.name}` again")
    return manifest


def refuse_damaged(folder: Path) -> None:
    """Raises UserError where a file of a suite is missing or is not the one that was prepared. Asked by a stage before
    its work: what it cannot read later on may look like what a method cannot do."""
    again = f"run `dvc repro prepare@{folder.name}` again"
    try:
        digests = _digests(read_manifest(folder))
    except (LookupError, TypeError, AttributeError):
        raise UserError(f"{folder / MANIFEST}: damaged; {again}") from None
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file() or sha256_of_file(path) != digest:
            raise UserError(f"{path}: not the file that {MANIFEST} describes; {again}")


def _digests(manifest: dict[str, Any]) -> dict[str, str]:
    """Of all files of a suite, by their names below its folder."""
    digests = dict(manifest["files"])
    for task, entry in manifest["tasks"].items():
        digests |= {f"{task}/{name}": digest for name, digest in entry["files"].items()}
        digests |= {f"{task}/{table['file']}": table["sha256"] for table in entry["splits"].values()}
    return digests


def _read_json(path: Path) -> Any:
    """The content of a file of a suite. Raises UserError where it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        again = f"run `dvc repro prepare@{path.parent.name}` again"
        raise UserError(f"{path}: damaged ({reason_of(error)}); {again}") from None


def whole_manifest(paths: Paths, suite: str) -> dict[str, Any]:
    """Both manifests of a suite as one: what may be learnt from, and the test splits."""
    return _merged(read_manifest(paths.suite(suite)), read_manifest(paths.test_suite(suite)))


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both, and of what both have the second one; nested mappings likewise."""
    nested = {
        key: _merged(first[key], second[key]) for key in first.keys() & second.keys() if isinstance(first[key], dict)
    }
    return {**first, **second, **nested}


def tasks(folder: Path) -> list[str]:
    """Names of the prepared tasks, sorted."""
    return sorted(read_manifest(folder)["tasks"])


def _entry(folder: Path, task: str) -> dict[str, Any]:
    entries = read_manifest(folder)["tasks"]
    if task not in entries:
        raise UserError(f"{folder / MANIFEST}: no task {task!r}; prepared are {', '.join(sorted(entries))}")
    entry: dict[str, Any] = entries[task]
    return entry


def splits(folder: Path, task: str) -> list[str]:
    """Names of a task's splits there: train, dev, unlabeled, or test, withheld, unanswered, as far as it has them."""
    prepared = _entry(folder, task)["splits"]
    return [split for split in ("train", "dev", "unlabeled", *TEST_SPLITS) if split in prepared]


def load_split(folder: Path, task: str, split: str) -> pd.DataFrame:
    """A table of texts: id, group, label, then the task's fields."""
    if split not in splits(folder, task):
        raise UserError(f"{folder / task}: no split {split!r}; it has {', '.join(splits(folder, task))}")
    path = folder / task / f"{split}.parquet"
    if not path.is_file() or sha256_of_file(path) != _entry(folder, task)["splits"][split].get("sha256"):
        raise UserError(f"{path}: not the table that {MANIFEST} describes; run `dvc repro prepare@{folder.name}` again")
    table = pq.read_table(path)
    return pd.DataFrame({name: table.column(name).to_pylist() for name in table.column_names}, dtype=object)


def load_vocabulary(folder: Path) -> list[list[str]] | None:
    """The words that answers are chosen among (LAMA's restricted vocabulary), one list or one a model; None where the
    source has none."""
    path = folder / VOCABULARY
    if not path.is_file():
        return None
    lists: list[list[str]] = _read_json(path)
    return lists


def fingerprint(folder: Path, task: str) -> str:
    """Hex digest that changes when a table or the templates of the task or the suite's vocabulary in this folder do,
    only then."""
    entry = _entry(folder, task)
    hashes = {split: content["sha256"] for split, content in entry["splits"].items()} | entry["files"]
    hashes[VOCABULARY] = read_manifest(folder)["files"].get(VOCABULARY, "")
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
