"""Datasets of the Hugging Face hub, written as the official files, so that the same readers read them.

Only parquet files at a pinned revision are read, by the generic loader: no loading script ever runs. Label numbers are
named by the tasks' definitions, and never taken from what the dataset says of itself.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.data.formats import format_of
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.storage import FORBIDDEN, FULL, storage_errors
from softprompt.data.suite_layouts import layout_of
from softprompt.errors import UserError
from softprompt.tasks.data_section import DataSection

INSTEAD = "set `source: official`, or put the files into a folder of your own and set `source: local` with its `path`"
PREFIX = "hf://datasets/"
LAMA, LAMA_REVISION = "facebook/lama", "refs/convert/parquet"  # it moves: the commit of the first use is recorded
LAMA_FACT = ("uuid", "obj_uri", "obj_label", "sub_uri", "sub_label", "predicate_id")
LAMA_RELATION = ("template", "label", "description", "type")
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")

Row = dict[str, Any]


def fill_tasks_from_hub(tasks: list[DataSection], downloads: Path, folder: Path) -> dict[str, str]:
    """Write the official files of the tasks of a suite below `folder`, of those that are on the hub. Returns the
    revision of each repository. The cache of the hub's libraries is <downloads>/files/hub.

    Raises UserError where the hub is out of reach, switched off by HF_HUB_OFFLINE, or gives rows of another form.
    """
    origins = {}
    for data in tasks:
        _refuse_offline(data.suite)
        repository, _, revision = layout_of(data.suite).hub.partition("@")
        try:
            write_task(f"{PREFIX}{repository}@{revision}", data, folder, downloads / "files" / "hub")
        except KeyError as error:
            raise _other_form(data.suite, error) from error
        origins[PREFIX + repository] = revision
    return origins


def write_task(base: str, data: DataSection, folder: Path, cache: Path) -> None:
    """The files of a task. `base` is the root of the dataset's parquet folders."""
    hub = data.membership.hub
    if hub is None:
        return
    for name, split in layout_of(data.suite).hub_files.items():
        rows = format_of(data).official_rows(load_rows(f"{base}/{hub.config}/{split}-*.parquet", cache))
        write = write_tsv if name.endswith(".tsv") else write_jsonl
        write(folder / data.suite / data.folder / name, rows)


def fill_lama_from_hub(downloads: Path, lock: Lock, folder: Path) -> dict[str, str]:
    """Write LAMA's facts and relations, all of them. Otherwise as `fill_tasks_from_hub`."""
    _refuse_offline("lama")
    address = f"{PREFIX}{LAMA}@{LAMA_REVISION}"
    commit = lock.recorded(address) or _commit_of(LAMA, LAMA_REVISION)
    try:
        write_lama(f"{PREFIX}{LAMA}@{commit}", folder / "lama", downloads / "files" / "hub")
    except KeyError as error:
        raise _other_form("lama", error) from error
    lock.record(address, commit)
    return {address: commit}


def _other_form(suite: str, error: KeyError) -> UserError:
    return UserError(f"suites.{suite}: rows of the hub have no field {error}; {INSTEAD}")


def write_lama(base: str, folder: Path, cache: Path) -> None:
    """LAMA's T-REx files and relations.jsonl. The dataset repeats a fact for each of its sentences; here it is once."""
    facts: dict[str, dict[str, Row]] = {}
    relations: dict[str, Row] = {}
    for row in load_rows(f"{base}/trex/train/*.parquet", cache, columns=LAMA_FACT + LAMA_RELATION):
        relation = row["predicate_id"]
        facts.setdefault(relation, {}).setdefault(row["uuid"], {column: row[column] for column in LAMA_FACT})
        about = {column: row[column] for column in LAMA_RELATION}
        relations.setdefault(relation, {"relation": relation, **about})
    for name, of_relation in facts.items():
        write_jsonl(folder / "TREx" / f"{name}.jsonl", of_relation.values())
    write_jsonl(folder / "relations.jsonl", (relation for relation in relations.values() if relation["template"]))


def load_rows(pattern: str, cache: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of parquet files, local or on the hub, in the order of the files' names. `columns` of None means all."""
    import datasets

    datasets.disable_progress_bars()
    with _unreachable(pattern):
        table = datasets.load_dataset(
            "parquet", data_files=pattern, split="train", cache_dir=str(cache), columns=columns and list(columns)
        )
    for batch in table.with_format("arrow").iter(batch_size=1000):
        yield from batch.to_pylist()


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_tsv(path: Path, rows: Iterable[Row]) -> None:
    """A header and the rows, all of the same columns."""
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as handle:
            for number, row in enumerate(rows, start=2):
                if number == 2:
                    handle.write("\t".join(row) + "\n")
                values = [str(value) for value in row.values()]
                if any("\t" in value or "\n" in value for value in values):
                    raise UserError(f"{path}:{number}: a tab or a line end within a value; {INSTEAD}")
                handle.write("\t".join(values) + "\n")


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
