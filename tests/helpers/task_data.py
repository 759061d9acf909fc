"""Tasks as training sees them, read once by all tests that share a backbone; their encoded rows are kept with them."""

from functools import cache
from pathlib import Path

from softprompt.backbones.backbone import Backbone
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.task_data import TaskData
from softprompt.tasks.load import load_task

task_of = cache(load_task)


@cache
def task_data(
    prepared: Path, backbone: Backbone, suite: str, name: str, *, head: bool = False, max_tokens: int = 128
) -> TaskData:
    return load_task_data(prepared / suite, task_of(suite, name, prepared), backbone, max_tokens, head=head)
