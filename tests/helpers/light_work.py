"""Fleets that cost nothing, for workers in processes of their own: a test is about what they meet on the way."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.errors import UserError
from softprompt.experiments.jobs import Job

PATIENCE_SECONDS = 30.0


def job(key: str) -> Job:
    """What becomes of its fleet is its key, behind a number: `0 killed`, `1 refused`, or `3 done 4`, once 4 fleets were
    begun; one of them is its own."""
    return Job(key, "", "lama/P19", seed=0, settings={}, tokens=1, reading="label words")


@dataclass(frozen=True)
class LightBrief:
    """Every fleet that is begun leaves a file."""

    folder: Path

    def trainer(self) -> "LightTrainer":
        return LightTrainer(self.folder)


@dataclass(frozen=True)
class LightTrainer:
    folder: Path

    def train(self, jobs: Sequence[Job], *, keep: bool) -> Any:
        """(key, keep, process, the GPUs that it sees)."""
        number, fate, *beside = jobs[0].key.split()
        (self.folder / f"{number}.{os.getpid()}").touch()
        if fate == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "refused":
            raise UserError("the disk is full")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(begun(self.folder)) < int(*beside) and time.monotonic() < deadline:
            time.sleep(0.01)
        return jobs[0].key, keep, os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def begun(folder: Path) -> list[tuple[int, int]]:
    """Which fleet was begun by which process."""
    return [(int(number), int(process)) for number, process in (path.name.split(".") for path in folder.iterdir())]
