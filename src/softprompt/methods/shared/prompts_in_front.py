"""Methods whose prompt stands in front of the input, the backbone frozen.

The language model answers. It has no word for a word's tag, so where a task labels every word a linear head trains
beside the prompt and reads each word behind it.
"""

from softprompt.config import Kind
from softprompt.methods.base import Setup, TrainedMethod
from softprompt.prompts.head import Head
from softprompt.prompts.part import Part
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.task import Task, Template


class PromptInFront(TrainedMethod):
    """Subclasses say what the prompt is."""

    def prompt(self, setup: Setup) -> Part:
        """A fresh one."""
        raise NotImplementedError

    def uses_head(self, task: Task) -> bool:
        return task.answer_form == "tagging"

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        asked = (task.head_input(),) if self.uses_head(task) else task.templates("plain", kind)
        return tuple(template.with_prompt_in_front() for template in asked)

    def trainable(self, setup: Setup) -> Trainable:
        parts = Trainable(self.prompt(setup))
        if self.uses_head(setup.task):
            parts.add(Head.drawn(setup.task, setup.backbone, setup.generator))
        return parts
