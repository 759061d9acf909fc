"""Methods that put keys and values in front of every attention, the backbone frozen."""

from typing import ClassVar, Literal

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind, TrainedMethodSettings
from softprompt.methods.base import Setup, TrainedMethod
from softprompt.prompts.head import Head
from softprompt.prompts.prefix import Prefix, cannot_join
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


class DeepPromptSettings(TrainedMethodSettings):
    unsearchable: ClassVar[tuple[str, ...]] = ("answer",)
    answer: Literal["verbalizer", "head"]
    reparametrisation: bool  # a small network makes the keys and values


class DeepPrompts(TrainedMethod):
    settings: DeepPromptSettings

    def uses_head(self, task: Task) -> bool:
        return self.settings.answer == "head" and (bool(task.labels) or task.answer_form == "candidates")

    def inapplicable_by_model(self, task: Task, backbone: Backbone) -> str:
        return super().inapplicable_by_model(task, backbone) or cannot_join(backbone)

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return (task.head_input(),) if self.uses_head(task) else task.templates("plain", kind)

    def trainable(self, setup: Setup) -> Trainable:
        reparametrised = self.settings.reparametrisation
        prefix = Prefix.drawn(setup.prompt_length, setup.backbone, setup.generator, reparametrised=reparametrised)
        if not self.uses_head(setup.task):
            return Trainable(prefix)
        return Trainable(Head.drawn(setup.task, setup.backbone, setup.generator), prefix)
