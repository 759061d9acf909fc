"""Cells: what every one of them says about what was asked and where."""

import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from softprompt.backbones.backbone import Backbone
from softprompt.device import device_name
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import Method
from softprompt.results import Cell, Setting
from softprompt.tasks.task import Task

RECORDED_PACKAGES = ("torch", "transformers", "optuna")


@dataclass(frozen=True)
class CellFactory:
    """Makes the cells of one (method, backbone)."""

    name: str
    method: Method
    backbone: Backbone

    def not_applicable(self, task: Task, seed: int, reason: str) -> Cell:
        """A cell that cannot be: not applicable, and why."""
        return self._cell(task, seed, "", status="not_applicable", reason=reason)

    def finished(self, data: TaskData, seed: int, key: str, **fields: Any) -> Cell:
        """A cell that was trained or asked. `fields` are those of Cell."""
        provenance = {
            "data": data.fingerprint,
            "backbone": self.backbone.revision,
            "device": device_name(self.backbone.device),
            **_versions(),
        }
        return self._cell(data.task, seed, key, provenance=provenance, dropped=data.dropped, **fields)

    def _cell(self, task: Task, seed: int, key: str, **fields: Any) -> Cell:
        return Cell.model_validate(
            {
                "key": key,
                "suite": task.suite,
                "task": task.name,
                "backbone": self.backbone.name,
                "method": self.name,
                "state": self.method.state,
                "seed": seed,
                "dev_metric": task.metrics[0],
                "status": "done",
                **fields,
            }
        )


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{package: version(package) for package in RECORDED_PACKAGES}}


def scalars(settings: dict[str, Any]) -> dict[str, Setting]:
    """A method's settings by name, sorted, those of its recipe with a dotted name; without those that are not set."""
    flat: dict[str, Setting] = {}
    for name, value in sorted(settings.items()):
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": setting for inner, setting in scalars(value).items()}
        elif value is not None:
            flat[name] = value
    return flat
