"""Archives without a published SHA-256: only one that could be unpacked becomes what is expected from then on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.file_server import FileServer, serving
from helpers.source_samples import tarred, zipped
from softprompt.data.sources import official
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.official import LamaArchive, LamaFiles, fill_lama
from softprompt.errors import UserError

PAGE = b"<!doctype html><title>Sign in</title>"
FACTS = {"data/P19.jsonl": b"{}\n"}
OTHER = {"README.txt": b"moved"}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("name", "wrong", "right", "told"),
    [
        ("data.zip", PAGE, zipped(FACTS), "a damaged archive .* delete it and run again"),
        ("data.tar.gz", PAGE, tarred(FACTS), "a damaged archive .* delete it and run again"),
        ("data.zip", zipped(OTHER), zipped(FACTS), "holds no file that matches .* delete .*data.zip and run again"),
    ],
    ids=["page for a zip", "page for a tar", "another layout"],
)
def test_the_advice_after_a_wrong_first_answer_works(
    name: str,
    wrong: bytes,
    right: bytes,
    told: str,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = LamaArchive(
        url=server.add(name, wrong), sha256=None, place={r"data/(P\d+)\.jsonl": r"lama/TREx/\1.jsonl"}
    )
    monkeypatch.setattr(official, "read_lama_files", lambda: {"lama": LamaFiles(archives=(archive,))})
    lock = Lock(tmp_path / "downloads.lock.json")

    def fill(folder: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        return fill_lama("lama", None, tmp_path / "downloads", lock, tmp_path / folder)

    with pytest.raises(UserError, match=told):
        fill("first")
    assert not lock.path.exists()
    server.add(name, right)
    (tmp_path / "downloads" / "files" / "lama" / name).unlink()  # as the message says
    origins = fill("second")
    assert (tmp_path / "second" / "lama" / "TREx" / "P19.jsonl").read_bytes() == FACTS["data/P19.jsonl"]
    assert json.loads(lock.path.read_text()) == origins
    server.add(name, right + b" ")  # a change after that is refused
    (tmp_path / "downloads" / "files" / "lama" / name).unlink()
    with pytest.raises(UserError, match=r"recorded on first use"):
        fill("third")
