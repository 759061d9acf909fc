"""Downloads from a real server: resumed, checked, recorded, and every way to fail told in one line."""

import hashlib
import json
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.file_server import FileServer, serving
from softprompt.data.sources import download
from softprompt.data.sources.download import Remote, fetch, record_first
from softprompt.data.sources.lock import Lock
from softprompt.errors import UserError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0, 0.0, 0.0))
    with serving() as running:
        yield running


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "downloads.lock.json")


def test_a_file_is_fetched_once_and_checked_from_then_on(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    remote, target = Remote(server.add("a.zip", CONTENT), SHA256), tmp_path / "new" / "a.zip"
    assert fetch(remote, target, lock) == fetch(remote, target, lock) == SHA256
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]
    assert len(server.asked) == 1
    assert not lock.path.exists()
    target.write_bytes(CONTENT[:-1])  # damaged on disk
    fetch(remote, target, lock)
    assert (target.read_bytes(), len(server.asked)) == (CONTENT, 2)


@pytest.mark.parametrize("etags", [True, False])
def test_a_broken_connection_is_gone_on_from(etags: bool, server: FileServer, lock: Lock, tmp_path: Path) -> None:
    server.breaks, server.etags = [100_000, 0, 0, 50_000, 0, 0], etags
    remote = Remote(server.add("a.zip", CONTENT), SHA256)
    fetch(remote, tmp_path / "a.zip", lock)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [""] + ["bytes=100000-"] * 3 + ["bytes=150000-"] * 3


def test_the_next_run_goes_on_where_this_one_gave_up(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    server.breaks = [100_000, 0, 0, 0]
    remote, target = Remote(server.add("a.zip", CONTENT)), tmp_path / "a.zip"
    with pytest.raises(UserError, match=r"a\.zip: no connection .*run again to go on, .*source: local"):
        fetch(remote, target, lock)
    assert (target.exists(), (tmp_path / "a.zip.part").stat().st_size, lock.path.exists()) == (False, 100_000, False)
    fetch(remote, target, lock)
    assert (target.read_bytes(), server.asked[-1][1]) == (CONTENT, "bytes=100000-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("etags", [True, False])
def test_parts_of_two_versions_are_never_joined(etags: bool, server: FileServer, lock: Lock, tmp_path: Path) -> None:
    server.breaks, server.etags = [100_000, 0, 0, 0], etags
    remote = Remote(server.add("a.zip", CONTENT))
    with pytest.raises(UserError, match="no connection"):
        fetch(remote, tmp_path / "a.zip", lock)
    server.breaks = []
    server.add("a.zip", CONTENT[::-1])
    fetch(remote, tmp_path / "a.zip", lock)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_is_asked_from_the_start(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    server.breaks, server.ranges = [100_000], False
    fetch(Remote(server.add("a.zip", CONTENT), SHA256), tmp_path / "a.zip", lock)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(b"x" * 400_000)
    fetch(Remote(server.add("a.zip", CONTENT), SHA256), tmp_path / "a.zip", lock)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    fetch(Remote(server.add("a.zip", CONTENT), SHA256), tmp_path / "a.zip", lock)
    assert len(server.asked) == 3


def test_a_wrong_checksum_is_refused_and_the_file_deleted(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    remote = Remote(server.add("a.zip", CONTENT[1:]), SHA256)
    with pytest.raises(UserError, match=rf"a\.zip: the file received has the SHA-256 \w+; expected {SHA256}, as pub"):
        fetch(remote, tmp_path / "a.zip", lock)
    assert list(tmp_path.iterdir()) == []


def test_first_use_is_recorded_and_a_later_difference_refused(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    remote = Remote(server.add("a.zip", CONTENT))
    assert fetch(remote, tmp_path / "a.zip", lock) == SHA256
    assert not lock.path.exists()
    record_first(remote, SHA256, lock)
    assert json.loads(lock.path.read_text()) == {remote.url: SHA256}
    (tmp_path / "a.zip").unlink()
    server.add("a.zip", CONTENT[1:])
    with pytest.raises(
        UserError, match=r"expected \w+, as .*downloads\.lock\.json recorded on first use; .*remove its"
    ):
        fetch(remote, tmp_path / "a.zip", lock)
    assert not (tmp_path / "a.zip").exists()


def test_what_is_published_is_not_recorded(lock: Lock) -> None:
    record_first(Remote("a", SHA256), SHA256, lock)
    assert not lock.path.exists()


def test_what_is_recorded_is_never_replaced(lock: Lock) -> None:
    lock.record("b", "1")
    lock.record("a", "2")
    lock.record("b", "3")
    assert json.loads(lock.path.read_text()) == {"a": "2", "b": "1"}


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_broken_lock_is_refused(content: str, lock: Lock) -> None:
    lock.path.write_text(content)
    with pytest.raises(UserError, match=r"downloads\.lock\.json: .*restore it from git or delete it"):
        lock.recorded("a")


def test_a_missing_file_is_told_at_once(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"/gone\.zip: the server says 404 Not Found; check the address, .*source: local"
    ):
        fetch(Remote(f"{server.url}/gone.zip"), tmp_path / "gone.zip", lock)
    assert len(server.asked) == 1


def test_no_connection_names_the_address_and_the_way_out(
    lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0,))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip"
        with pytest.raises(UserError, match=rf"{url}: no connection \(.*refused.*source: local"):
            fetch(Remote(url), tmp_path / "a.zip", lock)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_in_one_line(server: FileServer, lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"^{tmp_path}: no space left on the disk; free some") as refused:
        fetch(Remote(server.add("a.zip", CONTENT), SHA256), tmp_path / "a.zip", lock)
    assert isinstance(refused.value.__cause__, OSError)
    assert not (tmp_path / "a.zip").exists()


@contextmanager
def unprivileged() -> Iterator[None]:
    """As another user, where the tests run as root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("below", [".", "new/one"])
def test_a_folder_that_cannot_be_written_to_is_told(below: str, server: FileServer, lock: Lock) -> None:
    remote = Remote(server.add("a.zip", CONTENT), SHA256)
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies in folders that another user may not enter
        folder = Path(name)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(UserError, match=rf"{name}.*cannot be written to .Permission denied"):
            fetch(remote, folder / below / "a.zip", lock)
        assert list(folder.iterdir()) == []
