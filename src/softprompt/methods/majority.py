"""Control: always the commonest answer of the training split. What any method has to beat."""

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind
from softprompt.methods.base import METHODS, Method
from softprompt.tasks.task import Task, Template


@METHODS.register("majority")
class Majority(Method):
    seeded = False
    learns_from: tuple[str, ...] = ("train",)

    def uses_head(self, task: Task) -> bool:
        return bool(task.labels)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:  # noqa: ARG002 - asks nothing
        return ()

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:  # noqa: ARG002 - meets all but one
        own = task.answer_form == "candidates" and not task.labels
        return f"every example of {task.key} has candidates of its own, so that none is the commonest" if own else ""

    def inapplicable_by_model(self, task: Task, backbone: Backbone) -> str:  # noqa: ARG002 - asks nothing of a backbone
        return ""
