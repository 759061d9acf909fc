"""Official files as they are published: downloaded once, checked, unpacked into the layout of data/raw.

Where those of a task are, its definition says; LAMA's relations have no definitions, so `lama_files.yaml` does.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from softprompt.config import Frozen
from softprompt.data.sources.archives import extract
from softprompt.data.sources.download import Remote, fetch, record_first
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.split_by_id import split_by_id
from softprompt.data.sources.storage import storage_errors
from softprompt.data.suite_layouts import layout_of
from softprompt.errors import UserError
from softprompt.tasks.data_section import Archive, DataSection, FileGroup

LAMA_FILES = Path(__file__).with_name("lama_files.yaml")


class LamaArchive(Archive):
    """An archive of files about many relations."""

    place: dict[str, str]  # pattern over a member's whole name -> path below the raw folder


class LamaFileGroup(FileGroup):
    """Single files; the stem of a name is the relation that it is about."""

    into: str


class LamaFiles(Frozen):
    """What is published in one place."""

    archives: tuple[LamaArchive, ...] = ()
    files: tuple[LamaFileGroup, ...] = ()


def read_lama_files() -> dict[str, LamaFiles]:
    """Every section of LAMA's table by its name."""
    content = yaml.safe_load(LAMA_FILES.read_text(encoding="utf-8"))
    return {name: LamaFiles.model_validate(section) for name, section in content.items()}


def fill_lama(section: str, relations: set[str] | None, downloads: Path, lock: Lock, folder: Path) -> dict[str, str]:
    """Write the files of a section of LAMA's table below `folder`, single files of some relations only (None: all).

    Downloads stay in <downloads>/files/<section>, so that a second call needs no network. Returns the SHA-256 of each
    address. Raises UserError as `fetch` and `extract` do, and where an archive holds nothing of what is expected.
    """
    content, cache, origins = read_lama_files()[section], downloads / "files" / section, {}
    for archive in content.archives:
        place = _by_patterns(archive.place)
        origins[archive.url] = _unpack(archive, place, cache, lock, folder, expected=", ".join(archive.place))
    for group in content.files:
        names = [name for name in group.files if relations is None or Path(name).stem in relations]
        origins |= _copy(group, names, group.into, cache, lock, folder)
    return origins


def fill_tasks(tasks: Iterable[DataSection], downloads: Path, lock: Lock, folder: Path) -> dict[str, str]:
    """Write the official files of the tasks below `folder`. Otherwise as `fill_lama`."""
    origins = {}
    for data in tasks:
        own, into, cache = data.membership, f"{data.suite}/{data.folder}", downloads / "files" / data.suite
        if own.archive is not None:
            pattern = layout_of(data.suite).members
            place = _into_folder(pattern, into)
            origins[own.archive.url] = _unpack(own.archive, place, cache, lock, folder, expected=pattern)
        for group in own.files:
            origins |= _copy(group, list(group.files), f"{into}/", cache, lock, folder)
        if own.split_by_id is not None:
            split_by_id(folder / into, own.split_by_id)
    return origins


def _by_patterns(patterns: dict[str, str]) -> Callable[[str], str | None]:
    def place(name: str) -> str | None:
        matches = ((re.fullmatch(pattern, name), path) for pattern, path in patterns.items())
        return next((match.expand(path) for match, path in matches if match), None)

    return place


def _into_folder(pattern: str, folder: str) -> Callable[[str], str | None]:
    def place(name: str) -> str | None:
        return f"{folder}/{Path(name).name}" if re.fullmatch(pattern, name) else None

    return place


def _unpack(
    archive: Archive, place: Callable[[str], str | None], cache: Path, lock: Lock, folder: Path, *, expected: str
) -> str:
    target = cache / Path(urlsplit(archive.url).path).name
    remote = Remote(archive.url, archive.sha256)
    sha256 = fetch(remote, target, lock)
    with storage_errors(folder):
        placed = extract(target, folder, place)
    if not placed:
        raise UserError(
            f"{archive.url}: the archive holds no file that matches {expected}; "
            f"its layout has changed; delete {target} and run again to fetch it anew, or unpack it yourself and set "
            "`source: local` with its `path`"
        )
    record_first(remote, sha256, lock)
    return sha256


def _copy(group: FileGroup, names: list[str], into: str, cache: Path, lock: Lock, folder: Path) -> dict[str, str]:
    origins = {}
    for name in names:
        source, target = cache / into / name, folder / into / name
        remote = Remote(group.base + name, group.files[name])
        origins[remote.url] = fetch(remote, source, lock)
        with storage_errors(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        record_first(remote, origins[remote.url], lock)
    return origins
