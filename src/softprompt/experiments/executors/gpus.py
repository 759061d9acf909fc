"""Fleets on all GPUs of a machine: a process each, which loads the backbone once and keeps it until the stage ends."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.queues import SimpleQueue

from softprompt.experiments.executors import Brief, Trainer
from softprompt.experiments.fleet_training import TrainedFleet
from softprompt.experiments.jobs import Job
from softprompt.experiments.workers import begin_worker, outcomes

VISIBLE = "CUDA_VISIBLE_DEVICES"

_brief: Brief | None = None  # of this process, where it is a worker
_trainer: Trainer | None = None  # of the same, once it was asked for a fleet


def seats(count: int, gpus_each: float) -> list[str]:
    """What each process is to see of the GPUs that this one sees, as CUDA_VISIBLE_DEVICES has it: so many, or a share
    of one."""
    listed = os.environ.get(VISIBLE)
    gpus = listed.split(",")[:count] if listed else [str(number) for number in range(count)]
    if gpus_each < 1:
        return [gpu for gpu in gpus for _ in range(int(1 / gpus_each))]
    size = int(gpus_each)
    return [",".join(gpus[start : start + size]) for start in range(0, count - size + 1, size)]


class GpuExecutor:
    """A spawned process on each of `seats`: what was set up for CUDA does not survive a fork."""

    def __init__(self, brief: Brief, seats: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        free: SimpleQueue[str] = context.SimpleQueue()
        for seat in seats:
            free.put(seat)
        self._pool = ProcessPoolExecutor(len(seats), context, _begin, (brief, free))

    def train(self, fleets: Sequence[Sequence[Job]], *, keep: bool) -> Iterator[TrainedFleet]:
        """Each process takes the next fleet when it is done with its own."""
        for _, trained in outcomes(self._pool, partial(_train, keep=keep), fleets):
            yield trained

    def close(self) -> None:
        """What was begun is waited for."""
        self._pool.shutdown(cancel_futures=True)


def _begin(brief: Brief, free: "SimpleQueue[str]") -> None:
    """Before CUDA has been asked for anything, so that this process sees no other GPU."""
    global _brief
    os.environ[VISIBLE], _brief = free.get(), brief
    begin_worker()


def _train(jobs: Sequence[Job], *, keep: bool) -> TrainedFleet:
    global _trainer
    assert _brief is not None
    _trainer = _trainer or _brief.trainer()
    return _trainer.train(jobs, keep=keep)
