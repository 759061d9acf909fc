"""SIGKILL between any two writes and at random moments, SIGINT and SIGTERM: a stage goes on to the same bytes."""

import random
import shutil
import signal
from pathlib import Path

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
    bytes_of,
    differing,
    goes_on,
    new_copy,
    set_params,
    torture_params,
)

pytestmark = pytest.mark.xdist_group("torture")

FEW_KILLS = {STAGES[0]: 1, BACKBONE: 1, TRAIN: 3, EVALUATE: 1}
SEEDS = range(20)


def killed_between_writes(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, kills: int | None, folder: Path
) -> None:
    """Killed before so many of the stage's writes, or before each of them."""
    writes = range(1, undisturbed.ended[str(stage)].writes + 1)
    for number in writes if kills is None else random.Random(str(stage)).sample(writes, kills):
        copy = before(stage, undisturbed.folder, folder / str(number))
        ended = zygote.run(copy, stage, kill_at_write=number)
        assert ended.status == -signal.SIGKILL or ended.writes < number  # here some folders are there already
        goes_on(zygote, copy, stage, undisturbed)
        shutil.rmtree(copy)


@pytest.mark.parametrize("stage", FEW_KILLS, ids=str)
def test_killed_between_two_writes_it_goes_on_to_the_same_bytes(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, tmp_path: Path
) -> None:
    killed_between_writes(zygote, undisturbed, stage, FEW_KILLS[stage], tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_killed_between_any_two_writes_it_goes_on_to_the_same_bytes(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, tmp_path: Path
) -> None:
    killed_between_writes(zygote, undisturbed, stage, None, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_a_random_moment_of_every_stage(
    zygote: Zygote, undisturbed: Undisturbed, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    copy = new_copy(tmp_path / "copy")
    for stage in STAGES:
        set_params(copy, torture_params(workers=rng.choice((1, 2))))
        moment = rng.uniform(0, undisturbed.ended[str(stage)].seconds)
        ended = zygote.run(copy, stage, signal=int(signal.SIGKILL), after=moment)
        assert ended.status in (0, -signal.SIGKILL)
        assert not ended.left
        goes_on(zygote, copy, stage, undisturbed)
    assert differing(bytes_of(copy), bytes_of(undisturbed.folder)) == []


def stopped(
    zygote: Zygote, undisturbed: Undisturbed, stage: Stage, number: signal.Signals, moment: float, folder: Path
) -> Ended:
    """Ended by a signal in one line and with its workers, and gone on; or finished before the signal came."""
    copy = before(stage, undisturbed.folder, folder)
    set_params(copy, torture_params(workers=2))
    ended = zygote.run(copy, stage, signal=int(number), after=moment)
    if ended.status:
        assert ended.status == 128 + number, ended.output
        assert ended.in_one_line, ended.output
        assert number.name in ended.output
    assert not ended.left
    goes_on(zygote, copy, stage, undisturbed)
    return ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_stage_in_one_line_and_with_its_workers(
    zygote: Zygote, undisturbed: Undisturbed, number: signal.Signals, tmp_path: Path
) -> None:
    half = undisturbed.ended[str(TRAIN)].seconds / 2
    assert stopped(zygote, undisturbed, TRAIN, number, half, tmp_path / "copy").status


@pytest.mark.torture
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_a_random_moment_ends_every_stage_in_one_line(
    zygote: Zygote, undisturbed: Undisturbed, number: signal.Signals, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{number} {seed}")
    stage = STAGES[seed % len(STAGES)]
    moment = rng.uniform(0.1, undisturbed.ended[str(stage)].seconds)
    stopped(zygote, undisturbed, stage, number, moment, tmp_path / "copy")
