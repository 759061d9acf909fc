"""The same rows from every source: a local folder, official archives off a server, and parquet files as on the hub."""

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from helpers.file_server import FileServer, serving
from helpers.hub_samples import fill_hub_glue, fill_hub_lama, fill_hub_superglue, write_parquet
from helpers.source_samples import SUPERGLUE, local_files, moved_to, published, zipped
from helpers.task_files import FOLDERS
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data import few_shot, prepared
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared_task import chosen_tasks
from softprompt.data.sources import ORIGINS, download, fetch_suite, hub_datasets, official
from softprompt.data.sources.lock import Lock
from softprompt.data.suite_layouts import LAYOUTS
from softprompt.errors import UserError
from softprompt.paths import Paths
from softprompt.tasks import load
from softprompt.tasks.load import load_data_section, nlu_names

WORLD = WorldSettings()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A local folder in the layout of data/raw."""
    for name, content in local_files().items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
    return tmp_path / "raw"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Everything official on a server of this machine, at the published addresses but for host and hashes."""
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    with serving() as running:
        running.files = published()
        for path in load.DEFINITIONS.rglob("*.yaml"):
            moved_to(running.url, path, tmp_path / "definitions" / path.relative_to(load.DEFINITIONS))
        moved_to(running.url, official.LAMA_FILES, tmp_path / "lama_files.yaml")
        monkeypatch.setattr(load, "DEFINITIONS", tmp_path / "definitions")
        monkeypatch.setattr(official, "LAMA_FILES", tmp_path / "lama_files.yaml")
        yield running


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parquet files with the hub's columns, at the place where the hub's datasets would be."""
    monkeypatch.setattr(hub_datasets, "PREFIX", f"{tmp_path}/hub/")
    for name in hub_datasets.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub"


# --- the same rows ------------------------------------------------------------------------------------------------


def tables(suite: str, source: str, tmp_path: Path, **settings: object) -> dict[str, str]:
    """The hash of every table that `prepare` makes of a suite."""
    paths = Paths(tmp_path / "out" / source)
    parsed = SuiteSettings.model_validate({"source": source, "dev_share": 0.2, **settings})
    prepare_suite(suite, parsed, WORLD, paths, tmp_path / "downloads")
    tasks = prepared.whole_manifest(paths, suite)["tasks"]
    hashes = {
        f"{name}/{split}": part["sha256"] for name, task in tasks.items() for split, part in task["splits"].items()
    }
    return hashes | {f"{name}/files": json.dumps(task["files"]) for name, task in tasks.items()}


def test_official_archives_give_the_rows_of_a_local_folder(raw: Path, server: FileServer, tmp_path: Path) -> None:
    for suite, tasks in (("superglue", 8), ("glue", 3), ("lama", 1)):
        settings: dict[str, object] = {"tasks": ["P19"], "vocabulary": "29k"} if suite == "lama" else {}
        from_archives = tables(suite, "official", tmp_path, **settings)
        assert from_archives == tables(suite, "local", tmp_path, path=str(raw), **settings)
        assert len({name.partition("/")[0] for name in from_archives}) == tasks
    asked = len(server.asked)
    assert tables("superglue", "official", tmp_path) == tables("superglue", "local", tmp_path, path=str(raw))
    assert len(server.asked) == asked  # everything was kept
    vocabulary = prepared.load_vocabulary(Paths(tmp_path / "out" / "official").suite("lama"))
    assert vocabulary == [["city0", "city1"]]


@pytest.mark.usefixtures("server")
def test_the_hub_gives_the_rows_of_a_local_folder(raw: Path, hub_folder: Path, tmp_path: Path) -> None:
    fill_hub_superglue(hub_folder, {task: rows for task, rows in SUPERGLUE.items() if task != "ReCoRD"})
    fill_hub_glue(hub_folder)
    fill_hub_lama(hub_folder, Lock(tmp_path / "downloads.lock.json"))
    for suite in ("superglue", "glue", "lama"):
        chosen = {"lama": ["P19"], "superglue": [name for name in FOLDERS if name != "record"]}
        settings = {"tasks": chosen[suite]} if suite in chosen else {}
        assert tables(suite, "hub", tmp_path, **settings) == tables(suite, "local", tmp_path, path=str(raw), **settings)


OFFICIAL_SPLITS = ("train", "val", "test")


def json_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def test_the_hub_gives_the_real_rows(real_data: Path, hub_folder: Path, tmp_path: Path) -> None:
    names = ["cb", "copa", "multirc", "rte", "wic", "wsc"]
    real = {
        FOLDERS[task]: {
            name: json_lines(real_data / "superglue" / FOLDERS[task] / f"{name}.jsonl") for name in OFFICIAL_SPLITS
        }
        for task in names
    }
    fill_hub_superglue(hub_folder, real)
    settings = {"tasks": names}
    assert tables("superglue", "hub", tmp_path, **settings) == tables(
        "superglue", "local", tmp_path, path=str(real_data), **settings
    )


def test_only_the_named_tasks_are_downloaded(server: FileServer, tmp_path: Path) -> None:
    root = fetch_suite("superglue", "official", ("cb", "rte"), tmp_path / "downloads")
    assert sorted(path.name for path in (root / "superglue").iterdir()) == ["CB", "RTE"]
    assert [path.rpartition("/")[2] for path, _ in server.asked] == ["CB.zip", "RTE.zip"]


@pytest.mark.usefixtures("server")
def test_fewglue_comes_file_by_file(tmp_path: Path) -> None:
    assert {"rte/train", "rte/dev", "rte/test"} <= tables("fewglue", "official", tmp_path, tasks=["cb", "rte"]).keys()


def test_other_examples_are_drawn_from_the_official_superglue(
    raw: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FewGLUE's own archives lack what is drawn from; the task's SuperGLUE archive, and no other, comes with them."""
    monkeypatch.setattr(few_shot, "SHOTS", 8)
    for name, content in server.files.items():
        if "/FewGLUE_32dev/CB/" in name:
            (raw / "fewglue" / "CB" / Path(name).name).parent.mkdir(parents=True, exist_ok=True)
            (raw / "fewglue" / "CB" / Path(name).name).write_bytes(content)
    settings: dict[str, object] = {"tasks": ["cb"], "split_seed": 3}
    drawn = tables("fewglue", "official", tmp_path, **settings)
    assert drawn == tables("fewglue", "local", tmp_path, path=str(raw), **settings)
    assert [path for path, _ in server.asked if path.endswith(".zip")] == ["glue/superglue/data/v2/CB.zip"]
    origins = prepared.whole_manifest(Paths(tmp_path / "out" / "official"), "fewglue")["origins"]
    assert f"{server.url}/glue/superglue/data/v2/CB.zip" in origins
    assert {f"cb/{split}" for split in ("train", "dev", "test", "files")} == set(drawn)


