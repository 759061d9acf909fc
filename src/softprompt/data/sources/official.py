"""The official archives that `official.yaml` lists: downloaded once, checked, unpacked into the layout of data/raw."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from softprompt.config import Frozen
from softprompt.data.sources.archives import extract
from softprompt.data.sources.download import Remote, fetch, record_first
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.storage import storage_errors
from softprompt.errors import UserError

TABLE = Path(__file__).with_name("official.yaml")


class Archive(Frozen):
    """An archive and what of it is wanted."""

    url: str
    sha256: str | None
    about: str = ""  # the task's folder or relation that it belongs to; "" belongs to all
    place: dict[str, str]  # pattern over a member's whole name -> path below the raw folder


class FileGroup(Frozen):
    """Single files at one address. The folder or the stem of a file's path says which task it belongs to."""

    base: str
    into: str
    files: dict[str, str | None]  # path below `base` -> SHA-256


class Section(Frozen):
    """All that is published in one place for a suite, or for a part of one."""

    archives: tuple[Archive, ...] = ()
    files: tuple[FileGroup, ...] = ()


def read_table() -> dict[str, Section]:
    """Every section of the table by its name."""
    content = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Section.model_validate(section) for name, section in content.items()}


def fill_from_official(
    section: str, about: set[str] | None, downloads: Path, lock: Lock, folder: Path
) -> dict[str, str]:
    """Write the files of a section that are about the given task folders or relations (None: all) below `folder`.

    Downloads are kept in <downloads>/files/<section>, so that a second call needs no network. Returns the SHA-256 of
    each address. Raises UserError as `fetch` and `extract` do, and where an archive holds nothing of what is expected.
    """
    content, kept, origins = read_table()[section], downloads / "files" / section, {}
    for archive in content.archives:
        if about is None or not archive.about or archive.about in about:
            origins[archive.url] = _unpack(archive, kept, lock, folder)
    for group in content.files:
        for path, sha256 in group.files.items():
            if about is None or {Path(path).stem, Path(path).parent.name, Path(group.into).name} & about:
                origins[group.base + path] = _copy(group, path, sha256, kept, lock, folder)
    return origins


def _unpack(archive: Archive, kept: Path, lock: Lock, folder: Path) -> str:
    target = kept / Path(urlsplit(archive.url).path).name
    remote = Remote(archive.url, archive.sha256)
    found = fetch(remote, target, lock)
    with storage_errors(folder):
        placed = extract(target, folder, lambda name: _place(archive.place, name))
    if not placed:
        raise UserError(
            f"{archive.url}: the archive holds no file that matches {', '.join(archive.place)}; "
            f"its layout has changed; delete {target} and run again to fetch it anew, or unpack it yourself and set "
            "`source: local` with its `path`"
        )
    record_first(remote, found, lock)
    return found


def _place(patterns: dict[str, str], name: str) -> str | None:
    matches = ((re.fullmatch(pattern, name), path) for pattern, path in patterns.items())
    return next((match.expand(path) for match, path in matches if match), None)


def _copy(group: FileGroup, path: str, sha256: str | None, kept: Path, lock: Lock, folder: Path) -> str:
    source, target = kept / group.into / path, folder / group.into / path
    remote = Remote(group.base + path, sha256)
    found = fetch(remote, source, lock)
    with storage_errors(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    record_first(remote, found, lock)
    return found
