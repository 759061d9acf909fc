"""`dvc repro` itself killed, stopped, left without its head, or called twice: the next one ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from working_copy import STAGES, TRAIN, Stage, Undisturbed, before, bytes_of, differing, fleets, published

from helpers.pipeline import environment

pytestmark = [pytest.mark.torture, pytest.mark.xdist_group("torture")]

DVC = [sys.executable, "-m", "dvc"]
SEEDS = range(20)
PATIENCE_SECONDS = 20


def working_copy(stage: Stage, undisturbed: Undisturbed, folder: Path) -> Path:
    """One for DVC, in which this stage and those after it are still to be run."""
    copy = before(stage, undisturbed.folder, folder / "copy")
    done = [one.address for one in STAGES[: STAGES.index(stage)]]
    for command in (["init", "--no-scm", "-q"], *([["commit", "-f", "-q", *done]] if done else [])):
        subprocess.run([*DVC, *command], cwd=copy, env=environment(), check=True)
    return copy


def started(copy: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*DVC, "repro"],
        cwd=copy,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ends_well(copy: Path, undisturbed: Undisturbed) -> None:
    """A last `dvc repro` leaves what an undisturbed run does and trains no finished fleet again."""
    trained = fleets(copy)
    for _ in range(PATIENCE_SECONDS):  # the lock of a killed run counts as busy until its process is reaped
        process = started(copy)
        out, err = process.communicate()
        if "Unable to acquire lock" not in err:
            break
        time.sleep(1)
    assert process.returncode == 0, out + err
    assert differing(bytes_of(copy), bytes_of(undisturbed.folder)) == []
    assert published(copy) == published(undisturbed.folder)
    assert {path: fleets(copy)[path] for path in trained} == trained


def stages_in(copy: Path) -> list[int]:
    """Processes that run a stage of this working copy."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            works_there = (process / "cwd").readlink() == copy
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended, or is another user's
            continue
        if works_there and b"stages/" in command and b"dvc" not in command:
            found.append(int(process.name))
    return found


def wait_until(happened: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_of_it_killed_at_a_random_moment(undisturbed: Undisturbed, seed: int, tmp_path: Path) -> None:
    copy, rng = working_copy(STAGES[0], undisturbed, tmp_path), random.Random(seed)
    for _ in range(3):
        with started(copy) as process:
            try:
                process.wait(rng.uniform(2, 40))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    ends_well(copy, undisturbed)


def test_a_stage_whose_dvc_was_killed_does_not_live_on(undisturbed: Undisturbed, tmp_path: Path) -> None:
    copy = working_copy(TRAIN, undisturbed, tmp_path)
    with started(copy) as process:
        wait_until(lambda: (copy / TRAIN.journal / "parts").exists(), 120)
        assert stages_in(copy)
        process.kill()
    wait_until(lambda: not stages_in(copy), 3)
    ends_well(copy, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_stops_dvc_and_its_stage_in_one_line(
    undisturbed: Undisturbed, number: signal.Signals, tmp_path: Path
) -> None:
    copy = working_copy(TRAIN, undisturbed, tmp_path)
    process = started(copy)
    wait_until(lambda: (copy / TRAIN.journal / "parts").exists(), 120)
    os.killpg(process.pid, number)
    _, err = process.communicate()
    assert process.returncode
    assert "Traceback" not in err
    assert err.count(f"stopped by {number.name}") == 1
    wait_until(lambda: not stages_in(copy), 3)
    ends_well(copy, undisturbed)


def test_of_two_at_once_one_works_and_the_other_says_why_not(undisturbed: Undisturbed, tmp_path: Path) -> None:
    copy = working_copy(TRAIN, undisturbed, tmp_path)
    both = [started(copy), started(copy)]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0 or "lock" in err
        assert "Traceback" not in err
    ends_well(copy, undisturbed)


def test_a_stage_by_hand_beside_dvc_says_who_is_at_work(undisturbed: Undisturbed, tmp_path: Path) -> None:
    copy = working_copy(TRAIN, undisturbed, tmp_path)
    with started(copy) as process:
        wait_until(lambda: (copy / ".locks" / "train@p_tuning-tiny_bert.lock").exists(), 120)
        (holder,) = stages_in(copy)
        os.kill(holder, signal.SIGSTOP)  # so that it is at work for as long as the other asks
        by_hand = subprocess.run(
            [sys.executable, *TRAIN.command], cwd=copy, env=environment(), capture_output=True, text=True, check=False
        )
        os.kill(holder, signal.SIGCONT)
        process.communicate()
    assert by_hand.returncode == 1
    assert by_hand.stderr.startswith(f"error: train@p_tuning-tiny_bert is at work already: process {holder}, since ")
    ends_well(copy, undisturbed)
