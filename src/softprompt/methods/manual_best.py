"""The manual template that scores best on the development split, with nothing trained.

The fair opponent of a learnt prompt: it has seen the same development data. Ties go to the template listed first.
"""

from typing import ClassVar

from softprompt.config import Kind
from softprompt.methods.base import METHODS, Method
from softprompt.tasks.task import Task, Template


@METHODS.register("manual_best")
class ManualBest(Method):
    seeded = False
    chooses_template_on_dev: ClassVar[bool] = True
    learns_from: tuple[str, ...] = ("dev",)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return task.templates("manual", kind)
