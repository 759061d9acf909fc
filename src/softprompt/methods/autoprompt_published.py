"""AutoPrompt's published triggers, asked as they are, nothing trained.

Shin et al. 2020, https://arxiv.org/abs/2010.15980; the prompts released with the paper, one file a backbone and purpose
(fact_retrieval_bert_prompts and so on), put into data/raw/prompts/autoprompt. How triggers found for one model serve
another is a question of its own.

Changed: the files hold decoded text, in which word pieces stick to the word before (`[X]vik nationwide`), so that a
tokenizer may cut them otherwise than the search did.
"""

from typing import ClassVar

from softprompt.config import Kind, MethodSettings
from softprompt.methods.base import METHODS, Method
from softprompt.tasks.task import Task, Template


class PublishedSettings(MethodSettings):
    unsearchable: ClassVar[tuple[str, ...]] = ("triggers",)
    triggers: str  # the file's name without .jsonl


@METHODS.register("autoprompt_published")
class AutoPromptPublished(Method):
    seeded = False
    learns_from: tuple[str, ...] = ()
    settings_model = PublishedSettings
    settings: PublishedSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        wanted = f"trigger-{self.settings.triggers}"
        return tuple(prompt for prompt in task.discrete if prompt.id == wanted and kind in prompt.kinds)

    def inapplicable_by_kind(self, task: Task, backbone: str, kind: Kind) -> str:
        if not self.templates(task, kind):
            return f"{task.key} has no trigger in prompts/autoprompt/{self.settings.triggers}.jsonl"
        return super().inapplicable_by_kind(task, backbone, kind)
