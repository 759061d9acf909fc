"""Files that are there whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside the target, then rename: a reader or a killed run never sees half a file.

    One process writes a file at a time. What a killed one left beside the target goes with the next write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names no file


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """A table with six decimals and the same bytes on every system."""
    write_atomically(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well, and vanishes when it does not."""
    with replaced_folders(out) as (folder,):
        yield folder


@contextmanager
def replaced_folders(*outs: Path) -> Iterator[list[Path]]:
    """A folder beside each of `outs`; they take their places when the block ends well, and vanish when it does not.

    All that was there goes before anything new comes: a killed call may leave a folder missing, which readers see, but
    never an old one beside a new one.
    """
    for out in outs:
        out.parent.mkdir(parents=True, exist_ok=True)
        for leftover in out.parent.glob(f".{out.name}.*.tmp"):
            shutil.rmtree(leftover)
    new, old = ([out.with_name(f".{out.name}.{os.getpid()}.{part}.tmp") for out in outs] for part in ("new", "old"))
    try:
        for folder in new:
            folder.mkdir()
        yield new
        for out, previous in zip(outs, old, strict=True):
            if out.exists():
                out.rename(previous)
        for folder, out in zip(new, outs, strict=True):
            folder.rename(out)
    finally:
        for leftover in (*new, *old):
            shutil.rmtree(leftover, ignore_errors=True)


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """Hex digest over the names and bytes of all files below a folder, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\x00{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()
