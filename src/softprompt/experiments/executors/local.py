"""Fleets in this process, or side by side in forks of it."""

from collections.abc import Iterator, Sequence
from functools import partial

from softprompt.experiments.executors import Trainer
from softprompt.experiments.fleet_training import TrainedFleet
from softprompt.experiments.jobs import Job
from softprompt.experiments.workers import map_unordered


class LocalExecutor:
    """So many processes; with one of them, this one."""

    def __init__(self, trainer: Trainer, processes: int) -> None:
        self.trainer = trainer
        self.processes = processes

    def train(self, fleets: Sequence[Sequence[Job]], *, keep: bool) -> Iterator[TrainedFleet]:
        """Workers are forked here, so that they find what this process has loaded by now."""
        for _, trained in map_unordered(partial(self.trainer.train, keep=keep), fleets, self.processes):
            yield trained

    def close(self) -> None:
        """Nothing is left to close: forks end with the fleets they were made for."""
