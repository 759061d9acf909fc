"""What another process has to know to train fleets just as this one would, from what its own machine has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softprompt.config import Params
from softprompt.errors import UserError, listed
from softprompt.paths import Paths

if TYPE_CHECKING:  # a worker sees to its surroundings before it imports anything large
    from softprompt.backbones.backbone import Backbone
    from softprompt.experiments.fleet_training import FleetTrainer
    from softprompt.inputs.task_data import TaskData
    from softprompt.methods.base import Method
    from softprompt.tasks.task import Task


@dataclass(frozen=True)
class Assignment:
    """A method on a backbone. `depends_on` says by task what the process that asks would train with."""

    params: Params
    method: str
    backbone: str
    paths: Paths
    depends_on: Mapping[str, Mapping[str, Any]]

    def trainer(self) -> "FleetTrainer":
        """With a backbone of its own, in which every task is read when the first of its jobs comes."""
        from softprompt.backbones.loading import load_configured
        from softprompt.experiments.fleet_training import FleetTrainer
        from softprompt.methods import build_method
        from softprompt.methods.base import TrainedMethod

        method = build_method(self.method, self.params.methods[self.method])
        assert isinstance(method, TrainedMethod)
        backbone = method.prepared_backbone(load_configured(self.params, self.backbone, self.paths, threads=1))
        return FleetTrainer(method, _Tasks(self, method, backbone), self.params.chosen_budget, self.params.device)


class _Tasks(dict[str, "TaskData"]):
    """suite/task -> its training side."""

    def __init__(self, assignment: Assignment, method: "Method", backbone: "Backbone") -> None:
        self.assignment = assignment
        self.method = method
        self.backbone = backbone

    def __missing__(self, key: str) -> "TaskData":
        from softprompt.tasks.load import load_task

        asked, (suite, name) = self.assignment, key.split("/")
        task = load_task(suite, name, asked.paths.prepared)
        data = training_side(asked.params, asked.paths, self.method, task, self.backbone)
        self[key] = _refusing_other(asked, data)
        return data


def training_side(params: Params, paths: Paths, method: "Method", task: "Task", backbone: "Backbone") -> "TaskData":
    """A task as a method of a run learns it. Raises UserError where its answers cannot be told apart."""
    from softprompt.experiments.task_loading import load_task_data

    return load_task_data(
        paths.suite(task.suite),
        task,
        backbone,
        params.max_tokens,
        head=method.uses_head(task),
        dev_limit=params.chosen_budget.dev_limit,
    )


def _refusing_other(asked: Assignment, data: "TaskData") -> "TaskData":
    """The same. Raises UserError where this machine would train with something else than the process that asks: its
    results would stand under the keys of others."""
    import platform

    from softprompt.experiments.dependencies import task_dependencies

    expected, found = asked.depends_on[data.task.key], task_dependencies(asked.method, data)
    differing = [name for name in expected if expected[name] != found[name]]
    if differing:
        raise UserError(
            f"the worker on {platform.node()} would train {data.task.key} with another {listed(differing)} than the "
            "process that asks; give both the same code, data/prepared, models and kind of device"
        )
    return data
