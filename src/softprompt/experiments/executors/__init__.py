"""Who trains the fleets of a stage: this process and forks of it, a process a GPU, or the workers of a Ray cluster.

Whoever trains them, and wherever, the same bytes come back. What is finished is put on disk by the process that asked,
and by no other.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a worker sees to its surroundings before it imports anything large
    from softprompt.experiments.fleet_training import TrainedFleet
    from softprompt.experiments.jobs import Job


class Executor(Protocol):
    """Takes fleets as often as it is asked, until it is closed."""

    def train(self, fleets: Sequence[Sequence["Job"]], *, keep: bool) -> Iterator["TrainedFleet"]:
        """Each fleet as it gets done, in any order. Raises UserError where one cannot be trained."""

    def close(self) -> None:
        """Let its workers go."""


class Trainer(Protocol):
    """What a worker works with."""

    def train(self, jobs: Sequence["Job"], *, keep: bool) -> "TrainedFleet":
        """One fleet."""


class Brief(Protocol):
    """What a worker is told, wherever it is."""

    def trainer(self) -> Trainer:
        """What it then works with, made from what its own machine has."""