@pytest.mark.parametrize(("source", "key"), [("local", "path"), ("official", "source"), ("embedded", "source")])
def test_a_suite_without_a_task_names_the_key_that_chose_it(source: str, key: str) -> None:
    settings = SuiteSettings.model_validate({"source": source})
    with pytest.raises(
        UserError, match=rf"has no complete task \(cb: no train\.jsonl\); check suites\.fewglue\.{key}$"
    ):
        chosen_tasks("fewglue", settings, {"cb": "no train.jsonl"})


@pytest.mark.usefixtures("server")
def test_a_manifest_says_where_the_files_came_from(tmp_path: Path) -> None:
    tables("superglue", "official", tmp_path, tasks=["cb"])
    manifest = prepared.whole_manifest(Paths(tmp_path / "out" / "official"), "superglue")
    (address,) = manifest["origins"]
    assert address.endswith("glue/superglue/data/v2/CB.zip")
    assert json.loads((tmp_path / "downloads.lock.json").read_text()) == manifest["origins"]
    assert manifest["source"] == "official"


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_failed_fetch_leaves_the_files_of_the_last_one(server: FileServer, tmp_path: Path) -> None:
    del server.files["glue/superglue/data/v2/ReCoRD.zip"]
    root = fetch_suite("superglue", "official", ("cb",), tmp_path / "downloads")
    before = (root / ORIGINS).read_text()
    with pytest.raises(UserError, match=r"ReCoRD\.zip: the server says 404"):
        fetch_suite("superglue", "official", ("cb", "record"), tmp_path / "downloads")
    assert (root / ORIGINS).read_text() == before
    assert sorted(path.name for path in root.parent.iterdir()) == ["files", "official-superglue"]


