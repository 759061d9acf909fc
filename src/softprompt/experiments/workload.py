"""What a train stage has before it: the tasks it meets, where finished work is, who makes its cells."""

from dataclasses import dataclass, field

from softprompt.config import Params
from softprompt.experiments.cell_factory import CellFactory
from softprompt.experiments.store import FleetStore
from softprompt.inputs.task_data import TaskData
from softprompt.results import Cell


@dataclass
class Workload:
    """What a (method, backbone) has to do: the tasks it meets, and cells of those that it cannot meet."""

    factory: CellFactory
    params: Params
    store: FleetStore
    data: dict[str, TaskData] = field(default_factory=dict)  # suite/task -> its training side
    refused: list[Cell] = field(default_factory=list)

    def units(self) -> dict[str, list[TaskData]]:
        """The tasks that share one setting and the study that looks for it, by the unit's name."""
        grouped: dict[str, list[TaskData]] = {}
        for data in self.data.values():
            grouped.setdefault(self.factory.method.unit_of(data.task), []).append(data)
        return grouped

    def study_name(self, unit: str, seed: int) -> str:
        """Of the study of a unit on one seed."""
        return f"{unit}/{self.factory.name}/{self.factory.backbone.name}/{seed}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the replicates; one where nothing is drawn."""
        return self.params.seeds if self.factory.method.seeded else self.params.seeds[:1]

    @property
    def study_seeds(self) -> dict[int, tuple[int, ...]]:
        """The seed of each study of a unit -> the seeds that its best trial is reported on: its own, or, of the one
        study that all replicates share, theirs."""
        shared = self.params.tuning.seed
        return {seed: (seed,) for seed in self.seeds} if shared is None else {shared: self.seeds}
