"""Datasets of the Hugging Face hub, written as the official files, so that the same readers read them.

Only parquet files at a pinned revision are read, by the generic loader: no loading script ever runs. Label numbers are
named here, task by task, and never taken from what the dataset says of itself.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.data.sources import hub_rows
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.storage import FORBIDDEN, FULL, storage_errors
from softprompt.errors import UserError

INSTEAD = "set `source: official`, or put the files into a folder of your own and set `source: local` with its `path`"
PREFIX = "hf://datasets/"
SUPERGLUE = "aps/super_glue@3de24cf8022e94f4ee4b9d55a6f539891524d646"
GLUE = "nyu-mll/glue@bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
LAMA, LAMA_REVISION = "facebook/lama", "refs/convert/parquet"  # it moves: the commit of the first use is recorded
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")

Row = dict[str, Any]


def fill_from_hub(suite: str, about: set[str], downloads: Path, lock: Lock, folder: Path) -> dict[str, str]:
    """Write the files of the given task folders below `folder`; LAMA's facts are written for all relations. Returns
    the revision of each repository. What the hub's libraries keep is kept in <downloads>/files/hub.

    Raises UserError where the hub is out of reach, switched off by HF_HUB_OFFLINE, or gives rows of another form.
    """
    _refuse_offline(suite)
    kept = downloads / "files" / "hub"
    try:
        if suite == "lama":
            return _write_lama(lock, folder, kept)
        repository, _, revision = (SUPERGLUE if suite == "superglue" else GLUE).partition("@")
        write = write_superglue if suite == "superglue" else write_glue
        for name in sorted(about):
            write(f"{PREFIX}{repository}@{revision}", name, folder / suite / name, kept)
    except KeyError as error:
        raise UserError(f"suites.{suite}: rows of the hub have no field {error}; {INSTEAD}") from error
    return {PREFIX + repository: revision}


def write_superglue(base: str, task: str, folder: Path, kept: Path) -> None:
    """Official jsonl files of a task folder such as BoolQ. `base` is the root of the dataset's parquet folders."""
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = load_rows(f"{base}/{task.lower()}/{split}-*.parquet", kept)
        write_jsonl(folder / f"{name}.jsonl", hub_rows.SUPERGLUE[task](rows))


def write_glue(base: str, task: str, folder: Path, kept: Path) -> None:
    """Official train.tsv and dev.tsv of a task folder such as SST-2; the test set has no labels and is not fetched."""
    config, header, values = hub_rows.GLUE[task]
    for split, name in (("train", "train"), ("validation", "dev")):
        rows = load_rows(f"{base}/{config}/{split}-*.parquet", kept)
        write_tsv(folder / f"{name}.tsv", header, (values(row) for row in rows))


def _write_lama(lock: Lock, folder: Path, kept: Path) -> dict[str, str]:
    address = f"{PREFIX}{LAMA}@{LAMA_REVISION}"
    commit = lock.recorded(address) or _commit_of(LAMA, LAMA_REVISION)
    write_lama(f"{PREFIX}{LAMA}@{commit}", folder / "lama", kept)
    lock.record(address, commit)
    return {address: commit}


def write_lama(base: str, folder: Path, kept: Path) -> None:
    """LAMA's T-REx files and relations.jsonl. The dataset repeats a fact for each of its sentences; here it is once."""
    facts: dict[str, dict[str, Row]] = {}
    relations: dict[str, Row] = {}
    for row in load_rows(f"{base}/trex/train/*.parquet", kept, columns=hub_rows.LAMA_COLUMNS):
        relation = row["predicate_id"]
        facts.setdefault(relation, {}).setdefault(row["uuid"], hub_rows.fact(row))
        relations.setdefault(relation, hub_rows.relation(row))
    for name, found in facts.items():
        write_jsonl(folder / "TREx" / f"{name}.jsonl", found.values())
    write_jsonl(folder / "relations.jsonl", (relation for relation in relations.values() if relation["template"]))


def load_rows(pattern: str, kept: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of parquet files, local or on the hub, in the order of the files' names. `columns` of None means all."""
    import datasets

    datasets.disable_progress_bars()
    with _unreachable(pattern):
        table = datasets.load_dataset(
            "parquet", data_files=pattern, split="train", cache_dir=str(kept), columns=columns and list(columns)
        )
    for batch in table.with_format("arrow").iter(batch_size=1000):
        yield from batch.to_pylist()


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_tsv(path: Path, header: list[str], rows: Iterable[list[str]]) -> None:
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as handle:
            for number, row in enumerate([header, *rows], start=1):
                if any("\t" in value or "\n" in value for value in row):
                    raise UserError(f"{path}:{number}: a tab or a line end within a value; {INSTEAD}")
                handle.write("\t".join(row) + "\n")


def _refuse_offline(suite: str) -> None:
    for name in OFFLINE:
        if os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON"):
            raise UserError(f"suites.{suite}.source is hub, but {name} is set: unset it, or {INSTEAD}")


def _commit_of(repository: str, revision: str) -> str:
    from huggingface_hub import HfApi

    with _unreachable(f"{PREFIX}{repository}@{revision}"):
        return str(HfApi().dataset_info(repository, revision=revision).sha)


@contextmanager
def _unreachable(address: str) -> Iterator[None]:
    """Turns what the hub's libraries raise for a missing network, repository or file into one line. An OSError of the
    disk passes."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the base of its HTTP library's errors

    try:
        yield
    except (OSError, ValueError, DatasetsError, HTTPError) as error:
        for reason in (error, error.__cause__):
            if isinstance(reason, OSError) and reason.errno in FULL + FORBIDDEN:  # of this machine's disk
                raise reason from error
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise UserError(f"{address}: cannot be read ({why}); check the network, or {INSTEAD}") from error
