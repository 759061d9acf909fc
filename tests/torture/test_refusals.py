"""A full disk, folders that cannot be written, too little memory, a clock that jumps: one line, then the same bytes."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from working_copy import (
    BACKBONE,
    EVALUATE,
    STAGES,
    TRAIN,
    Ended,
    Stage,
    Undisturbed,
    Zygote,
    before,
    goes_on,
    set_params,
    torture_params,
)

pytestmark = pytest.mark.xdist_group("torture")

MIB = 2**20
DISK_BYTES = 96 * MIB
FREE_BYTES = (0, 4096, 65536, MIB)
FILE_BYTES = (1024, 4096, 65536)  # enough for a line of error
MEMORY_BYTES = (0, 16 * MIB, 64 * MIB, 128 * MIB)
LIMITS = [
    *(("RLIMIT_FSIZE", size) for size in FILE_BYTES),
    *(("RLIMIT_AS", size) for size in MEMORY_BYTES),
    ("RLIMIT_NOFILE", 12),
]


def refused(zygote: Zygote, stage: Stage, copy: Path, *, always: bool = True, **fault: Any) -> Ended:
    """Ended in one line, unless what it was given was enough after all."""
    ended = zygote.run(copy, stage, **fault)
    assert ended.status == 1 or (ended.status == 0 and not always), ended.output
    assert ended.in_one_line or ended.status == 0, ended.output
    assert not ended.left
    return ended


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_on_files_ends_training_in_one_line(
    zygote: Zygote, undisturbed: Undisturbed, workers: int, tmp_path: Path
) -> None:
    copy = before(TRAIN, undisturbed.folder, tmp_path / "copy")
    set_params(copy, torture_params(workers=workers))
    ended = refused(zygote, TRAIN, copy, limits={"RLIMIT_FSIZE": 4096})
    assert "File too large: 'results/train/" in ended.output
    goes_on(zygote, copy, TRAIN, undisturbed)


def test_too_little_memory_ends_training_in_one_line(zygote: Zygote, undisturbed: Undisturbed, tmp_path: Path) -> None:
    copy = before(TRAIN, undisturbed.folder, tmp_path / "copy")
    ended = refused(zygote, TRAIN, copy, limits={"RLIMIT_AS": MIB})
    assert "memory" in ended.output
    goes_on(zygote, copy, TRAIN, undisturbed)


def test_a_clock_that_jumps_changes_nothing(zygote: Zygote, undisturbed: Undisturbed, tmp_path: Path) -> None:
    copy = before(TRAIN, undisturbed.folder, tmp_path / "copy")
    zygote.run(copy, TRAIN, clock_jumps=True, kill_at_write=undisturbed.ended[str(TRAIN)].writes // 2)
    for number, path in enumerate(sorted((copy / "results").rglob("fleets/*.json"))):
        os.utime(path, (number * 1e8, number * 1e8))  # from 1970 to beyond today
    goes_on(zygote, copy, TRAIN, undisturbed, clock_jumps=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """A file that leaves so many bytes of the folder's file system, or fewer where others write too."""
    filler = folder / "filler"
    with suppress(OSError):
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - free))
    return filler


@pytest.mark.parametrize("stage", [TRAIN, EVALUATE], ids=str)
def test_a_full_disk_ends_a_stage_in_one_line(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, disk: Path
) -> None:
    copy = before(stage, undisturbed.folder, disk / "copy")
    filler = fill(disk, free=8192)
    assert "No space left on device: '" in refused(zygote, stage, copy).output
    filler.unlink()
    goes_on(zygote, copy, stage, undisturbed)


@pytest.mark.torture
@pytest.mark.parametrize("free", FREE_BYTES)
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_every_stage_meets_a_full_disk(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, free: int, disk: Path
) -> None:
    copy = before(stage, undisturbed.folder, disk / "copy")
    filler = fill(disk, free)
    refused(zygote, stage, copy, always=free == 0)
    filler.unlink()
    goes_on(zygote, copy, stage, undisturbed)


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_a_disk_that_fills_up_under_way(zygote: Zygote, undisturbed: Undisturbed, stage: Stage, disk: Path) -> None:
    copy = before(stage, undisturbed.folder, disk / "copy")
    filling = threading.Timer(undisturbed.ended[str(stage)].seconds / 2, fill, (disk, 0))
    filling.start()
    refused(zygote, stage, copy, always=False)
    filling.join()
    (disk / "filler").unlink()
    goes_on(zygote, copy, stage, undisturbed)


@pytest.mark.parametrize("stage", [BACKBONE, TRAIN], ids=str)
def test_a_read_only_disk_ends_a_stage_in_one_line(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, disk: Path
) -> None:
    read_only(zygote, undisturbed, stage, disk)


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_every_stage_meets_a_read_only_disk(zygote: Zygote, undisturbed: Undisturbed, stage: Stage, disk: Path) -> None:
    read_only(zygote, undisturbed, stage, disk)


def read_only(zygote: Zygote, undisturbed: Undisturbed, stage: Stage, disk: Path) -> None:
    copy = before(stage, undisturbed.folder, disk / "copy")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        assert "Read-only file system" in refused(zygote, stage, copy).output
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    goes_on(zygote, copy, stage, undisturbed)


def test_a_file_where_a_folder_should_be_ends_training_in_one_line(
    zygote: Zygote, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    copy = before(TRAIN, undisturbed.folder, tmp_path / "copy")
    (copy / TRAIN.journal).write_text("in the way")
    assert TRAIN.journal in refused(zygote, TRAIN, copy).output
    (copy / TRAIN.journal).unlink()
    goes_on(zygote, copy, TRAIN, undisturbed)


@pytest.mark.torture
@pytest.mark.parametrize(("limit", "size"), LIMITS)
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_every_stage_meets_every_limit(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, limit: str, size: int, tmp_path: Path
) -> None:
    copy = before(stage, undisturbed.folder, tmp_path / "copy")
    refused(zygote, stage, copy, always=False, limits={limit: size})
    goes_on(zygote, copy, stage, undisturbed)