def test_an_archive_of_another_layout_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.files["glue/superglue/data/v2/CB.zip"] = zipped({"CB/dev.parquet": b""})
    with pytest.raises(UserError, match=r"CB\.zip: the archive holds no file that matches .*source: local"):
        fetch_suite("superglue", "official", ("cb",), tmp_path / "downloads")


@pytest.mark.usefixtures("hub_folder")
@pytest.mark.parametrize("name", hub_datasets.OFFLINE)
def test_an_offline_machine_is_told_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UserError, match=rf"suites\.glue\.source is hub, but {name} is set: unset it, or .*official"):
        fetch_suite("glue", "hub", "all", tmp_path / "downloads")


@pytest.mark.usefixtures("hub_folder")
def test_a_dataset_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"train-\*\.parquet: cannot be read .*check the network, or set `source"
    ) as told:
        fetch_suite("glue", "hub", "all", tmp_path / "downloads")
    assert "\n" not in str(told.value)


def test_rows_of_another_form_are_told_in_one_line(hub_folder: Path, tmp_path: Path) -> None:
    write_parquet(
        hub_folder / LAYOUTS["glue"].hub / "sst2" / "train-00000-of-00001.parquet", [{"text": "a", "label": 1}]
    )
    with pytest.raises(UserError, match=r"suites\.glue: rows of the hub have no field 'sentence'"):
        fetch_suite("glue", "hub", ("sst2",), tmp_path / "downloads")


def published_hashes() -> dict[str, str | None]:
    """SHA-256 by address, of everything that definitions and LAMA's table say is published."""
    tasks = [load_data_section(suite, name) for suite in LAYOUTS for name in nlu_names(suite)]
    archives = [data.membership.archive for data in tasks if data.membership.archive is not None]
    groups = [group for data in tasks for group in data.membership.files]
    lama = official.read_lama_files().values()
    hashes = {archive.url: archive.sha256 for part in (archives, *(one.archives for one in lama)) for archive in part}
    for group in (*groups, *(group for one in lama for group in one.files)):
        hashes |= {group.base + name: sha256 for name, sha256 in group.files.items()}
    return hashes


def test_what_is_published_has_a_hash_of_its_own() -> None:
    known = [sha256 for sha256 in published_hashes().values() if sha256]
    assert len(published_hashes()) == 8 + 27 + 2 + 2 + 2 + 39
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in known)
    assert len(set(known)) == len(known) == len(published_hashes()) - 2


def test_the_definitions_have_the_hashes_of_the_real_files(real_data: Path) -> None:
    checked = 0
    for address, sha256 in published_hashes().items():
        folder, name = address.split("/")[-2:]
        path = real_data / ("prompts/pararel" if folder == "graphs_json" else f"fewglue/{folder}") / name
        if "githubusercontent" in address:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
            checked += 1
    assert checked == 66


def test_a_full_disk_is_not_taken_for_a_missing_network(
    hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise datasets.exceptions.DatasetGenerationError("failed") from OSError(errno.ENOSPC, "No space left on device")

    fill_hub_glue(hub_folder)
    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(UserError, match=r"downloads.*: no space left on the disk"):
        fetch_suite("glue", "hub", "all", tmp_path / "downloads")
