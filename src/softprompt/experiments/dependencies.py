"""What a result on a task depends on, whatever the method does with it: the common part of content keys."""

from typing import Any

from softprompt.device import device_name
from softprompt.experiments.code_version import code_version, metric_version
from softprompt.inputs.task_data import TaskData


def task_dependencies(method: str, data: TaskData) -> dict[str, Any]:
    """Code, data, how the task is answered and scored, and what answers it."""
    task, backbone = data.task, data.backbone
    return {
        "code": code_version(method),
        "method": method,
        "data": data.fingerprint,
        "answers": [task.answer_form, task.candidates, task.labels],
        "verbalizer": task.verbalizer,
        "metric": [task.metrics[0], metric_version(task.metrics[0])],
        "max_tokens": data.max_tokens,
        "backbone": backbone.revision,
        "device": device_name(backbone.device),
    }
