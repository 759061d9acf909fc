"""Archives: what is wanted comes out, and nothing of what could do harm."""

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt.data.sources import archives
from softprompt.data.sources.archives import extract
from softprompt.errors import UserError
from softprompt.files import replaced_folder


def zipped(path: Path, members: dict[str, bytes], kind: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def tarred(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


def flat(name: str) -> str | None:
    """Text files, without their folders."""
    return Path(name).name if name.endswith(".txt") else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "side").mkdir(parents=True)
    return tmp_path / "in" / "side"


Pack = Callable[[Path, dict[str, bytes]], Path]
PACKERS = pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar.gz"])


@PACKERS
def test_only_what_is_wanted_comes_out(pack: Pack, tmp_path: Path, folder: Path) -> None:
    members = {"./data/a.txt": b"A", "data/deep/b.txt": b"B" * 5000, "data/c.bin": b"C", "__MACOSX/._d": b""}
    assert extract(pack(tmp_path / "x", members), folder, flat) == ["a.txt", "b.txt"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.txt": b"A", "b.txt": b"B" * 5000}


@PACKERS
@pytest.mark.parametrize(
    "name", ["../a.txt", "data/../../a.txt", "/etc/a.txt", "C:/a.txt", "data\\..\\a.txt", "..", "../wanted/by/nobody"]
)
def test_a_name_that_leads_elsewhere_is_refused(pack: Pack, name: str, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / "x", {name: b"A"})
    with pytest.raises(UserError, match=r"x: member .*(out of the archive|absolute path).*nothing of it was kept"):
        extract(archive, folder, lambda name: name)
    assert list(folder.iterdir()) == []
    assert [path.name for path in folder.parent.iterdir()] == ["side"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_a_tar_are_refused(kind: bytes, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"member 'a\.txt': a link or a device"):
        extract(tarred(tmp_path / "x", {"a.txt": b""}, kind), folder, flat)
    assert list(folder.iterdir()) == []


def test_a_link_of_a_zip_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"member 'a\.txt': a link or a device"):
        extract(zipped(tmp_path / "x", {"a.txt": b"/etc/passwd"}, stat.S_IFLNK), folder, flat)
    assert list(folder.iterdir()) == []


@PACKERS
@pytest.mark.parametrize("name", ["a.txt", "nobody wants it"])
def test_a_bomb_is_refused_before_it_goes_off(pack: Pack, name: str, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / "x", {name: bytes(20 << 20)})  # 20 MiB of nothing, about 1:1000
    with pytest.raises(UserError, match="the archive unpacks to more than"):
        extract(archive, folder, flat)
    assert list(folder.iterdir()) == []


def test_many_small_members_make_a_bomb_too(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    with pytest.raises(UserError, match="or 10 files"):
        extract(zipped(tmp_path / "x", {f"{n}.txt": b"" for n in range(11)}), folder, flat)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "x", {"a.txt": bytes(5 << 20)})
    size = (5 << 20).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="a damaged archive"):
        extract(archive, folder, flat)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10


@PACKERS
def test_two_members_in_one_place_are_refused(pack: Pack, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"two members belong at a\.txt, the second is 'b/a\.txt'"):
        extract(pack(tmp_path / "x", {"a/a.txt": b"1", "b/a.txt": b"2"}), folder, flat)


@PACKERS
@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_a_damaged_archive_is_refused(pack: Pack, cut: int, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / "x", {"a.txt": os.urandom(5000)})
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"x: a damaged archive .*delete it and run again"):
        extract(archive, folder, flat)


KILLED = """
import os, signal, sys
from pathlib import Path
from softprompt.data.sources import archives
from softprompt.files import replaced_folder
with replaced_folder(Path(sys.argv[2])) as folder:
    archives.extract(
        Path(sys.argv[1]), folder, lambda name: name if name != "b.txt" else os.kill(os.getpid(), signal.SIGKILL)
    )
"""


def test_an_interrupted_extraction_leaves_nothing_to_be_taken_for_good(tmp_path: Path) -> None:
    archive, out = zipped(tmp_path / "x", {"a.txt": b"A", "b.txt": b"B"}), tmp_path / "out" / "raw"
    source = str(Path(archives.__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.run([sys.executable, "-c", KILLED, archive, out], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name.startswith(".raw.") for path in out.parent.iterdir()] == [True]
    with replaced_folder(out) as folder:
        extract(archive, folder, flat)
    assert [path.name for path in out.parent.iterdir()] == ["raw"]
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "b.txt"]
