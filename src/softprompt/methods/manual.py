"""Manual templates, as people wrote them, with nothing trained (LAMA: Petroni et al. 2019; SuperGLUE: PET's patterns).

Every template of the task is asked: the spread over wordings is itself a result, and the headline is their mean.
"""

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Method
from softprompt.tasks.task import Task, Template


@METHODS.register("manual")
class Manual(Method):
    seeded = False
    learns_from: tuple[str, ...] = ()

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("manual", kind)
