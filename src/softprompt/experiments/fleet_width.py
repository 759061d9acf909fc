"""How many members may train side by side, before any of them is built."""

from collections.abc import Callable, Mapping

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.memory import members_that_fit, room_beside, rows_that_fit
from softprompt.config import Budget
from softprompt.experiments.jobs import Job
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import TrainedMethod


def fleet_width(
    method: TrainedMethod, backbone: Backbone, data: Mapping[str, TaskData], budget: Budget, most: int
) -> Callable[[Job], int]:
    """Of the fleet that a job is in: one where the backbone itself trains, else `most`, or on a GPU as many as pass at
    once through what is free of it now. What is in a group stays together, in as many passes as it takes."""
    if method.state == "tuned":
        return lambda _: 1
    known = room_beside(backbone.model)
    if known is None:
        return lambda _: most
    room, size = known

    def width(job: Job) -> int:
        own = data[job.task]
        rows, answer = own.shape(method.templates(own.task, backbone.kind)[0])
        fitting = rows_that_fit(size.training_bytes(job.tokens, answer, backbone.device.type), room)
        return most if job.group else members_that_fit(most, budget.batch_size * rows, fitting)

    return width
