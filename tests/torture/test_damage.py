"""Truncated, flipped, swapped and deleted files: made anew to the same bytes, or refused in one line."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from working_copy import (
    AGGREGATE,
    BACKBONE,
    EVALUATE,
    PUBLISH,
    STAGES,
    TRAIN,
    UNTRAINED,
    Stage,
    Undisturbed,
    Zygote,
    before,
    bytes_of,
    differing,
    outs_of,
    published,
)

pytestmark = pytest.mark.xdist_group("torture")

Damage = Callable[[Path, random.Random], None]


def truncated(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def swapped(path: Path, rng: random.Random) -> None:
    """With another of its kind, where there is one."""
    others = sorted(one for one in path.parent.iterdir() if one.suffix == path.suffix and one != path)
    if others:
        other = rng.choice(others)
        mine, its = path.read_bytes(), other.read_bytes()
        path.write_bytes(its)
        other.write_bytes(mine)


def deleted(path: Path, rng: random.Random) -> None:  # noqa: ARG001 - damages share a signature
    path.unlink()


DAMAGES = (truncated, flipped, swapped, deleted)


def one_of_each_kind(folder: Path, stage: Stage, rng: random.Random) -> list[Path]:
    """A file of every folder and ending below the stage's outs and its journal."""
    kinds: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(
        path for out in {*stage.outs, stage.journal} for path in (folder / out).rglob("*") if path.is_file()
    ):
        kinds.setdefault((str(path.parent.relative_to(folder)), path.suffix), []).append(path)
    return [rng.choice(paths) for paths in kinds.values() if not any(part.startswith(".") for part in paths[0].parts)]


def made_anew(zygote: Zygote, undisturbed: Undisturbed, stage: Stage, damage: Damage, seed: int, folder: Path) -> None:
    """What a stage wrote was damaged. DVC sees that and runs it again, and what depends on it where its outs differ."""
    rng = random.Random(f"{stage} {damage.__name__} {seed}")
    for number, place in enumerate(one_of_each_kind(undisturbed.folder, stage, rng)):
        copy = folder / str(number)
        shutil.copytree(undisturbed.folder, copy, symlinks=True)
        path = copy / place.relative_to(undisturbed.folder)
        damage(path, rng)
        zygote.finish(copy, [stage])
        assert differing(bytes_of(copy), bytes_of(undisturbed.folder)) == [], f"{damage.__name__} {path}"
        shutil.rmtree(copy)


def refused_or_right(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, reader: Stage, damage: Damage, seed: int, folder: Path
) -> None:
    """What a stage wrote was damaged, and another reads it: a line of error, or the bytes of an undisturbed run."""
    rng = random.Random(f"{stage} {reader} {damage.__name__} {seed}")
    for number, place in enumerate(one_of_each_kind(undisturbed.folder, stage, rng)):
        copy = before(reader, undisturbed.folder, folder / str(number))
        path = copy / place.relative_to(undisturbed.folder)
        damage(path, rng)
        ended = zygote.run(copy, reader)
        assert ended.status in (0, 1), ended.output
        what = f"{damage.__name__} {path}\n{ended.output}"
        if ended.status:
            assert ended.in_one_line, what
        else:
            assert differing(outs_of(copy, reader), outs_of(undisturbed.folder, reader)) == [], what
            assert reader is not PUBLISH or published(copy) == published(undisturbed.folder), what
        shutil.rmtree(copy)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_train_wrote_and_lost_is_made_anew(
    zygote: Zygote, undisturbed: Undisturbed, damage: Damage, tmp_path: Path
) -> None:
    made_anew(zygote, undisturbed, TRAIN, damage, 0, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", STAGES[:-1], ids=str)
def test_what_a_stage_wrote_and_lost_is_made_anew(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, damage: Damage, seed: int, tmp_path: Path
) -> None:
    made_anew(zygote, undisturbed, stage, damage, seed, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("stage", "reader"),
    [
        (STAGES[0], BACKBONE), (STAGES[0], TRAIN), (STAGES[1], EVALUATE), (BACKBONE, TRAIN), (BACKBONE, UNTRAINED),
        (TRAIN, EVALUATE), (TRAIN, AGGREGATE), (EVALUATE, AGGREGATE), (AGGREGATE, PUBLISH),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_line_or_harmless(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, reader: Stage, damage: Damage, seed: int, tmp_path: Path
) -> None:
    refused_or_right(zygote, undisturbed, stage, reader, damage, seed, tmp_path)
