"""Methods that train the tasks of a suite together, on the sum of their losses."""

from typing import ClassVar

from pydantic import Field, PositiveFloat

from softprompt.config import TrainedMethodSettings
from softprompt.methods.shared.prompts_in_front import PromptInFront
from softprompt.tasks.task import Task


class TasksTogetherSettings(TrainedMethodSettings):
    unsearchable: ClassVar[tuple[str, ...]] = ("task_weights",)
    task_weights: dict[str, PositiveFloat] = Field(default={})  # alpha_t of the loss by the task's name; 1 where absent


class TasksTogether(PromptInFront):
    """Whatever the form of their answers, the tasks of a suite are one group."""

    together: ClassVar[bool] = True
    settings_model = TasksTogetherSettings
    settings: TasksTogetherSettings

    def loss_weight(self, task: Task) -> float:
        return self.settings.task_weights.get(task.name, 1.0)
