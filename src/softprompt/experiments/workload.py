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

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.params.seeds if self.factory.method.seeded else self.params.seeds[:1]
