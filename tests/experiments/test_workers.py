"""Workers side by side: what one of them meets is told once, and nothing further is begun."""

import os
import signal
import time
from pathlib import Path

import pytest

from softprompt.errors import UserError
from softprompt.experiments.workers import map_unordered


def killed(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out
    return item


def test_a_killed_worker_is_an_error_that_a_user_can_read() -> None:
    with pytest.raises(UserError, match=r"one of the workers was killed.*lower device\.fleet_members"):
        list(map_unordered(killed, range(4), 2))


def test_after_an_error_no_further_item_is_begun(tmp_path: Path) -> None:
    def work(item: int) -> None:
        (tmp_path / str(item)).touch()
        if item == 0:
            raise UserError("the disk is full")
        time.sleep(0.1)

    with pytest.raises(UserError, match="the disk is full"):
        list(map_unordered(work, range(50), 2))
    assert len(list(tmp_path.iterdir())) < 10


def test_every_item_comes_with_its_outcome() -> None:
    assert dict(map_unordered(str, range(5), 2)) == {item: str(item) for item in range(5)}
