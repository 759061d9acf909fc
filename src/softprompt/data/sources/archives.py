"""Files out of zip and tar archives that strangers made. An archive that could do harm is refused as a whole."""

import gzip
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from softprompt.errors import UserError

MAX_BYTES = 4 << 30  # unpacked
MAX_RATIO = 200  # unpacked to packed; text reaches about 10
FREE_BYTES = 1 << 20  # below which the ratio says nothing
MAX_MEMBERS = 100_000
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
)
DRIVE = re.compile("[A-Za-z]:")
INSTEAD = "fetch it again from where it is published, or unpack it yourself and set `source: local`"


@dataclass(frozen=True)
class Member:
    """An entry of an archive. `plain` is false for links and devices."""

    name: str
    size: int
    plain: bool
    directory: bool
    open: Callable[[], IO[bytes]]


def extract(archive: Path, folder: Path, place: Callable[[str], str | None]) -> list[str]:
    """Unpack the members that `place` wants to the path below `folder` that it gives for their name; returns these
    paths. Nothing is written outside `folder`, and the caller throws it away after an error.

    Raises UserError for a damaged archive, for names that lead out of the archive, for links and devices, for two
    members in one place, and for an archive that unpacks to far more than it weighs.
    """
    placed: list[str] = []
    with _members(archive) as members:
        for member in members:
            target = None if member.directory else place(str(PurePosixPath(member.name)))
            if target is None:
                continue
            if target in placed:
                raise UserError(f"{archive}: two members belong at {target}, the second is {member.name!r}; {INSTEAD}")
            placed.append(target)
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, (folder / target).open("wb") as sink:
                shutil.copyfileobj(source, sink)
    return placed


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """The checked members. Damage found while they are read is reported by the name of the archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield _checked(archive, _zip_members(opened))
        else:
            with tarfile.open(archive) as opened_tar:
                yield _checked(archive, _tar_members(opened_tar))
    except DAMAGED as error:
        why = " ".join(str(error).split())
        raise UserError(f"{archive}: a damaged archive ({why}); delete it and run again to fetch it anew") from error


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        yield Member(info.filename, info.file_size, plain, info.is_dir(), partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    def opened(info: tarfile.TarInfo) -> IO[bytes]:
        stream = archive.extractfile(info)
        if stream is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return stream

    for info in archive:
        plain = info.isfile() or info.isdir()
        yield Member(info.name, info.size, plain, info.isdir(), partial(opened, info))


def _checked(archive: Path, members: Iterator[Member]) -> Iterator[Member]:
    """The members as they come, each after its checks. Sizes are those that readers of both formats never exceed."""
    limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    total = 0
    for count, member in enumerate(members, start=1):
        total += member.size
        problem = _problem(member)
        if total > limit or count > MAX_MEMBERS:
            problem = f"the archive unpacks to more than {limit} bytes or {MAX_MEMBERS} files"
        if problem:
            raise UserError(f"{archive}: member {member.name!r}: {problem}; nothing of it was kept; {INSTEAD}")
        yield member


def _problem(member: Member) -> str:
    """What is wrong with a member, in words; "" if nothing."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or DRIVE.match(member.name) or "\\" in member.name or "\x00" in member.name:
        return "an absolute path or one that other systems read differently"
    if ".." in path.parts or not (path.parts or member.directory):
        return "a path that leads out of the archive"
    return "" if member.plain else "a link or a device"
